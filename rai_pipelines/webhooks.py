"""The service that registries call (`rai webhooks serve`): it notes what was announced, answers at once, and looks at aliases and tags right away.

It launches no audit: the sensor reads the inbox in its next tick, so that one place decides what runs. Polling stays the truth; a delivery that is
lost, late or refused costs half a minute.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from rai_pipelines.audit import Auditor
from rai_pipelines.clock import utc_now
from rai_pipelines.errors import RaiError, SettingsError, WebhookRefused
from rai_pipelines.governance.webhooks.announcement import LARGEST_BODY, NEW_VERSION, POINTER_EVENTS, Announcement, read_announcement
from rai_pipelines.release import open_gatekeeper
from rai_pipelines.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

PATH = "/webhooks/mlflow"
BODY_S = 10.0  # a body that has not come by then is given up
TRY_AGAIN_S = 5.0  # after a registry or database that did not answer

_log = structlog.get_logger(__name__)


def build_service(
    settings: Settings, make_auditor: Callable[[], Auditor], *, clock: Callable[[], datetime] = utc_now, try_again_s: float = TRY_AGAIN_S
) -> Starlette:
    """The service as an ASGI application: `POST /webhooks/mlflow`, and `GET /health`.

    202: noted. 200: was noted before. 400, 401, 408, 413: refused. 503: the database does not answer; MLflow sends it again.

    Raises:
        SettingsError: there is no secret.
        DatabaseError: the governance database cannot be used.
    """
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from rai_pipelines.governance.database.engine import open_governance

    if settings.webhook_secret is None:
        raise SettingsError("is not set", where="RAI_WEBHOOK_SECRET", hint="Set the secret that MLflow's webhook was created with")
    secret = settings.webhook_secret.get_secret_value()
    engine = open_governance(settings)
    watch = PointerWatch(make_auditor, try_again_s)

    async def receive(request: Request) -> Response:
        try:
            body = await _body(request)
            announcement = read_announcement(request.headers, body, secret=secret, now=clock())
        except WebhookRefused as error:
            _log.warning("webhook refused", reason=error.what)
            return PlainTextResponse(error.what, status_code=error.status)
        return await asyncio.to_thread(_note, engine, announcement, settings, watch, clock())

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watch.start()
        try:
            yield
        finally:
            await asyncio.to_thread(watch.stop)
            engine.dispose()

    return Starlette(routes=[Route(PATH, receive, methods=["POST"]), Route("/health", health)], lifespan=lifespan)


def serve(service: Starlette, *, host: str, port: int) -> None:
    """Serve until stopped. Behind a proxy that ends TLS: the signature keeps deliveries from being made up, not from being read."""
    import uvicorn

    uvicorn.run(service, host=host, port=port, access_log=False, server_header=False, log_level="warning")


def look_at_pointers(auditor: Auditor) -> tuple[str, ...]:
    """If an alias or tag was announced, compare all that is in use with what is approved, as every round does; returns the bypasses noticed.

    Raises:
        RegistryUnavailable, DatabaseError: what was announced stays in the inbox.
    """
    from rai_pipelines.governance.gate.bypass import watch_pointers
    from rai_pipelines.governance.webhooks.inbox import handled, waiting

    with open_gatekeeper(auditor) as keeper:
        announced = waiting(keeper.engine, POINTER_EVENTS)
        if not announced:
            return ()
        found = watch_pointers(keeper, auditor.registry)
        handled(keeper.engine, announced, now=keeper.clock())
    return tuple(f"{item.pointer.version} by {item.pointer.kind} {item.pointer.name}: {item.why}" for item in found if item.new)


class PointerWatch:
    """One thread that looks when it is woken, and again after a while when it could not. Many announcements at once are one look."""

    def __init__(self, make_auditor: Callable[[], Auditor], try_again_s: float) -> None:
        self._make_auditor, self._try_again_s = make_auditor, try_again_s
        self._changed = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="pointer-watch", daemon=True)

    def start(self) -> None:
        """Begin with what was announced before this process started."""
        self._changed.set()
        self._thread.start()

    def wake(self) -> None:
        """Look now."""
        self._changed.set()

    def stop(self) -> None:
        """End after the look at hand."""
        self._stopped = True
        self._changed.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        pause: float | None = None
        while True:
            self._changed.wait(pause)
            self._changed.clear()
            if self._stopped:
                return
            pause = self._look()

    def _look(self) -> float | None:
        """Seconds until it has to be tried again; None when all was looked at. Nothing that a look meets may end the thread."""
        try:
            for line in look_at_pointers(self._make_auditor()):
                _log.error("in use without approval", what=line)
        except RaiError as error:
            _log.warning("pointers were not looked at", reason=str(error))
            return self._try_again_s
        except Exception:
            _log.exception("pointers were not looked at")
            return self._try_again_s
        return None


def _note(engine: sa.Engine, announcement: Announcement, settings: Settings, watch: PointerWatch, now: datetime) -> Response:
    """Put it into the inbox; only then is it accepted."""
    from sqlalchemy.exc import SQLAlchemyError
    from starlette.responses import PlainTextResponse

    from rai_pipelines.governance.webhooks.inbox import take

    follows = _follows(announcement, settings)
    try:
        new = take(engine, announcement, now=now, follows=follows)
    except SQLAlchemyError as error:
        _log.warning("webhook not noted", reason=type(error).__name__)
        return PlainTextResponse("the database does not answer", status_code=503, headers={"Retry-After": "5"})
    if new and follows and announcement.event in POINTER_EVENTS:
        watch.wake()
    return PlainTextResponse("noted" if new else "was noted before", status_code=202 if new else 200)


def _follows(announcement: Announcement, settings: Settings) -> bool:
    """Whether there is anything to look at: a new version, or an alias or tag that means "in use"."""
    if announcement.model_name is None:
        return False
    if announcement.event == NEW_VERSION:
        return announcement.model_version is not None
    return announcement.pointer in (*settings.live_aliases, settings.live_tag)


async def _body(request: Request) -> bytes:
    """The body, as far as it may go.

    Raises:
        WebhookRefused: it is larger, says that it will be, or does not come.
    """
    said = request.headers.get("content-length", "0")
    too_large = WebhookRefused(f"is larger than {LARGEST_BODY} bytes", where="webhook", hint="Polling finds what it is about", status=413)
    if not said.isdecimal() or int(said[:20]) > LARGEST_BODY:
        raise too_large
    parts: list[bytes] = []
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                parts.append(part)
                if sum(map(len, parts)) > LARGEST_BODY:
                    raise too_large
    except TimeoutError as error:
        raise WebhookRefused("did not come whole in time", where="webhook", hint="MLflow sends it again", status=408) from error
    return b"".join(parts)
