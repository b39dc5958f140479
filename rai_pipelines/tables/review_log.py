"""Decisions joined with their reviews, in the engine that holds both logs: only counts leave it, never a row, never a reviewer's id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from rai_pipelines.errors import DataError
from rai_pipelines.tables.instants import SECOND_US, instant_us
from rai_pipelines.tables.profile import whole

if TYPE_CHECKING:
    from rai_pipelines.tables.source import TableSource

LONGEST_S = 24 * 3600  # longer reviews are counted as this long: nothing hangs on how much longer


@dataclass(frozen=True)
class DecisionLog:
    """The decision log and its columns. `stakes` is the column that tells high-stakes decisions, by one of the conditions."""

    source: TableSource
    decision: str
    decided_at: str
    effect_at: str
    stakes: str
    values: Sequence[str] = ()
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True)
class ReviewLog:
    """The review log and its columns; `overridden` are outcomes by which the reviewer decided otherwise than the model."""

    source: TableSource
    decision: str
    reviewer: str
    started_at: str
    finished_at: str
    outcome: str
    overridden: Sequence[str]


@dataclass(frozen=True)
class Training:
    """One period in which one person counts as trained: [from_us, until_us) in microseconds since 1970."""

    reviewer: str
    from_us: int
    until_us: int


@dataclass(frozen=True)
class ReviewCounts:
    """What the joined logs say, in counts.

    Of the `high_stakes` decisions, `pending` have not taken effect, `unreadable` have a time that cannot be read, and `effective` took effect
    (unreadable ones among them: they are never counted as reviewed). `reviewed` of these had a review that began after the decision and
    ended before its effect; `by_trained` one by a person who was trained throughout.
    `seconds` counts those reviews by whole seconds, `overridden` of them changed the decision. `reviews_unreadable` reviews of high-stakes
    decisions have no readable times or end before they begin; `reviews_unmatched` are about no decision of the log.
    """

    decisions: int
    repeated_ids: int
    high_stakes: int
    pending: int
    unreadable: int
    effective: int
    reviewed: int
    by_trained: int
    reviewers: int
    untrained_reviewers: int
    overridden: int
    reviews_unreadable: int
    reviews_unmatched: int
    seconds: Mapping[int, int]


def count_reviews(decisions: DecisionLog, reviews: ReviewLog, training: Sequence[Training] | None) -> ReviewCounts:
    """Join the logs and count. Without `training` nobody counts as trained.

    Raises:
        DataError: a column is not there, a decision has no id, the logs lie in different engines, or an engine refuses.
    """
    import ibis

    decided = _decisions(decisions)
    reviewed = _reviews(reviews, decisions.source)
    by_id = decided.group_by("id").aggregate(
        n=decided.count(),
        high=decided.high.any(),
        decided_us=decided.decided_us.max(),
        effect_us=decided.effect_us.min(),
        waiting=decided.waiting.all(),
        unread=(decided.decided_us.isnull() | (decided.effect_us.isnull() & ~decided.waiting)).any(),
    )
    high = by_id.filter(by_id.high)
    joined = reviewed.join(high, reviewed.decision == high.id)
    joined = joined.mutate(
        readable=joined.start_us.notnull() & joined.end_us.notnull() & (joined.end_us >= joined.start_us).fill_null(False),
    )
    counted = joined.mutate(
        counts=(
            joined.readable & ~joined.unread & ~joined.waiting & (joined.start_us >= joined.decided_us) & (joined.end_us <= joined.effect_us)
        ).fill_null(False)
    )
    trained = _trained(counted, training)
    source = decisions.source
    per_decision = trained.filter(trained.counts).group_by("id").aggregate(by_trained=trained.trained.any())
    found = high.left_join(per_decision, high.id == per_decision.id).select(
        high.waiting, high.unread, hit=per_decision.id, by_trained=per_decision.by_trained
    )
    effective = ~found.waiting | found.unread
    people = trained.filter(trained.counts).group_by("reviewer").aggregate(always=trained.trained.all())
    unmatched = reviewed.anti_join(by_id, reviewed.decision == by_id.id)
    figures = (
        found.aggregate(
            high=found.count(),
            pending=(found.waiting & ~found.unread).sum(),
            unread=found.unread.sum(),
            effective=effective.sum(),
            reviewed=(effective & found.hit.notnull()).sum(),
            by_trained=(effective & found.by_trained.fill_null(False)).sum(),
        ),
        people.aggregate(reviewers=people.count(), untrained=(~people.always).sum()),
        by_id.aggregate(
            decisions=by_id.n.sum().cast("int64"), repeated=by_id.n.sum(where=by_id.n > 1).cast("int64"), nameless=by_id.id.isnull().sum()
        ),
        joined.aggregate(unclear=(~joined.readable).sum()),
        unmatched.aggregate(unmatched=unmatched.count()),
    )
    row = source.run(reduce(lambda one, other: one.cross_join(other), figures)).iloc[0]  # one query: every log is read as of one moment
    if whole(row["nameless"]):
        raise DataError(f"column {decisions.decision!r} is empty in some rows", where=source.shown, hint="A decision without an id cannot be traced")
    kept = counted.filter(counted.counts)
    seconds = ibis.least((kept.end_us - kept.start_us) // SECOND_US, LONGEST_S).cast("int64")
    spread = source.run(kept.group_by(s=seconds).aggregate(n=kept.count(), overridden=kept.overridden.sum())).sort_values("s")
    return ReviewCounts(
        decisions=whole(row["decisions"]),
        repeated_ids=whole(row["repeated"]),
        high_stakes=whole(row["high"]),
        pending=whole(row["pending"]),
        unreadable=whole(row["unread"]),
        effective=whole(row["effective"]),
        reviewed=whole(row["reviewed"]),
        by_trained=whole(row["by_trained"]),
        reviewers=whole(row["reviewers"]),
        untrained_reviewers=whole(row["untrained"]),
        overridden=sum(whole(value) for value in spread["overridden"]),
        reviews_unreadable=whole(row["unclear"]),
        reviews_unmatched=whole(row["unmatched"]),
        seconds={int(s): int(n) for s, n in zip(spread["s"], spread["n"], strict=True)},
    )


def _decisions(log: DecisionLog) -> Any:
    """One row per logged decision: id, times, whether it waits for its effect, and whether it is high-stakes."""
    source = log.source
    source.require(log.decision, log.decided_at, log.effect_at, log.stakes)
    table = source.table()
    column = table[log.stakes]
    if log.values:
        high = column.cast("string").isin([str(value) for value in log.values])
    elif not column.type().is_numeric():
        raise DataError(f"column {log.stakes!r} holds no numbers", where=source.shown, hint="Use oversight.high_stakes.values for words")
    else:
        high = column >= log.at_least if log.at_least is not None else column <= log.at_most
    return table.select(
        id=table[log.decision].cast("string"),
        decided_us=_instant(source, log.decided_at),
        effect_us=_instant(source, log.effect_at),
        waiting=table[log.effect_at].isnull(),
        high=high.fill_null(True),  # where the rule has no value to go by, the decision counts as high-stakes
    )


def _reviews(log: ReviewLog, beside: TableSource) -> Any:
    """One row per review, opened in the engine of the decision log; a row that stands there twice, as some exports leave it, is one review."""
    log.source.require(log.decision, log.reviewer, log.started_at, log.finished_at, log.outcome)
    source = log.source.beside(beside)
    if source is None:
        raise DataError(
            "lies in another engine than the decision log", where=log.source.shown, hint="Keep both logs in one database, or both as files"
        )
    table = source.table()
    return table.select(
        decision=table[log.decision].cast("string"),
        reviewer=table[log.reviewer].cast("string"),
        start_us=_instant(source, log.started_at),
        end_us=_instant(source, log.finished_at),
        overridden=table[log.outcome].cast("string").isin([str(value) for value in log.overridden]).fill_null(False),
    ).distinct()


def _instant(source: TableSource, column: str) -> Any:
    instant = instant_us(source, column)
    if instant is None:
        raise DataError(f"column {column!r} holds no times", where=source.shown, hint="Use timestamps, dates or ISO 8601 text")
    return instant


def _trained(reviews: Any, training: Sequence[Training] | None) -> Any:
    """Each review with whether its reviewer was trained from its begin to its end."""
    import ibis

    if not training:
        return reviews.mutate(trained=ibis.literal(False))
    # as literals in the query: a role that can only read cannot make the temporary table that a table in memory would need
    numbers = ibis.array(list(range(len(training)))).cast("array<int64>").unnest().name("i").as_table()
    periods = numbers.select(
        person=ibis.array([item.reviewer for item in training])[numbers.i],
        from_us=ibis.array([item.from_us for item in training]).cast("array<int64>")[numbers.i],
        until_us=ibis.array([item.until_us for item in training]).cast("array<int64>")[numbers.i],
    )
    valid = [reviews.reviewer == periods.person, reviews.start_us >= periods.from_us, reviews.end_us < periods.until_us]
    matched = reviews.inner_join(periods, valid).select(*[reviews[name] for name in ("reviewer", "start_us", "end_us")]).distinct()
    known = matched.mutate(trained=ibis.literal(True)).rename(r="reviewer", s="start_us", e="end_us")
    keys = [reviews.reviewer == known.r, reviews.start_us == known.s, reviews.end_us == known.e]
    return reviews.left_join(known, keys).mutate(trained=ibis._.trained.fill_null(False)).drop("r", "s", "e")
