"""Sensor, schedule and failure sensor on an ephemeral Dagster instance and a real MLflow registry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml

from rai_pipelines.audit import VERDICT, build_auditor
from rai_pipelines.evidence.model import Evidence, Status
from rai_pipelines.evidence.store import LocalEvidenceStore
from rai_pipelines.governance.database.engine import open_governance
from rai_pipelines.governance.database.tables import judgements
from rai_pipelines.governance.gate.registry_sync import COULD_NOT_AUDIT, TAG_VERDICT
from rai_pipelines.governance.webhooks.announcement import NEW_VERSION, Announcement
from rai_pipelines.governance.webhooks.inbox import take
from rai_pipelines.orchestration.build import build_definitions
from rai_pipelines.orchestration.jobs import AUDIT_JOB, TAG_MONTH, TAG_RUN_KEY, TAG_TRIGGER
from rai_pipelines.orchestration.partitions import MODEL_VERSIONS
from rai_pipelines.policy.load import read_policy, shipped_policy_path
from rai_pipelines.policy.verdict import Verdict, judge
from rai_pipelines.release import AUDIT_RUN
from rai_pipelines.settings import Settings
from rai_pipelines.steps import WATCHED, steps
from rai_pipelines.subjects.mlflow_registry import MlflowRegistry
from rai_pipelines.subjects.names import ModelVersion
from rai_pipelines_tests.conftest import evidence
from rai_pipelines_tests.registries import new_registry

PARTITIONS = str(MODEL_VERSIONS.name)


class House:
    """A home with its registry, store and definitions, and an instance to tick on."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, **settings: object) -> None:
        self.folder = folder
        self.instance = instance
        self.settings = Settings(home=folder, **settings)  # type: ignore[arg-type]
        self.registry = MlflowRegistry(new_registry(self.settings.registry_uri))
        self.store = LocalEvidenceStore(self.settings.evidence_dir)
        self.cursor: str | None = None

    def register(self, name: str = "m", count: int = 1) -> list[ModelVersion]:
        return [self.registry.register(name, self.folder) for _ in range(count)]

    def tick(self, **settings: object) -> dg.SensorResult | dg.SkipReason:
        """One evaluation of the sensor as the daemon does it: partitions are added, the cursor is kept, run keys launch once."""
        chosen = self.settings.model_copy(update=settings)
        sensor = build_definitions(chosen).resolve_sensor_def("new_model_versions")
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=build_definitions(chosen))
        result = sensor(context)
        if isinstance(result, dg.SensorResult):
            for request in result.dynamic_partitions_requests or []:
                self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
            self.cursor = result.cursor
        return result

    def launched(self, result: object) -> list[dg.RunRequest]:
        return list(result.run_requests or []) if isinstance(result, dg.SensorResult) else []

    def start(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        """A run of that request in the instance's history, in the given state."""
        tags = {**request.tags, "dagster/partition": str(request.partition_key)}
        return self.instance.add_run(dg.DagsterRun(job_name=AUDIT_JOB, tags=tags, status=status))

    def judge(self, version: ModelVersion) -> None:
        self.store.put(evidence(VERDICT), kind=VERDICT, folder=version.key, status=Status.COMPLETE)

    def audit(self, version: ModelVersion, *names: str) -> None:
        """Evidence of these assessments (all, where none is named), and a verdict on it under the policy in force."""
        for name in names or tuple(steps()):
            self.store.put(evidence(name), kind=name, folder=version.key, status=Status.COMPLETE)
        verdict = judge(read_policy(), {}, model_name=version.name, model_version=version.version, day=date(2026, 12, 1))
        self.store.put(verdict, kind=VERDICT, folder=version.key, status=Status.COMPLETE)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with dg.instance_for_test() as instance:
        yield House(tmp_path, instance)


def test_a_new_version_becomes_a_partition_and_a_run(house: House) -> None:
    (version,) = house.register("credit scoring, eu")
    (request,) = house.launched(house.tick())
    assert request.partition_key == version.key
    assert request.tags["rai/model"] == "credit%20scoring%2C%20eu"
    assert house.instance.has_dynamic_partition(PARTITIONS, version.key)


def test_the_next_tick_launches_nothing_while_the_audit_runs_and_after_it_ended(house: House) -> None:
    (version,) = house.register()
    (request,) = house.launched(house.tick())
    house.start(request, dg.DagsterRunStatus.STARTED)
    assert house.launched(house.tick()) == []
    house.judge(version)
    assert house.launched(house.tick()) == []


def test_a_failed_or_canceled_run_is_launched_again_under_a_new_run_key(house: House) -> None:
    house.register()
    keys = []
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE):
        (request,) = house.launched(house.tick())
        house.start(request, status)
        keys.append(request.run_key)
    assert len(set(keys)) == 3
    assert house.launched(house.tick()) == [], "after three attempts a person has to look"


