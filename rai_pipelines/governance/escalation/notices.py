"""Tell people: mail by SMTP, and a webhook that takes Slack's form. Each notice goes through the outbox, once a person and step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

from rai_pipelines.errors import RaiError, SettingsError
from rai_pipelines.governance.outbox import Deliver

MAIL, WEBHOOK = "mail", "webhook"  # the outbox's kinds
CONNECT_S = 10.0
LONGEST_TEXT = 3000
SMTP_URL, WEBHOOK_URL = "RAI_SMTP_URL", "RAI_WEBHOOK_URL"


class NotTold(RaiError):
    """A notice could not be delivered; it is tried again."""


@dataclass(frozen=True)
class Channels:
    """How people are reached. Both addresses can hold secrets; they come from the environment and are never shown."""

    smtp: str | None = None
    webhook: str | None = None
    sender: str = "rai-pipelines@localhost"

    @classmethod
    def from_environment(cls) -> Channels:
        """RAI_SMTP_URL (smtp://USER:PASSWORD@HOST:PORT, or smtps://), RAI_WEBHOOK_URL, RAI_MAIL_FROM.

        Raises:
            SettingsError: an address is of another kind.
        """
        smtp, webhook = os.environ.get(SMTP_URL) or None, os.environ.get(WEBHOOK_URL) or None
        if smtp is not None and urlsplit(smtp).scheme not in ("smtp", "smtps"):
            raise SettingsError("is no smtp:// or smtps:// address", where=SMTP_URL)
        if webhook is not None and urlsplit(webhook).scheme not in ("http", "https"):
            raise SettingsError("is no https:// address", where=WEBHOOK_URL)
        return cls(smtp, webhook, os.environ.get("RAI_MAIL_FROM") or cls.sender)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The ways that are there."""
        return tuple(kind for kind, address in ((MAIL, self.smtp), (WEBHOOK, self.webhook)) if address)


def notice_deliveries(channels: Channels) -> Mapping[str, Deliver]:
    """How the outbox delivers notices."""
    found: dict[str, Deliver] = {}
    if channels.smtp:
        found[MAIL] = lambda payload: send_mail(channels, payload)
    if channels.webhook:
        found[WEBHOOK] = lambda payload: post_webhook(channels, payload)
    return found


def send_mail(channels: Channels, payload: Mapping[str, Any]) -> None:
    """Send one mail. The message id follows from the notice, so that a mail that is sent twice can be told by the receiver.

    Raises:
        NotTold: the server did not take it.
    """
    import smtplib

    message = EmailMessage()
    message["From"], message["To"] = channels.sender, str(payload["to"])
    message["Subject"] = " ".join(str(payload["subject"]).split())[:200]
    message["Message-ID"] = f"<{payload['id']}@rai-pipelines>"
    message.set_content(str(payload["text"])[:LONGEST_TEXT])
    parts = urlsplit(channels.smtp or "")
    kind = smtplib.SMTP_SSL if parts.scheme == "smtps" else smtplib.SMTP
    try:
        with kind(parts.hostname or "localhost", parts.port or (465 if parts.scheme == "smtps" else 25), timeout=CONNECT_S) as server:
            if parts.scheme == "smtp" and server.has_extn("starttls"):
                server.starttls()
            if parts.username:
                server.login(parts.username, parts.password or "")
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as error:
        raise NotTold(f"was not taken ({type(error).__name__})", where=f"mail by {parts.hostname}", hint="It is tried again") from error


def post_webhook(channels: Channels, payload: Mapping[str, Any]) -> None:
    """Post one message in the form of Slack's incoming webhooks; nothing in it is markup.

    Raises:
        NotTold: it was not taken.
    """
    import httpx

    text = f"{payload['subject']}\n{payload['text']}"[:LONGEST_TEXT]
    content = {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    where = f"webhook at {urlsplit(channels.webhook or '').hostname}"
    try:
        answer = httpx.post(channels.webhook or "", content=json.dumps(content), headers={"Content-Type": "application/json"}, timeout=CONNECT_S)
    except httpx.HTTPError as error:
        raise NotTold(f"did not answer ({type(error).__name__})", where=where, hint="It is tried again") from error
    if not answer.is_success:
        raise NotTold(f"answered {answer.status_code}", where=where, hint="It is tried again")
