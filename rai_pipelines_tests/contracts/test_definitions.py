"""The asset graph, its checks and triggers as a snapshot, so that a change to them is seen in review."""

from typing import Any

import dagster as dg
from syrupy.assertion import SnapshotAssertion

from rai_pipelines.orchestration.build import build_definitions
from rai_pipelines.policy.load import read_policy
from rai_pipelines.settings import Settings


def described() -> dict[str, Any]:
    definitions = build_definitions(Settings())
    graph = definitions.resolve_asset_graph()
    assets = {
        key.to_user_string(): {
            "after": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
            "group": graph.get(key).group_name,
            "kinds": sorted(graph.get(key).kinds),
            "owners": sorted(map(str, graph.get(key).owners)),
            "partitioned": graph.get(key).partitions_def is not None,
            "described": bool(graph.get(key).description),
            "checks": sorted(check.name for check in graph.get_check_keys_for_assets({key})),
        }
        for key in sorted(graph.get_all_asset_keys())
    }
    repository = definitions.get_repository_def()
    return {
        "assets": assets,
        "jobs": sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
        "sensors": {item.name: item.default_status.value for item in repository.sensor_defs},
        "schedules": {item.name: [str(item.cron_schedule), item.default_status.value] for item in repository.schedule_defs},
    }


def test_the_graph_is_the_one_that_was_reviewed(snapshot: SnapshotAssertion) -> None:
    assert described() == snapshot


def test_every_control_in_force_has_exactly_one_check_in_the_ui() -> None:
    names = [name for asset in described()["assets"].values() for name in asset["checks"]]
    wanted = [control.id.replace("-", "_") for control in read_policy().controls if control.effective_from is not None]
    assert sorted(name for name in names if name != "compliant") == sorted(wanted)


def test_every_asset_is_partitioned_described_and_owned() -> None:
    for name, asset in described()["assets"].items():
        assert asset["partitioned"] and asset["described"] and asset["owners"], name


def test_sensors_and_schedules_run_without_being_switched_on() -> None:
    found = described()
    assert set(found["sensors"].values()) == {dg.DefaultSensorStatus.RUNNING.value}
    assert {status for _, status in found["schedules"].values()} == {dg.DefaultScheduleStatus.RUNNING.value}