def test_a_restart_with_a_lost_cursor_uses_the_same_run_key(house: House) -> None:
    house.register()
    (first,) = house.launched(house.tick())
    house.cursor = None
    (second,) = house.launched(house.tick())
    assert first.run_key == second.run_key, "Dagster launches a run key once"


def test_an_outage_of_the_registry_skips_the_tick_and_keeps_the_cursor(house: House) -> None:
    house.register()
    house.tick()
    before = house.cursor
    result = house.tick(tracking_uri="http://127.0.0.1:9")
    assert isinstance(result, dg.SkipReason)
    assert "did not answer" in str(result.skip_message)
    assert house.cursor == before
    assert len(house.instance.get_dynamic_partitions(PARTITIONS)) == 1


def test_many_versions_are_launched_in_batches_without_loss(house: House) -> None:
    registered = {version.key for version in house.register(count=25)}
    launched: list[str] = []
    for _ in range(6):
        for request in house.launched(house.tick(sensor_batch=10)):
            house.start(request, dg.DagsterRunStatus.STARTED)
            launched.append(str(request.partition_key))
    assert sorted(launched) == sorted(registered)


def announce(house: House, *numbers: str, name: str = "m") -> None:
    """As the webhook service notes it."""
    engine = open_governance(house.settings)
    for number in numbers:
        take(engine, Announcement(f"{name}-{number}", NEW_VERSION, name, number), now=datetime.now(UTC), follows=True)
    engine.dispose()


def test_a_version_that_was_announced_comes_first_with_the_run_key_that_polling_would_give_it(house: House) -> None:
    versions = house.register(count=4)
    (polled,) = house.launched(house.tick(sensor_batch=1))
    house.cursor = None
    announce(house, "4")
    (first,) = house.launched(house.tick(sensor_batch=1))
    assert (polled.partition_key, first.partition_key) == (versions[0].key, versions[3].key)
    house.start(first, dg.DagsterRunStatus.STARTED)
    launched = [first]
    for _ in range(5):
        for request in house.launched(house.tick(sensor_batch=1)):
            house.start(request, dg.DagsterRunStatus.STARTED)
            launched.append(request)
    assert sorted(str(request.partition_key) for request in launched) == [version.key for version in versions], "each once"
    assert polled.run_key in {request.run_key for request in launched}


def test_an_announcement_after_the_audit_or_of_nothing_launches_nothing(house: House) -> None:
    (version,) = house.register()
    (request,) = house.launched(house.tick())
    house.start(request, dg.DagsterRunStatus.STARTED)
    announce(house, "1", "99")
    assert house.launched(house.tick()) == []
    house.judge(version)
    assert house.launched(house.tick()) == []
    house.cursor = None
    announce(house, "1", name="never there")
    assert house.launched(house.tick()) == []


def test_an_inbox_that_cannot_be_read_leaves_everything_to_polling(house: House, tmp_path: Path) -> None:
    house.register()
    broken = tmp_path / "no database"
    broken.write_bytes(b"not SQLite" * 500)
    assert len(house.launched(house.tick(governance_url=f"sqlite:///{broken}"))) == 1


