"""One HTTP call to a tracker: time limits, no redirects, and every failure in this project's words. What it answers is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rai_pipelines.addresses import without_secrets
from rai_pipelines.governance.cases.case import TrackerRefused, TrackerUnavailable

if TYPE_CHECKING:
    import httpx

CONNECT_S, ANSWER_S = 5.0, 20.0
LARGEST_ANSWER = 2_000_000
TRY_AGAIN = (408, 425, 429, 500, 502, 503, 504)
LONGEST_PAUSE_S = 3600.0


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
                text = _read(answer)
        except httpx.HTTPError as error:
            raise TrackerUnavailable(f"did not answer ({type(error).__name__})", where=where, hint="It is tried again") from error
        if answer.status_code in TRY_AGAIN:
            raise TrackerUnavailable(f"answered {answer.status_code}", where=where, hint="It is tried again", retry_after_s=_pause(answer))
        if not answer.is_success:
            said = " ".join(text[:300].decode("utf-8", "replace").split())
            raise TrackerRefused(f"answered {answer.status_code}: {said}", where=where, hint="Check the tracker file, the token and its rights")
        return _json(text, where)


def _read(answer: httpx.Response) -> bytes:
    """The answer's body, as far as it may go."""
    parts, size = [], 0
    for part in answer.iter_bytes():
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
    except ValueError as error:
        raise TrackerUnavailable("answered with something that is no JSON, or not all of it", where=where, hint="It is tried again") from error


def _pause(answer: httpx.Response) -> float:
    """Seconds that the tracker asks to wait; 0 where it does not say."""
    try:
        return min(max(float(answer.headers.get("Retry-After", "0")), 0.0), LONGEST_PAUSE_S)
    except ValueError:
        return 0.0  # a date: the outbox's own pauses will do
