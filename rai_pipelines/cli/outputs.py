"""What the verbs print with `--json`, where it is more than one record; docs/schemas publishes the schemas."""

from __future__ import annotations

from typing import Literal

from rai_pipelines.evidence.model import Record
from rai_pipelines.governance.gate.record import GateRecord
from rai_pipelines.policy.model import Policy
from rai_pipelines.policy.verdict import Verdict


class AuditOutput(Record):
    """`rai audit --json`."""

    schema_version: Literal["rai.audit-output/v1"] = "rai.audit-output/v1"
    verdict: Verdict
    verdict_digest: str
    gate: GateRecord


class VerdictOutput(Record):
    """`rai verdict --json`. `newest_audit_failed` says that an audit after this verdict did not finish."""

    schema_version: Literal["rai.verdict-output/v1"] = "rai.verdict-output/v1"
    verdict: Verdict
    verdict_digest: str
    newest_audit_failed: bool


class CheckOutput(Record):
    """`rai policy check --json` and `rai datasheet check --json`: usable with its digest, or the problems with their places."""

    schema_version: Literal["rai.check-output/v1"] = "rai.check-output/v1"
    usable: bool
    about: str | None = None
    digest: str | None = None
    cells_without_control: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class PolicyOutput(Record):
    """`rai policy show --json`: the policy, its digest, and the controls in force today."""

    schema_version: Literal["rai.policy-output/v1"] = "rai.policy-output/v1"
    policy: Policy
    digest: str
    in_force: tuple[str, ...]
