"""What is still to be told, when rounds are long, clocks are wrong, receivers hang, and answers are of no form that anybody thought of."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from rai_pipelines.errors import RaiError
from rai_pipelines.governance.outbox import drain, put, waiting
from rai_pipelines_tests.governance.office import START


def filled(engine: sa.Engine, *keys: str, kind: str = "letter", at: timedelta = timedelta()) -> sa.Engine:
    with engine.begin() as connection:
        for key in keys:
            put(connection, kind, key, {"key": key}, now=START + at)
    return engine


def test_in_a_round_that_lasts_longer_than_a_claim_nobody_else_delivers_what_it_is_delivering(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(engine, "a", "b")
    passed, told = 0.0, []
    monkeypatch.setattr(time, "monotonic", lambda: passed)

    def slow(payload: Mapping[str, Any]) -> None:
        nonlocal passed
        told.append(payload["key"])
        if payload["key"] == "b":  # 200 s after the round began; another process begins its own
            assert drain(engine, {"letter": slow}, now=START + timedelta(seconds=passed)) == []
        passed += 200

    drain(engine, {"letter": slow}, now=START)
    assert told == ["a", "b"]


def test_an_error_that_nobody_foresaw_is_a_problem_of_its_message_and_of_no_other(engine: sa.Engine) -> None:
    filled(engine, "a", "b")

    def careless(payload: Mapping[str, Any]) -> None:
        if payload["key"] == "a":
            raise KeyError("hush")

    first, second = drain(engine, {"letter": careless}, now=START)
    assert first.problem is not None and "letter a" in first.problem and "KeyError" in first.problem and "hush" not in first.problem
    assert second.problem is None
    with engine.connect() as connection:
        assert [item.key for item in waiting(connection)] == ["a"]


def test_a_database_that_goes_away_is_no_problem_of_a_message(engine: sa.Engine) -> None:
    filled(engine, "a")

    def gone(_: Mapping[str, Any]) -> None:
        raise sa.exc.OperationalError("select", {}, Exception("gone"))

    with pytest.raises(sa.exc.OperationalError):
        drain(engine, {"letter": gone}, now=START)


def test_a_receiver_that_hangs_is_asked_once_a_round_and_holds_nobody_else_up(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(engine, *(f"case {number}" for number in range(50)), kind="case")
    filled(engine, "mail")
    passed, told = 0.0, []
    monkeypatch.setattr(time, "monotonic", lambda: passed)

    def hangs(_: Mapping[str, Any]) -> None:
        nonlocal passed
        passed += 20
        raise RaiError("did not answer")

    for number in range(3):
        drain(engine, {"case": hangs, "letter": lambda payload: told.append(payload["key"])}, now=START + timedelta(seconds=30 * number))
    assert (passed, told) == (60, ["mail"])


@pytest.mark.parametrize("ahead", [timedelta(days=2), timedelta(days=400)])
def test_what_was_put_or_claimed_by_a_clock_that_was_ahead_is_delivered_once_the_clock_is_right(engine: sa.Engine, ahead: timedelta) -> None:
    filled(engine, "a", at=ahead)
    (delivery,) = drain(engine, {"letter": lambda _: None}, now=START)
    assert delivery.problem is None
    filled(engine, "b")

    def die(_: Mapping[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain(engine, {"letter": die}, now=START + ahead)
    assert [item.key for item in drain(engine, {"letter": lambda _: None}, now=START)] == ["b"]
