"""Decisions joined with reviews: the engine's counts equal counting by hand, in files and in PostgreSQL as a role that can only read."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rai_pipelines.errors import DataError
from rai_pipelines.tables.review_log import DecisionLog, ReviewCounts, ReviewLog, Training, count_reviews
from rai_pipelines.tables.source import TableSource, open_table
from rai_pipelines_tests.postgres import PostgresServer

START = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
US = 1_000_000

moment = st.integers(0, 40)
decision = st.tuples(st.integers(0, 6), moment, st.none() | moment, st.sampled_from(["reject", "accept", None]))
review = st.tuples(
    st.integers(0, 8), st.sampled_from(["ann", "bo", "O'Neil"]), st.none() | moment, st.none() | moment, st.sampled_from(["kept", "changed", None])
)
period = st.tuples(st.sampled_from(["ann", "bo", "O'Neil", "zoë"]), moment, moment)


def at(second: int | None) -> datetime.datetime | None:
    return None if second is None else START + datetime.timedelta(seconds=second)


def us(second: int) -> int:
    return int(START.timestamp()) * US + second * US


def frames(decisions: list[Any], reviews: list[Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    left = pd.DataFrame(
        {
            "decision_id": pd.Series([d[0] for d in decisions], dtype="int64"),
            "decided_at": pd.Series([at(d[1]) for d in decisions], dtype="datetime64[us, UTC]"),
            "took_effect_at": pd.Series([at(d[2]) for d in decisions], dtype="datetime64[us, UTC]"),
            "decision": pd.Series([d[3] for d in decisions], dtype="string"),
        }
    )
    right = pd.DataFrame(
        {
            "decision_id": pd.Series([str(r[0]) for r in reviews], dtype="string"),
            "reviewer_id": pd.Series([r[1] for r in reviews], dtype="string"),
            "started_at": pd.Series([None if r[2] is None else str(at(r[2])) for r in reviews], dtype="string"),
            "finished_at": pd.Series([at(r[3]) for r in reviews], dtype="datetime64[us, UTC]"),
            "outcome": pd.Series([r[4] for r in reviews], dtype="string"),
        }
    )
    return left, right


def logs(left: TableSource, right: TableSource) -> tuple[DecisionLog, ReviewLog]:
    return (
        DecisionLog(left, "decision_id", "decided_at", "took_effect_at", "decision", values=("reject",)),
        ReviewLog(right, "decision_id", "reviewer_id", "started_at", "finished_at", "outcome", overridden=("changed",)),
    )


def by_hand(decisions: list[Any], reviews: list[Any], training: list[Any]) -> dict[str, Any]:
    """The same counts, one decision and one review at a time."""
    reviews = list(dict.fromkeys((*r[:4], "changed" if r[4] == "changed" else "kept") for r in reviews))
    ids = sorted({d[0] for d in decisions})
    rows = {i: [d for d in decisions if d[0] == i] for i in ids}
    high = [i for i in ids if any(d[3] in ("reject", None) for d in rows[i])]
    waiting = {i: all(d[2] is None for d in rows[i]) for i in ids}
    effective = [i for i in high if not waiting[i]]

    def counts(r: Any) -> bool:
        if r[0] not in effective or r[2] is None or r[3] is None or r[3] < r[2]:
            return False
        decided, effect = max(d[1] for d in rows[r[0]]), min(d[2] for d in rows[r[0]] if d[2] is not None)
        return bool(decided <= r[2] and r[3] <= effect)

    def trained(r: Any) -> bool:
        return any(t[0] == r[1] and t[1] <= r[2] and r[3] < t[2] for t in training)

    good = [r for r in reviews if counts(r)]
    seconds: dict[int, int] = {}
    for r in good:
        seconds[r[3] - r[2]] = seconds.get(r[3] - r[2], 0) + 1
    return {
        "decisions": len(decisions),
        "high_stakes": len(high),
        "pending": len(high) - len(effective),
        "effective": len(effective),
        "reviewed": len({r[0] for r in good}),
        "by_trained": len({r[0] for r in good if trained(r)}),
        "reviewers": len({r[1] for r in good}),
        "untrained_reviewers": len({r[1] for r in good if not trained(r)}),
        "overridden": sum(r[4] == "changed" for r in good),
        "reviews_unreadable": sum(r[0] in high and (r[2] is None or r[3] is None or r[3] < r[2]) for r in reviews),
        "reviews_unmatched": sum(r[0] not in ids for r in reviews),
        "seconds": dict(sorted(seconds.items())),
    }


def told(found: ReviewCounts, names: Any) -> dict[str, Any]:
    return {name: getattr(found, name) for name in names}


EXAMPLE = (
    [(1, 0, 30, "reject"), (2, 0, 30, "reject"), (3, 0, None, "reject"), (4, 0, 20, "accept"), (5, 5, 30, None), (5, 6, 25, None)],
    [(1, "ann", 2, 22, "changed"), (2, "bo", 25, 35, "kept"), (5, "O'Neil", 7, 10, "kept"), (5, "bo", 6, None, "kept"), (9, "ann", 1, 2, "kept")],
    [("ann", 0, 40), ("O'Neil", 0, 9)],
)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    decisions=st.lists(decision, min_size=8, max_size=20), reviews=st.lists(review, min_size=10, max_size=30), training=st.lists(period, max_size=4)
)
def test_counts_equal_counting_by_hand(tmp_path: Path, decisions: list[Any], reviews: list[Any], training: list[Any]) -> None:
    left, right = frames(decisions, reviews)
    left.to_parquet(tmp_path / "decisions.parquet")
    right.to_parquet(tmp_path / "reviews.parquet")
    sources = [open_table(f"{name}.parquet", name=name, data_folder=tmp_path) for name in ("decisions", "reviews")]
    found = count_reviews(*logs(*sources), [Training(who, us(first), us(last)) for who, first, last in training])
    wanted = by_hand(decisions, reviews, training)
    assert told(found, wanted) == wanted


def test_a_review_that_the_log_holds_many_times_is_counted_once(tmp_path: Path) -> None:
    decisions = [(number, 0, 40, "reject") for number in range(1, 9)]
    hasty = [(number, "ann", 2, 4, "kept") for number in range(1, 8)]
    left, right = frames(decisions, [*hasty, *[(8, "ann", 5, 35, "kept")] * 500])
    left.to_parquet(tmp_path / "decisions.parquet")
    right.to_parquet(tmp_path / "reviews.parquet")
    sources = [open_table(f"{name}.parquet", name=name, data_folder=tmp_path) for name in ("decisions", "reviews")]
    assert count_reviews(*logs(*sources), None).seconds == {2: 7, 30: 1}, "the one review that took its time does not hide the others"


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> PostgresServer:
    postgres.create_database("logs")
    with postgres.connect("logs") as connection:
        connection.execute("CREATE TABLE decisions (decision_id int, decided_at timestamptz, took_effect_at timestamptz, decision text)")
        connection.execute("CREATE TABLE reviews (decision_id text, reviewer_id text, started_at text, finished_at timestamptz, outcome text)")
        for table, frame in zip(("decisions", "reviews"), frames(*EXAMPLE[:2]), strict=True):
            for row in frame.itertuples(index=False):
                values = [None if pd.isna(value) else value for value in row]
                connection.execute(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(values))})", values)
        connection.execute("CREATE ROLE log_reader LOGIN PASSWORD 'quiet'")
        connection.execute(
            "GRANT CONNECT ON DATABASE logs TO log_reader; REVOKE TEMPORARY ON DATABASE logs FROM PUBLIC; GRANT USAGE ON SCHEMA public TO log_reader"
        )
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO log_reader")
    return postgres


def test_postgresql_counts_the_same_for_a_role_that_can_only_read(database: PostgresServer) -> None:
    base = f"postgresql://log_reader:quiet@127.0.0.1:{database.port}/logs::"
    sources = [open_table(base + name, name=name, data_folder=Path("unused")) for name in ("decisions", "reviews")]
    found = count_reviews(*logs(*sources), [Training(who, us(first), us(last)) for who, first, last in EXAMPLE[2]])
    wanted = by_hand(*EXAMPLE)
    assert told(found, wanted) == wanted
    assert (found.reviewed, found.by_trained, found.pending, found.repeated_ids) == (2, 1, 1, 2)


def test_logs_in_two_engines_are_refused_because_rows_would_have_to_leave(database: PostgresServer, tmp_path: Path) -> None:
    frames(*EXAMPLE[:2])[1].to_parquet(tmp_path / "reviews.parquet")
    left = open_table(f"postgresql://log_reader:quiet@127.0.0.1:{database.port}/logs::decisions", name="decisions", data_folder=tmp_path)
    right = open_table("reviews.parquet", name="reviews", data_folder=tmp_path)
    with pytest.raises(DataError, match="another engine"):
        count_reviews(*logs(left, right), None)


def test_times_that_cannot_be_read_never_count_as_reviewed(tmp_path: Path) -> None:
    left, right = frames([(1, 0, 30, "reject")], [(1, "ann", 2, 22, "kept")])
    left["took_effect_at"] = "some day"
    left.to_parquet(tmp_path / "d.parquet")
    right.to_parquet(tmp_path / "r.parquet")
    sources = [open_table(f"{name}.parquet", name=name, data_folder=tmp_path) for name in ("d", "r")]
    found = count_reviews(*logs(*sources), None)
    assert (found.effective, found.unreadable, found.reviewed, found.pending) == (1, 1, 0, 0)


def test_decisions_without_an_id_are_refused_and_not_counted_as_one(tmp_path: Path) -> None:
    left, right = frames([(1, 0, 30, "reject"), (2, 0, 30, "reject")], [(1, "ann", 2, 22, "kept")])
    left["decision_id"] = pd.Series([1, None], dtype="Int64")
    left.to_parquet(tmp_path / "d.parquet")
    right.to_parquet(tmp_path / "r.parquet")
    sources = [open_table(f"{name}.parquet", name=name, data_folder=tmp_path) for name in ("d", "r")]
    with pytest.raises(DataError, match="'decision_id' is empty"):
        count_reviews(*logs(*sources), None)


def test_a_rule_over_numbers_and_one_that_does_not_fit_its_column(tmp_path: Path) -> None:
    left, right = frames([(1, 0, 30, "reject"), (2, 0, 30, "accept")], [(1, "ann", 2, 22, "kept")])
    left["amount"] = [500.0, 20_000.0]
    left.to_parquet(tmp_path / "d.parquet")
    right.to_parquet(tmp_path / "r.parquet")
    source, reviews = (open_table(f"{name}.parquet", name=name, data_folder=tmp_path) for name in ("d", "r"))
    columns = ("decision_id", "decided_at", "took_effect_at")
    review_log = logs(source, reviews)[1]
    assert count_reviews(DecisionLog(source, *columns, "amount", at_least=10_000), review_log, None).high_stakes == 1
    assert count_reviews(DecisionLog(source, *columns, "amount", at_most=10_000), review_log, None).reviewed == 1
    with pytest.raises(DataError, match="holds no numbers"):
        count_reviews(DecisionLog(source, *columns, "decision", at_least=1), review_log, None)
