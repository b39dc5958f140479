"""One control in words: what it asks, why, from where, which evidence it reads, how that is judged, and what to do if it is red."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, JsonValue

from rai_pipelines.errors import PolicyError
from rai_pipelines.evidence.canonical import plain
from rai_pipelines.evidence.model import Record
from rai_pipelines.policy.checks.base import Check
from rai_pipelines.policy.checks.registry import PLANNED, checks
from rai_pipelines.policy.direction import Direction
from rai_pipelines.policy.model import Control, Policy, Severity, ThresholdProvenance, Tier
from rai_pipelines.policy.versions.legal_dates import legal_dates
from rai_pipelines.policy.versions.strictness import direction_of, nested_model

CONSEQUENCES = {
    Severity.CRITICAL: "a failure makes the model version non-compliant",
    Severity.HIGH: "a failure makes the model version non-compliant",
    Severity.MEDIUM: "a failure asks for a person's review",
    Severity.LOW: "a failure asks for a person's review",
}


class ExplainedThreshold(Record):
    """One threshold: its value, what would be stricter, and where it comes from."""

    name: str
    value: JsonValue
    stricter: str
    source: ThresholdProvenance


class ControlExplanation(Record):
    """`rai policy explain CONTROL --json`."""

    schema_version: Literal["rai.control-explanation/v1"] = "rai.control-explanation/v1"
    policy: str
    policy_digest: str
    control: str
    asks: str
    area: str
    tier: Tier
    asked_of: str
    in_force: str
    why: tuple[str, ...]
    thresholds: tuple[ExplainedThreshold, ...]
    evidence: tuple[str, ...]
    rests_on: str
    judged: str
    consequence: str
    if_red: str
    waiver: str | None = None


def explain_control(policy: Policy, control_id: str, day: date) -> ControlExplanation:
    """The control called `control_id` as it reads on `day`.

    Raises:
        PolicyError: the policy has no such control; names those it has.
    """
    control = next((item for item in policy.on(day) if item.id == control_id), None)
    if control is None:
        known = ", ".join(item.id for item in policy.controls)
        raise PolicyError(f"has no control {control_id!r}", where=policy.label, hint=f"It has {known}")
    check = checks().get(control.check)
    relaxed = next((item for item in policy.relaxations if item.control.id == control_id and day <= item.until), None)
    return ControlExplanation(
        policy=policy.label,
        policy_digest=policy.digest,
        control=control.id,
        asks=control.statement,
        area=control.area.value,
        tier=control.tier,
        asked_of=_asked_of(control, policy),
        in_force=in_force_words(control, day),
        why=control.references,
        thresholds=tuple(_thresholds(control, check)),
        evidence=control.evidence,
        rests_on="nothing yet" if check is None else ("what people declared or signed" if check.basis == "declared" else "what was measured"),
        judged=_judged(control, check),
        consequence=CONSEQUENCES[control.severity],
        if_red=if_red(control),
        waiver=f"{', '.join(relaxed.fields)} until {relaxed.until.isoformat()}: {relaxed.reason}" if relaxed else None,
    )


def if_red(control: Control) -> str:
    """What the owner of a model does about this control when it is not met."""
    check = checks().get(control.check)
    if check is not None:
        return check.if_red
    return f"Nothing a model's owner can do: {PLANNED.get(control.check, 'the check does not exist')}"


def in_force_words(control: Control, day: date) -> str:
    """Since or from when the control decides, and under which law's date."""
    if control.effective_from is None:
        return "announced, without a date: it decides nothing"
    law = legal_dates().get(control.legal_date or "")
    source = f" ({control.legal_date}: {law.law}; verified by: {law.verified.how})" if law is not None else ""
    return f"{'since' if control.in_force(day) else 'from'} {control.effective_from.isoformat()}{source}"


def _asked_of(control: Control, policy: Policy) -> str:
    risks = policy.tiers.asked(control.tier)
    return f"models of risk class {', '.join(risks)}" if risks else "no model: no risk class has to meet this tier"


def _judged(control: Control, check: Check | None) -> str:
    if check is None:
        return f"Not judged: {PLANNED.get(control.check, 'this version has no such check')}. In force it reads missing, which counts as failed."
    return f"{inspect.cleandoc(check.judge.__doc__ or '')} Check {check.name}; missing evidence counts as failed."


def _thresholds(control: Control, check: Check | None) -> Iterator[ExplainedThreshold]:
    model = check.threshold if check is not None else None
    content: Mapping[str, Any] = plain(model.model_validate(dict(control.threshold)) if model is not None else dict(control.threshold))
    for name, value in content.items():
        if value is None:
            continue
        source = control.threshold_provenance.get(name, control.provenance)
        for path, leaf, stricter in _leaves(name, value, model, None):
            yield ExplainedThreshold(name=path, value=leaf, stricter=stricter, source=source)


def _leaves(
    name: str, value: Any, model: type[BaseModel] | None, inherited: Direction | tuple[str, ...] | None, path: str = ""
) -> Iterator[tuple[str, Any, str]]:
    direction = direction_of(model, name) or inherited
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(key, item, nested_model(model, name), direction, f"{path}{name}.")
        return
    words = " → ".join(direction) if isinstance(direction, tuple) else (direction.value if direction is not None else "not ordered")
    yield f"{path}{name}", value, words
