"""A gap fails when it has lasted over windows, passes when all newest windows stay inside, and is undecided between; nothing passes unmeasured."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from rai_pipelines.evidence.model import Measurement, State
from rai_pipelines.policy.checks.base import Question
from rai_pipelines.policy.checks.fairness_windows import FairnessWindowsParameters, FairnessWindowsThreshold, judge_fairness_windows
from rai_pipelines.policy.findings import FindingStatus, Judgement
from rai_pipelines.policy.model import Statistics
from rai_pipelines_tests.conftest import DAY, evidence, figure

PARITY = "demographic_parity_difference"
Z90 = 1.6448536269514722


def gap(value: float, window: int, *, se: float = 0.01, attribute: str = "sex", metric: str = PARITY) -> Measurement:
    return figure(
        metric, value, max(0.0, value - Z90 * se), value + Z90 * se, attribute=attribute, group=f"window {window}", n=5_000, standard_error=se
    )


def windows(*numbers: int, complete: tuple[int, ...] | None = None, until: str = "2026-12-14T00:00:00+00:00") -> list[dict[str, Any]]:
    whole = complete if complete is not None else numbers
    return [{"window": number, "decisions": 5_000, "from": until, "to": until, "complete": number in whole} for number in numbers]


def judged(*measurements: Measurement, held: list[dict[str, Any]] | None = None, day: date = DAY, **threshold: Any) -> Judgement:
    found = evidence("fairness_windows", *measurements, details={"windows": held if held is not None else windows(1, 2, 3)})
    asked = FairnessWindowsThreshold.model_validate({"demographic_parity_difference_max": 0.1, **threshold})
    return judge_fairness_windows(Question(asked, FairnessWindowsParameters(), {"fairness_windows": found}, Statistics(), "internal", day=day))


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ((0.30, 0.02, 0.03), FindingStatus.PASS),  # an old gap that is closed
        ((0.02, 0.30, 0.30), FindingStatus.FAIL),
        ((0.02, 0.02, 0.30), FindingStatus.INCONCLUSIVE),  # one window is no trend
        ((0.30, 0.30, 0.02), FindingStatus.INCONCLUSIVE),
        ((0.02, 0.095, 0.02), FindingStatus.INCONCLUSIVE),  # inside, but not its interval
        ((0.02, 0.105, 0.30), FindingStatus.INCONCLUSIVE),  # outside, but by luck as like as not
    ],
)
def test_the_newest_windows_decide_together(values: tuple[float, ...], status: FindingStatus) -> None:
    assert judged(*(gap(value, number) for number, value in enumerate(values, start=1))).status is status


def test_a_failure_tells_every_window_and_rests_on_the_mildest() -> None:
    (found,) = judged(gap(0.02, 1), gap(0.30, 2), gap(0.20, 3)).figures
    assert found.value == 0.20 and found.p_adjusted is not None and found.p_adjusted < 0.001
    assert found.label == "demographic parity difference of sex, in the mildest of 2 windows"
    assert str(found.note).startswith("window 2: 0.3, window 3: 0.2")


def test_how_many_windows_in_a_row_is_the_policys() -> None:
    lasting = [gap(0.02, 1), gap(0.30, 2), gap(0.30, 3)]
    assert judged(*lasting, windows_in_a_row=3).status is FindingStatus.INCONCLUSIVE
    assert judged(gap(0.02, 1), gap(0.02, 2), gap(0.30, 3), windows_in_a_row=1).status is FindingStatus.FAIL


def test_a_window_that_is_still_filling_decides_nothing() -> None:
    lasting = [gap(0.30, 1), gap(0.30, 2), gap(0.02, 3)]
    assert judged(*lasting, held=windows(1, 2, 3, complete=(1, 2))).status is FindingStatus.FAIL
    few = judged(gap(0.02, 1), held=windows(1))
    assert few.status is FindingStatus.INCONCLUSIVE and few.figures[0].note == "1 complete windows of 2"


def test_what_was_not_measured_never_passes() -> None:
    assert judged().status is FindingStatus.MISSING
    late = gap(0.02, 3).model_copy(update={"value": None, "interval": None, "state": State.INSUFFICIENT, "note": "outcomes are known of 10%"})
    undecided = judged(gap(0.02, 2), late)
    assert undecided.status is FindingStatus.INCONCLUSIVE and undecided.figures[0].note == "window 3: outcomes are known of 10%"
    absent = Measurement(metric=PARITY, value=None, attribute="age", state=State.UNAVAILABLE, note="not held")
    assert judged(gap(0.02, 2), gap(0.02, 3), absent).status is FindingStatus.MISSING
    odds = judged(gap(0.02, 2), gap(0.02, 3), equalized_odds_difference_max=0.1)
    assert odds.status is FindingStatus.MISSING, "a difference that the policy asks for and nobody measured"


def test_an_attribute_that_is_absent_from_one_window_is_undecided() -> None:
    found = judged(gap(0.02, 2), gap(0.02, 3), gap(0.02, 3, attribute="age"))
    assert found.status is FindingStatus.INCONCLUSIVE


@pytest.mark.parametrize(("day", "status"), [(date(2026, 12, 30), FindingStatus.PASS), (date(2027, 2, 1), FindingStatus.FAIL)])
def test_windows_that_ended_long_ago_say_nothing_of_today(day: date, status: FindingStatus) -> None:
    assert judged(gap(0.02, 2), gap(0.02, 3), day=day, newest_decision_age_days_max=45).status is status
    assert judged(gap(0.02, 2), gap(0.02, 3), day=day).status is FindingStatus.PASS, "nobody asks"


def test_at_the_bound_hardly_anything_fails_and_a_real_gap_is_found() -> None:
    rng, attributes = np.random.default_rng(20261201), [f"a{number}" for number in range(6)]

    def failing(truth: float, audits: int = 400) -> float:
        outcomes = []
        for row in truth + 0.02 * rng.standard_normal((audits, len(attributes), 2)):
            drawn = [gap(float(abs(row[place, at])), at, se=0.02, attribute=name) for place, name in enumerate(attributes) for at in (0, 1)]
            outcomes.append(judged(*drawn, held=windows(0, 1)).status)
        return sum(outcome is FindingStatus.FAIL for outcome in outcomes) / audits

    assert failing(0.10) <= 0.05, "all six attributes exactly at the bound"
    assert failing(0.20) >= 0.95
