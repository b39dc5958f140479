"""From the bytes of one delivery to the names in it: signed by MLflow with the shared secret, fresh, and not larger than it may be.

MLflow signs `DELIVERY_ID.TIMESTAMP.BODY` with HMAC-SHA256 and sends `v1,` and the digest in base64 (mlflow/webhooks/delivery.py, after
https://www.standardwebhooks.com). Of the body only names are taken; whoever acts on them reads everything again from the registry.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rai_pipelines.errors import InvalidName, WebhookRefused
from rai_pipelines.subjects.names import ModelVersion

ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER = "x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature"
FRESH_S = 300  # how far its timestamp may lie from this machine's clock, either way
LARGEST_BODY = 1_000_000  # bytes; MLflow's largest are descriptions and tags of a new version
LONGEST_ID = 200
NEW_VERSION = "model_version.created"
POINTER_EVENTS = ("model_version_alias.created", "model_version_alias.deleted", "model_version_tag.set", "model_version_tag.deleted")


@dataclass(frozen=True)
class Announcement:
    """What one delivery names. `pointer` is an alias or a tag's key; what the event does not name is None."""

    delivery_id: str
    event: str
    model_name: str | None = None
    model_version: str | None = None
    pointer: str | None = None


def read_announcement(headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> Announcement:
    """The names in a delivery, once it is certain that it was signed with `secret`. Header names are in lower case.

    An event without names that can be used is an announcement without names: there is nothing wrong with it, and nothing follows.

    Raises:
        WebhookRefused: too large, no or another signature, too old or too new, or no JSON object with an entity and an action.
    """
    if len(body) > LARGEST_BODY:
        raise WebhookRefused(f"is larger than {LARGEST_BODY} bytes", where="webhook", hint="Polling finds what it is about", status=413)
    delivery_id = _checked(headers, body, secret=secret, now=now)
    try:
        content = json.loads(body)
        event = f"{content['entity']}.{content['action']}"[:60]
        data = content.get("data")
        if not event.isprintable():
            raise ValueError("an event is named in letters")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise WebhookRefused("is signed, and no event of MLflow's form", where="webhook", hint="Check which MLflow sends it", status=400) from error
    return Announcement(delivery_id, event, *_names(event, data if isinstance(data, dict) else {}))


def signature(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """What MLflow sends as signature of that delivery."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def _checked(headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> str:
    """The delivery's id. One answer for every way in which a signature can be wrong, so that nobody learns how near they were."""
    delivery_id, timestamp, sent = (headers.get(name, "") for name in (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER))
    usable = 0 < len(delivery_id) <= LONGEST_ID and delivery_id.isascii() and delivery_id.isprintable() and timestamp.isascii()
    usable = usable and "." not in delivery_id  # else what is signed could be cut into another id, and a replay would look new
    if not usable or not hmac.compare_digest(signature(secret, delivery_id, timestamp, body).encode(), sent.encode()):
        hint = "Give MLflow's webhook and RAI_WEBHOOK_SECRET the same secret"
        raise WebhookRefused("is not signed with the secret of this service", where="webhook", hint=hint, status=401)
    if not timestamp.isdecimal() or abs(int(timestamp[:20]) - now.timestamp()) > FRESH_S:
        raise WebhookRefused(f"is more than {FRESH_S} s old, or that far in the future", where="webhook", hint="Set both clocks right", status=401)
    return delivery_id


def _names(event: str, data: Mapping[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Model, version and pointer, as far as they are named and can be names here."""
    if event != NEW_VERSION and event not in POINTER_EVENTS:
        return None, None, None
    name, version = data.get("name"), data.get("version", "0" if event == "model_version_alias.deleted" else None)
    pointer = data.get("alias", data.get("key"))
    try:
        made = ModelVersion(_text(name), _text(version))
    except InvalidName:
        return None, None, None
    return made.name, made.version if "version" in data else None, pointer[:300] if isinstance(pointer, str) and pointer.isprintable() else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