def test_a_receipt_that_cannot_be_read_keeps_no_other_version_from_being_audited(house: House) -> None:
    damaged, fine = house.register(count=2)
    house.registry.set_alias("champion", damaged)
    house.judge(damaged)
    receipt = house.store.root / "latest" / damaged.key / f"{VERDICT}.json"
    receipt.write_bytes(b"")
    assert {request.partition_key for request in house.launched(house.tick())} == {damaged.key, fine.key}
    assert [request.partition_key for request in schedule_tick(house, datetime(2127, 1, 1, 3, tzinfo=UTC))] == [damaged.key]


def schedule_tick(house: House, moment: datetime, *, name: str = "monthly_audits") -> list[dg.RunRequest]:
    definitions = build_definitions(house.settings)
    context = dg.build_schedule_context(instance=house.instance, scheduled_execution_time=moment, repository_def=definitions.get_repository_def())
    result = definitions.resolve_schedule_def(name).evaluate_tick(context)
    return list(result.run_requests or [])


def test_every_live_version_is_audited_on_the_first_of_the_month_and_once_only(house: House) -> None:
    champion, tagged, _idle = house.register(count=3)
    house.registry.set_alias("champion", champion)
    house.registry.set_tags(tagged, {"stage": "production"})
    first = schedule_tick(house, datetime(2127, 1, 1, 3, tzinfo=UTC))
    assert sorted(str(request.partition_key) for request in first) == sorted([champion.key, tagged.key])
    assert {request.tags[TAG_MONTH] for request in first} == {"2127-01"}
    house.start(first[0], dg.DagsterRunStatus.SUCCESS)
    house.start(first[1], dg.DagsterRunStatus.FAILURE)
    second = schedule_tick(house, datetime(2127, 1, 2, 3, tzinfo=UTC))
    assert [request.tags[TAG_RUN_KEY].endswith("monthly:2") for request in second] == [True] * len(second)
    assert str(first[1].partition_key) in {str(request.partition_key) for request in second}
    assert schedule_tick(house, datetime(2127, 2, 1, 3, tzinfo=UTC)), "a new month is a new audit"


def test_a_month_whose_first_week_was_lost_is_caught_up_with(house: House) -> None:
    (version,) = house.register()
    house.registry.set_alias("champion", version)
    schedule = build_definitions(house.settings).resolve_schedule_def("monthly_audits")
    assert str(schedule.cron_schedule).endswith(" * * *"), "it is looked at on every day of the month"
    back = datetime(2127, 1, 8, 3, tzinfo=UTC)  # the registry was down until then, or the version came into use that day
    assert [request.tags[TAG_MONTH] for request in schedule_tick(house, back)] == ["2127-01"]
    last = datetime(2127, 1, 31, 3, tzinfo=UTC)
    house.start(schedule_tick(house, last)[0], dg.DagsterRunStatus.STARTED)
    assert schedule_tick(house, last) == [], "once only"


def test_a_version_judged_this_month_owes_no_monthly_audit(house: House) -> None:
    (version,) = house.register()
    house.registry.set_alias("champion", version)
    house.audit(version)
    assert schedule_tick(house, datetime.now(UTC)) == []


def test_a_look_at_production_is_not_the_audit_of_the_month(house: House) -> None:
    (version,) = house.register()
    house.registry.set_alias("champion", version)
    house.audit(version, *WATCHED)
    assert [request.partition_key for request in schedule_tick(house, datetime.now(UTC))] == [version.key]


def test_a_version_in_use_is_looked_at_once_a_day_and_again_when_that_failed(house: House) -> None:
    live, idle = house.register(count=2)
    house.registry.set_alias("champion", live)
    for version in (live, idle):
        house.audit(version)
    (first,) = schedule_tick(house, datetime(2126, 12, 1, 4, 30, tzinfo=UTC), name="production_watch")
    assert (first.partition_key, first.tags[TAG_TRIGGER]) == (live.key, "production")
    house.start(first, dg.DagsterRunStatus.FAILURE)
    (second,) = schedule_tick(house, datetime(2126, 12, 1, 10, 30, tzinfo=UTC), name="production_watch")
    house.start(second, dg.DagsterRunStatus.SUCCESS)
    assert schedule_tick(house, datetime(2126, 12, 1, 16, 30, tzinfo=UTC), name="production_watch") == []
    assert len(schedule_tick(house, datetime(2126, 12, 2, 4, 30, tzinfo=UTC), name="production_watch")) == 1


