"""Tell people: mail by SMTP, and a webhook that takes Slack's form. Each notice goes through the outbox, once a person and step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from rai_pipelines.clock import utc_now
from rai_pipelines.errors import RaiError, SettingsError
from rai_pipelines.governance.outbox import Deliver

MAIL, WEBHOOK = "mail", "webhook"  # the outbox's kinds
CONNECT_S = 10.0
LONGEST_TEXT = 3000
SMTP_URL, WEBHOOK_URL, MAIL_FROM = "RAI_SMTP_URL", "RAI_WEBHOOK_URL", "RAI_MAIL_FROM"
HOW_TO_WRITE = "Percent-encode what user and password have of @ : / ? # [ ] %"
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


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
        if smtp is not None:
            parts = _usable(smtp, ("smtp", "smtps"), SMTP_URL)
            if parts.path.strip("/") or parts.query or parts.fragment:  # most likely a password with one of / ? # in it
                raise SettingsError("has more than user, password, host and port", where=SMTP_URL, hint=HOW_TO_WRITE)
        if webhook is not None:
            _usable(webhook, ("http", "https"), WEBHOOK_URL)
        sender = os.environ.get(MAIL_FROM) or cls.sender
        try:
            EmailMessage()["From"] = sender
        except ValueError as error:
            raise SettingsError("is no mail address", where=MAIL_FROM, hint="Write one address") from error
        return cls(smtp, webhook, sender)

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

    A password is only given to a server that proves by its certificate who it is, or to one on this machine; without a password, TLS is used
    where the server offers it.

    Raises:
        NotTold: the server did not take it.
    """
    import smtplib
    import ssl

    message = EmailMessage()
    message["From"], message["To"] = channels.sender, str(payload["to"])
    message["Subject"] = " ".join(str(payload["subject"]).split())[:200]
    message["Date"] = utc_now()  # not every server adds it, and a mail without one is taken for spam
    message["Message-ID"] = f"<{payload['id']}@rai-pipelines>"
    message.set_content(str(payload["text"])[:LONGEST_TEXT])
    parts = urlsplit(channels.smtp or "")
    host, where = parts.hostname or "localhost", f"mail by {parts.hostname}"
    proven = ssl.create_default_context()
    try:
        if parts.scheme == "smtps":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=CONNECT_S, context=proven)
        else:
            connection = smtplib.SMTP(host, parts.port or 25, timeout=CONNECT_S)
        with connection as server:
            if parts.scheme == "smtp":
                server.ehlo_or_helo_if_needed()
                if server.has_extn("starttls"):
                    server.starttls(context=proven if parts.username and host not in THIS_MACHINE else None)
                elif parts.username and host not in THIS_MACHINE:
                    raise NotTold(
                        "offers no STARTTLS, and gets no password in the clear", where=where, hint="Use smtps://, or find out who is between"
                    )
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(message)
    except ssl.SSLCertVerificationError as error:
        hint = "Name the server as its certificate does; SSL_CERT_FILE names further authorities"
        raise NotTold(f"has a certificate that proves nothing ({error.verify_message})", where=where, hint=hint) from error
    except (OSError, smtplib.SMTPException) as error:
        raise NotTold(f"was not taken ({type(error).__name__})", where=where, hint="It is tried again") from error


def post_webhook(channels: Channels, payload: Mapping[str, Any]) -> None:
    """Post one message in the form of Slack's incoming webhooks; nothing in it is markup.

    Raises:
        NotTold: it was not taken.
    """
    import httpx

    text = f"{payload['subject']}\n{payload['text']}"[:LONGEST_TEXT]
    content = {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
    where = f"webhook at {urlsplit(channels.webhook or '').hostname}"
    headers = {"Content-Type": "application/json"}
    try:
        with httpx.stream("POST", channels.webhook or "", content=json.dumps(content), headers=headers, timeout=CONNECT_S) as answer:
            taken, status = answer.is_success, answer.status_code  # what else it says is not read: it can be long, or come to no end
    except httpx.HTTPError as error:
        raise NotTold(f"did not answer ({type(error).__name__})", where=where, hint="It is tried again") from error
    if not taken:
        raise NotTold(f"answered {status}", where=where, hint="It is tried again")


def _usable(address: str, schemes: tuple[str, ...], name: str) -> SplitResult:
    """The parts of an address.

    Raises:
        SettingsError: it is of another kind, or cannot be taken apart; the address itself is never shown.
    """
    try:
        parts = urlsplit(address)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise SettingsError("cannot be taken apart into user, password, host and port", where=name, hint=HOW_TO_WRITE) from None
    if not usable:
        raise SettingsError(f"is no address with a host that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}", where=name)
    return parts
