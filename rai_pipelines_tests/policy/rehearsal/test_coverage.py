"""All 21 cells are told, and nothing passes by omission."""

from datetime import date

from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Area, Tier, TierByRisk
from rai_pipelines.policy.rehearsal.coverage import CellState, coverage
from rai_pipelines_tests.conftest import DAY
from rai_pipelines_tests.policy.policies import changed


def test_every_cell_has_a_state_and_every_control_stands_in_its_cell() -> None:
    found = coverage(read_policy(), DAY)
    assert len(found.cells) == 21 == sum(found.counts.values())
    assert sorted(item.control for cell in found.cells for item in cell.controls) == sorted(control.id for control in read_policy().controls)
    assert found.counts[CellState.MISSING] == 0, "the shipped policy puts nothing in force that cannot be judged"


def test_a_control_in_force_without_a_check_makes_its_cell_missing() -> None:
    found = coverage(changed("PRIV-A", effective_from=DAY), DAY)
    (cell,) = [cell for cell in found.cells if (cell.area, cell.tier) == ("privacy", "advanced")]
    assert cell.state is CellState.MISSING
    assert "not verified by this version" in str(cell.controls[0].why)


def test_a_cell_without_any_control_is_missing() -> None:
    policy = read_policy()
    fewer = policy.model_copy(update={"controls": tuple(item for item in policy.controls if item.id != "FAIR-A")})
    assert coverage(fewer, DAY).counts[CellState.MISSING] == 1


def test_declarations_are_not_called_measurements() -> None:
    states = {item.control: item.state for cell in coverage(read_policy(), DAY).cells for item in cell.controls}
    assert states["ACCT-B"] is states["TRAN-B"] is CellState.DECLARED
    assert states["FAIR-S"] is CellState.MEASURED


def test_before_its_day_a_cell_is_not_in_force() -> None:
    found = coverage(read_policy(), date(2026, 10, 31))
    assert found.counts[CellState.NOT_IN_FORCE] == 21


def test_a_tier_that_no_risk_class_has_to_meet_is_not_called_measured() -> None:
    policy = changed("SAFE-A", check="adversarial_suite", threshold={"robust_to_clean_ratio_min": 0.8}, effective_from=DAY)
    asked, nobody = (policy.model_copy(update={"tiers": TierByRisk(high=tier)}) for tier in (Tier.ADVANCED, Tier.STANDARD))
    states = [{(cell.area, cell.tier): cell for cell in coverage(item, DAY).cells}[Area.SAFETY, Tier.ADVANCED] for item in (asked, nobody)]
    assert [cell.state for cell in states] == [CellState.MEASURED, CellState.NOT_IN_FORCE]
    assert "no risk class has to meet this tier" in str(states[1].controls[0].why)
