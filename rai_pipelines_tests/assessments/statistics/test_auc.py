"""Areas under the ROC curve and their uncertainty against published examples."""

from __future__ import annotations

import pytest

from rai_pipelines.assessments.statistics.auc import hanley_mcneil_auc


def test_hanley_mcneil_reproduces_the_published_standard_error() -> None:
    # Hanley and McNeil (1982), section III: area 0.893, 51 abnormal and 58 normal images, standard error 0.032
    figure = hanley_mcneil_auc(0.893, 51, 58, 0.95)
    assert figure.standard_error == pytest.approx(0.032, abs=6e-4)
    assert 0 < figure.interval.low < 0.893 < figure.interval.high < 1


@pytest.mark.parametrize("area", [0.0, 1.0])
def test_a_perfect_area_is_not_reported_as_certain(area: float) -> None:
    interval = hanley_mcneil_auc(area, 25, 40, 0.9).interval
    assert interval.low <= area <= interval.high
    assert interval.high - interval.low > 0.05
