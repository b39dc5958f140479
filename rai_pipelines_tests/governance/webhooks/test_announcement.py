"""What a delivery has to be to count. The oracle is the signing code of the installed MLflow itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rai_pipelines.errors import WebhookRefused
from rai_pipelines.governance.webhooks.announcement import (
    FRESH_S,
    ID_HEADER,
    LARGEST_BODY,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    Announcement,
    read_announcement,
    signature,
)

SECRET = "a secret for the tests"
NOW = datetime(2026, 12, 15, 9, 0, tzinfo=UTC)
ALIAS = {"name": "loans", "alias": "champion", "version": "3"}


def body_of(entity: str = "model_version_alias", action: str = "created", data: Any = ALIAS) -> bytes:
    return json.dumps({"entity": entity, "action": action, "timestamp": "2026-12-15T09:00:00+00:00", "data": data}).encode()


def signed_by_mlflow(body: bytes, *, secret: str = SECRET, at: datetime = NOW, delivery_id: str = "d-1") -> dict[str, str]:
    from mlflow.webhooks import constants
    from mlflow.webhooks.delivery import _generate_hmac_signature

    timestamp = str(int(at.timestamp()))
    headers = {
        constants.WEBHOOK_DELIVERY_ID_HEADER: delivery_id,
        constants.WEBHOOK_TIMESTAMP_HEADER: timestamp,
        constants.WEBHOOK_SIGNATURE_HEADER: _generate_hmac_signature(secret, delivery_id, timestamp, body.decode()),
    }
    return {name.lower(): value for name, value in headers.items()}


def read(headers: dict[str, str], body: bytes) -> Announcement:
    return read_announcement(headers, body, secret=SECRET, now=NOW)


def test_what_mlflow_signs_is_read_and_only_names_are_taken() -> None:
    body = body_of(data={**ALIAS, "source": "s3://elsewhere", "approved": True})
    assert read(signed_by_mlflow(body), body) == Announcement("d-1", "model_version_alias.created", "loans", "3", "champion")


@given(secret=st.text(min_size=1), delivery_id=st.text(), timestamp=st.text(), body=st.text())
def test_signatures_equal_mlflows_for_any_text(secret: str, delivery_id: str, timestamp: str, body: str) -> None:
    from mlflow.webhooks.delivery import _generate_hmac_signature

    try:
        expected = _generate_hmac_signature(secret, delivery_id, timestamp, body)
    except UnicodeEncodeError:  # half a character: neither can be sent
        return
    assert signature(secret, delivery_id, timestamp, body.encode()) == expected


@pytest.mark.parametrize("changed", [ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER])
def test_a_delivery_in_which_anything_signed_is_changed_or_missing_is_refused(changed: str) -> None:
    body = body_of()
    headers = signed_by_mlflow(body)
    for other in ({**headers, changed: "1765789201"}, {**headers, changed: "v1,AAAA"}, {name: headers[name] for name in headers if name != changed}):
        with pytest.raises(WebhookRefused, match="not signed") as caught:
            read(other, body)
        assert caught.value.status == 401 and SECRET not in str(caught.value)
    with pytest.raises(WebhookRefused, match="not signed"):
        read(headers, body.replace(b"loans", b"other"))


def test_another_secret_and_an_unsigned_delivery_are_refused() -> None:
    body = body_of()
    with pytest.raises(WebhookRefused, match="not signed"):
        read(signed_by_mlflow(body, secret="another secret of that length"), body)
    with pytest.raises(WebhookRefused, match="not signed"):
        read({}, body)


@pytest.mark.parametrize("seconds", [-FRESH_S - 1, FRESH_S + 1])
def test_a_stale_delivery_and_one_from_the_future_are_refused_and_one_at_the_limit_is_not(seconds: int) -> None:
    body = body_of()
    with pytest.raises(WebhookRefused, match=f"{FRESH_S} s"):
        read(signed_by_mlflow(body, at=NOW + timedelta(seconds=seconds)), body)
    assert read(signed_by_mlflow(body, at=NOW + timedelta(seconds=seconds - (1 if seconds > 0 else -1))), body).model_name == "loans"


def test_a_signed_delivery_cannot_be_cut_into_another_id_that_was_not_seen_yet() -> None:
    body = b'1765789200.{"entity": "model_version", "action": "created"}'
    headers = signed_by_mlflow(body, delivery_id="a")
    rest, stamp = body.partition(b".")[2], headers[TIMESTAMP_HEADER]
    cut = {**headers, ID_HEADER: f"a.{stamp}", TIMESTAMP_HEADER: "1765789200"}
    assert signature(SECRET, cut[ID_HEADER], cut[TIMESTAMP_HEADER], rest) == headers[SIGNATURE_HEADER], "the same bytes are signed"
    with pytest.raises(WebhookRefused, match="not signed"):
        read(cut, rest)


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"null", b'{"entity": "model_version"}', b"[" * 100_000, b"\xff"])
def test_signed_bytes_that_are_no_event_are_refused_as_such(body: bytes) -> None:
    stamp = str(int(NOW.timestamp()))
    headers = {ID_HEADER: "d", TIMESTAMP_HEADER: stamp, SIGNATURE_HEADER: signature(SECRET, "d", stamp, body)}
    with pytest.raises(WebhookRefused, match="no event") as caught:
        read(headers, body)
    assert caught.value.status == 400


def test_a_body_that_is_too_large_is_refused_before_its_signature_is_looked_at() -> None:
    with pytest.raises(WebhookRefused) as caught:
        read({}, b"x" * (LARGEST_BODY + 1))
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "data",
    [None, [], {}, {"name": "", "version": "1"}, {"name": {"$ne": 1}, "version": "1"}, {"name": "a\x1b[2J", "version": "1"}, {"name": "x" * 999}],
)
def test_a_signed_event_without_usable_names_names_nothing(data: Any) -> None:
    body = body_of("model_version", "created", data)
    assert read(signed_by_mlflow(body), body) == Announcement("d-1", "model_version.created")


def test_every_event_of_the_installed_mlflow_is_read_and_those_of_models_keep_their_names() -> None:
    from mlflow.entities.webhook import VALID_ENTITY_ACTIONS, WebhookEvent
    from mlflow.webhooks.types import get_example_payload_for_event

    named = set()
    for entity, actions in VALID_ENTITY_ACTIONS.items():
        for action in actions:
            body = body_of(entity.value, action.value, get_example_payload_for_event(WebhookEvent(entity, action)))
            found = read(signed_by_mlflow(body), body)
            assert found.event == f"{entity.value}.{action.value}"
            if found.model_name is not None:
                named.add(found.event)
    assert named == {
        "model_version.created",
        "model_version_alias.created",
        "model_version_alias.deleted",
        "model_version_tag.set",
        "model_version_tag.deleted",
    }