def test_without_production_data_or_under_another_policy_there_is_nothing_to_look_at(house: House) -> None:
    bare, old = house.register(count=2)
    house.registry.set_alias("champion", bare)
    house.registry.set_alias("production", old)
    house.audit(bare)
    for name in WATCHED:
        house.store.put(evidence(name, status=Status.NOT_APPLICABLE, reason="no data"), kind=name, folder=bare.key, status=Status.NOT_APPLICABLE)
    house.audit(old)
    stored = house.store.latest(VERDICT, old.key)
    assert stored is not None
    other = house.store.get(stored.digest, Verdict).model_copy(update={"policy_digest": "sha256:" + "9" * 64})
    house.store.put(other, kind=VERDICT, folder=old.key, status=Status.COMPLETE)
    assert schedule_tick(house, datetime(2126, 12, 1, 4, 30, tzinfo=UTC), name="production_watch") == []


def test_a_failed_audit_run_leaves_a_finding_and_a_tag(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    (version,) = house.register()
    house.instance.add_dynamic_partitions(PARTITIONS, [version.key])

    def broken() -> object:
        raise MemoryError("the node ran out of memory")

    definitions = build_definitions(house.settings, make_auditor=broken)  # type: ignore[arg-type]
    result = definitions.resolve_job_def(AUDIT_JOB).execute_in_process(instance=house.instance, partition_key=version.key, raise_on_error=False)
    assert not result.success
    failure = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_audits", dagster_event=failure, dagster_instance=house.instance, dagster_run=result.dagster_run
    ).for_run_failure()
    build_definitions(house.settings).resolve_sensor_def("failed_audits")(context)
    kept = build_auditor(house.settings).store.latest_evidence(AUDIT_RUN, version.key)
    assert isinstance(kept, Evidence)
    assert kept.status is Status.ERROR
    assert result.dagster_run.run_id in str(kept.reason)
    assert house.registry.get(version).tags[TAG_VERDICT] == COULD_NOT_AUDIT


def test_the_month_that_a_run_was_asked_for_comes_to_the_gate_with_its_verdict(house: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    version = house.registry.register("m", tmp_path_factory.mktemp("model"))
    auditor = build_auditor(house.settings)
    auditor.judge(version)
    house.instance.add_dynamic_partitions(PARTITIONS, [version.key])
    job = build_definitions(house.settings).resolve_job_def(AUDIT_JOB)
    for tags in ({TAG_MONTH: "2026-10"}, {}):
        selected = {"instance": house.instance, "partition_key": version.key, "tags": tags, "asset_selection": [dg.AssetKey("release_gate")]}
        assert job.execute_in_process(**selected).success  # type: ignore[arg-type]
    engine = open_governance(house.settings)
    with engine.connect() as connection:
        assert list(connection.execute(sa.select(judgements.c.month).order_by(judgements.c.id)).scalars()) == ["2026-10", None]
    engine.dispose()


def test_an_audit_goes_on_where_the_policy_lost_a_control_since_the_code_location_was_loaded(
    house: House, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = yaml.safe_load(shipped_policy_path().read_text(encoding="utf-8"))
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    job = build_definitions(house.settings.model_copy(update={"policy_file": path})).resolve_job_def(AUDIT_JOB)
    content["controls"] = [control for control in content["controls"] if control["id"] != "MONI-B"]
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    version = house.registry.register("m", tmp_path_factory.mktemp("model"))
    house.instance.add_dynamic_partitions(PARTITIONS, [version.key])
    result = job.execute_in_process(instance=house.instance, partition_key=version.key, raise_on_error=False)
    assert result.success
    told = {item.check_name: str(item.description) for item in result.get_asset_check_evaluations()}
    assert "the policy in force has no control MONI-B any more; reload the code location" in told["MONI_B"]
