"""One HTTP call to a tracker: time limits, no redirects, and every failure in this project's words. What it answers is not trusted."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

from rai_pipelines.addresses import HIDDEN, without_secrets
from rai_pipelines.clock import utc_now
from rai_pipelines.governance.cases.case import TrackerRefused, TrackerUnavailable

if TYPE_CHECKING:
    import httpx

CONNECT_S, ANSWER_S = 5.0, 20.0
LARGEST_ANSWER = 2_000_000
TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
LONGEST_PAUSE_S = 3600.0
USABLE_REF = re.compile(r"[A-Za-z0-9_-]{1,100}")  # it goes into paths

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Caller:
    """Calls below one address, with one authorisation, which is never shown."""

    base: str
    authorisation: tuple[str, str] = field(repr=False)

    def call(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **content: Any) -> Any:
        """What the tracker answers as JSON, or None for an empty answer. `content` is httpx's (json, params, files, content).

        Raises:
            TrackerUnavailable: no connection, no whole answer in time, or an answer that says to come back.
            TrackerRefused: any other answer that is no success.
        """
        import httpx

        where = f"{method} {without_secrets(self.base)}{path}"
        try:
            timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
            with httpx.Client(base_url=self.base, auth=self.authorisation, timeout=timeout, follow_redirects=False) as client:
                request = client.build_request(method, path, headers=dict(headers or {}), **content)
                answer = client.send(request, stream=True)
                text = _read(answer, where)
        except httpx.HTTPError as error:
            raise TrackerUnavailable(f"did not answer ({type(error).__name__})", where=where, hint="It is tried again") from error
        if answer.status_code in TRY_AGAIN:
            raise TrackerUnavailable(f"answered {answer.status_code}", where=where, hint="It is tried again", retry_after_s=_pause(answer))
        if not answer.is_success:
            said = self._without_secrets(" ".join(text.decode("utf-8", "replace").split()))[:300]
            raise TrackerRefused(f"answered {answer.status_code}: {said}", where=where, hint="Check the tracker file, the token and its rights")
        return _json(text, where)

    def _without_secrets(self, text: str) -> str:
        """An answer can hold what it was asked with, as some proxies' do."""
        login = base64.b64encode(":".join(self.authorisation).encode()).decode()
        return text.replace(login, HIDDEN).replace(self.authorisation[1], HIDDEN)


def part(answer: Any, name: str, kind: type[_Kind], *, where: str) -> _Kind:
    """What stands under that name in the answer of the tracker called `where`.

    Raises:
        TrackerUnavailable: nothing, or something of another kind.
    """
    found = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(found, kind):
        raise TrackerUnavailable(f"answered without {name!r}", where=where, hint="It is tried again")
    return found


def usable_ref(text: str, *, where: str) -> str:
    """A ticket's key as the tracker gave it.

    Raises:
        TrackerUnavailable: it cannot be one.
    """
    if not USABLE_REF.fullmatch(text):
        raise TrackerUnavailable("answered with a key of a ticket that is none", where=where, hint="It is tried again")
    return text


def _read(answer: httpx.Response, where: str) -> bytes:
    """The answer's body, as far as it may go and as long as it may take: one that trickles in comes to no end otherwise."""
    parts, size, began = [], 0, time.monotonic()
    for part in answer.iter_bytes():
        if time.monotonic() - began > ANSWER_S:
            raise TrackerUnavailable("did not answer whole in time", where=where, hint="It is tried again")
        size += len(part)
        if size > LARGEST_ANSWER:
            break
        parts.append(part)
    answer.close()
    return b"".join(parts)


def _json(text: bytes, where: str) -> Any:
    import json

    if not text.strip():
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TrackerUnavailable("answered with something that is no JSON, or not all of it", where=where, hint="It is tried again") from error


def _pause(answer: httpx.Response) -> float:
    """Seconds that the tracker asks to wait, in seconds or until a date (RFC 9110, 10.2.3), an hour at most; 0 where it does not say."""
    asked = answer.headers.get("Retry-After", "0")
    try:
        seconds = float(asked) if asked.isdecimal() else (parsedate_to_datetime(asked) - utc_now()).total_seconds()
    except (ValueError, TypeError, OverflowError):  # neither; or a date without a zone
        return 0.0
    return min(max(seconds, 0.0), LONGEST_PAUSE_S)
