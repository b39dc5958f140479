"""The plan of audits, against a simulated registry and Dagster: every version exactly once, whatever goes wrong in between."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from rai_pipelines.orchestration.planning import (
    OVERLAP_MS,
    AuditPlan,
    Pending,
    RunState,
    Seen,
    WatchState,
    monthly_run_key,
    plan_audits,
    plan_monthly,
    run_key,
)

MAX_ATTEMPTS = 3


@dataclass
class World:
    """A registry, a run queue that launches each run key once, and a store of verdicts."""

    versions: dict[str, int] = field(default_factory=dict)
    runs: dict[str, RunState] = field(default_factory=dict)
    judged: dict[str, int] = field(default_factory=dict)
    launches: list[str] = field(default_factory=list)
    state: WatchState = field(default_factory=WatchState)
    now_ms: int = 0

    def tick(self, *, batch: int = 5, lose_cursor: bool = False, crash_after_launch: bool = False, announce: bool = False) -> AuditPlan:
        if lose_cursor:
            self.state = WatchState()
        listed = sorted((created, key) for key, created in self.versions.items() if created >= self.state.look_from_ms)
        snapshot = [Seen(key, created) for created, key in listed[: batch + len(self.state.seen)]]
        announced = [Seen(key, created) for key, created in self.versions.items()] if announce else []  # every webhook there ever was, again
        asked = {"runs": self.runs, "judged_at_ms": self.judged, "max_attempts": MAX_ATTEMPTS, "batch": batch, "announced": announced}
        plan = plan_audits(snapshot, self.state, **asked)  # type: ignore[arg-type]
        for request in plan.requests:
            if request.run_key not in self.runs:  # what Dagster does: a run key launches once
                self.runs[request.run_key] = RunState.ACTIVE
                self.launches.append(request.run_key)
        if not crash_after_launch:
            self.state = WatchState.from_cursor(plan.state.to_cursor())
        return plan

    def finish(self, succeed: bool) -> None:
        for key, state in self.runs.items():
            if state is RunState.ACTIVE:
                self.runs[key] = RunState.SUCCEEDED if succeed else RunState.FAILED
                if succeed:
                    self.judged[key.split(":")[0]] = max(self.now_ms, self.versions[key.split(":")[0]])

    def active_of(self, key: str) -> int:
        return sum(1 for name, state in self.runs.items() if name.split(":")[0] == key and state is RunState.ACTIVE)


def test_a_thousand_versions_in_the_same_millisecond_are_launched_once_each() -> None:
    world = World(versions={f"m/{number}": 5_000 for number in range(1000)})
    for _ in range(30):
        world.tick(batch=200)
    assert len(world.launches) == len(set(world.launches)) == 1000


def test_nothing_new_launches_nothing() -> None:
    world = World(versions={"m/1": 1})
    world.tick()
    world.finish(succeed=True)
    assert world.tick().requests == ()
    assert world.tick().state.pending == {}


def test_a_version_committed_late_with_an_older_stamp_is_found() -> None:
    world = World(versions={"m/2": OVERLAP_MS * 2})
    world.tick()
    world.versions["m/1"] = OVERLAP_MS * 2 - OVERLAP_MS // 2
    assert [request.key for request in world.tick().requests] == ["m/1"]


def test_a_failed_run_is_tried_again_until_a_person_has_to_look() -> None:
    world = World(versions={"m/1": 1})
    given_up = []
    for _ in range(8):
        given_up += world.tick().given_up
        world.finish(succeed=False)
    assert world.launches == [run_key("m/1", Pending(1, attempt)) for attempt in (1, 2, 3)]
    assert given_up == ["m/1"]


def test_a_run_that_succeeded_without_a_verdict_counts_as_failed() -> None:
    world = World(versions={"m/1": 1})
    world.tick()
    world.runs = dict.fromkeys(world.runs, RunState.SUCCEEDED)
    assert world.tick().requests[0].attempt == 2


def test_a_registry_whose_clock_is_ahead_costs_no_second_audit() -> None:
    world = World(versions={"m/1": 600_000})  # five minutes ahead of whoever stores the verdict
    world.tick()
    world.runs, world.judged = dict.fromkeys(world.runs, RunState.SUCCEEDED), {"m/1": 300_000}
    assert world.tick().requests == () and world.state.pending == {}
    assert world.tick(lose_cursor=True).requests[0].run_key in world.runs, "asked for again by the key that Dagster launches once"
    assert world.tick().requests == () and len(world.launches) == 1


def test_a_name_that_was_deleted_and_made_anew_is_audited_again() -> None:
    world = World(versions={"m/1": 1_000}, now_ms=2_000)
    world.tick()
    world.finish(succeed=True)
    world.tick()
    world.versions["m/1"] = 9_000_000
    assert [request.key for request in world.tick().requests] == ["m/1"]


def test_a_lost_cursor_launches_no_judged_version_even_when_its_runs_were_pruned() -> None:
    world = World(versions={"m/1": 1, "m/2": 2})
    world.tick()
    world.finish(succeed=True)
    world.runs.clear()
    assert world.tick(lose_cursor=True).requests == ()


def test_a_foreign_cursor_starts_afresh() -> None:
    for text in ("", "7", "[]", '{"pending": 3}', "not json", '{"pending": {"a": [1]}}'):
        assert WatchState.from_cursor(text) == WatchState()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("register"), st.integers(0, 40), st.integers(0, 3)),
        st.tuples(st.just("tick"), st.sampled_from(["plain", "lose_cursor", "crash", "announced"]), st.integers(1, 4)),
        st.tuples(st.just("finish"), st.booleans(), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_whatever_happens_every_version_is_judged_or_given_up_and_no_run_key_launches_twice(happenings: list[tuple[str, object, int]]) -> None:
    world = World()
    for kind, what, number in happenings:
        if kind == "register":
            world.now_ms += number
            world.versions.setdefault(f"m/{what}", world.now_ms)
        elif kind == "tick":
            world.tick(batch=number, lose_cursor=what == "lose_cursor", crash_after_launch=what == "crash", announce=what == "announced")
        else:
            world.finish(succeed=bool(what))
        assert all(world.active_of(key) <= 1 for key in world.versions)
    for _ in range(60):
        world.tick(batch=3)
        world.finish(succeed=True)
    assert len(world.launches) == len(set(world.launches))
    for key, created in world.versions.items():
        attempts = [name for name in world.runs if name.startswith(f"{key}:")]
        assert world.judged.get(key, -1) >= created or len(attempts) == MAX_ATTEMPTS, key


@given(st.integers(0, 10**12), st.dictionaries(st.text(max_size=5), st.integers(0, 10**12)), st.dictionaries(st.text(max_size=5), st.integers(1, 9)))
def test_the_cursor_comes_back_unchanged(watermark: int, seen: dict[str, int], attempts: dict[str, int]) -> None:
    state = WatchState(watermark, seen, {key: Pending(watermark, attempt) for key, attempt in attempts.items()})
    assert WatchState.from_cursor(state.to_cursor()) == state


def monthly(live: list[str], **known: object) -> list[str]:
    arguments = {"month": "2026-12", "month_start_ms": 1_000, "runs": {}, "judged_at_ms": {}, "max_attempts": 2, **known}
    return [request.run_key for request in plan_monthly(live, **arguments)]  # type: ignore[arg-type]


def test_every_live_version_is_audited_once_a_month() -> None:
    assert monthly(["m/1", "n/2", "m/1"]) == [monthly_run_key("m/1", "2026-12", 1), monthly_run_key("n/2", "2026-12", 1)]
    assert monthly(["m/1"], judged_at_ms={"m/1": 1_500}) == []
    assert monthly(["m/1"], judged_at_ms={"m/1": 999}) == [monthly_run_key("m/1", "2026-12", 1)]


def test_a_failed_monthly_audit_is_caught_up_and_a_running_one_is_left_alone() -> None:
    first, second = (monthly_run_key("m/1", "2026-12", attempt) for attempt in (1, 2))
    assert monthly(["m/1"], runs={first: RunState.FAILED}) == [second]
    assert monthly(["m/1"], runs={first: RunState.ACTIVE}) == []
    assert monthly(["m/1"], runs={first: RunState.FAILED, second: RunState.FAILED}) == []
