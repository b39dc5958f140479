"""A policy that extends another one: what its file may say, and the whole policy that follows. It may ask for more, or name a waiver."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rai_pipelines.evidence.canonical import plain
from rai_pipelines.policy.model import (
    BasePolicy,
    Control,
    ControlId,
    EffectiveDay,
    Policy,
    PolicyHeader,
    Relaxation,
    Severity,
    ThresholdProvenance,
    Tier,
    _name_of_law,
)
from rai_pipelines.policy.versions.strictness import RULES, Change, changes_between, changes_of_control

Place = tuple[str | int, ...]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Extended(_Frozen):
    """The base: a policy file relative to this one, a published ID@VERSION, or `shipped`; and the digest it must have (`rai policy check`)."""

    base: str = Field(min_length=1)
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class ControlOverride(_Frozen):
    """What reads otherwise about a control of the base. Thresholds and parameters are merged by name; the rest of the control stays."""

    id: ControlId
    tier: Tier | None = None
    severity: Severity | None = None
    threshold: Mapping[str, Any] = Field(default={})
    parameters: Mapping[str, Any] = Field(default={})
    effective_from: EffectiveDay = None
    legal_date: str | None = Field(default=None, description="Filled in from effective_from; not written by hand")
    evidence: tuple[str, ...] = Field(default=(), description="Evidence beside that of the base")
    references: tuple[str, ...] = Field(default=(), description="References beside those of the base")
    provenance: ThresholdProvenance | None = Field(default=None, description="Where the changed thresholds come from; the others keep theirs")

    @model_validator(mode="before")
    @classmethod
    def _keep_the_name_of_the_law(cls, content: Any) -> Any:
        return _name_of_law(content)

    @model_validator(mode="after")
    def _a_threshold_has_a_source(self) -> Self:
        if self.threshold and self.provenance is None:
            raise ValueError("a changed threshold needs provenance: kind, source, date, confidence")
        return self


class PolicyWaiver(_Frozen):
    """Leave to ask for less than the base in these fields (`threshold.k_min`, `severity`) until the end of a day, and why."""

    control: ControlId
    fields: tuple[str, ...] = Field(min_length=1)
    until: date
    reason: str = Field(min_length=10)


class PolicyExtension(_Frozen):
    """A policy file that extends another one. `overrides` change controls of the base, `controls` are new ones; none can be dropped."""

    api_version: Literal["rai.policy/v1"] = Field(alias="apiVersion")
    extends: Extended
    policy: PolicyHeader
    tiers: Mapping[Literal["low", "limited", "high"], Tier] = Field(default={})
    inconclusive: Mapping[Literal["low", "limited", "high"], Literal["warn", "block"]] = Field(default={})
    statistics: Mapping[str, float] = Field(default={})
    budgets: Mapping[str, Any] = Field(default={}, description="Merged by name into those of the base, as release, escalation and retention are")
    release: Mapping[str, Any] = Field(default={})
    escalation: Mapping[str, Any] = Field(default={})
    retention: Mapping[str, Any] = Field(default={})
    signatories: Mapping[str, Any] = Field(default={})
    overrides: tuple[ControlOverride, ...] = ()
    controls: tuple[Control, ...] = ()
    waivers: tuple[PolicyWaiver, ...] = ()


class NotStricter(Exception):
    """The extension cannot be resolved: problems with their places in the file."""

    def __init__(self, problems: list[tuple[Place, str]]) -> None:
        super().__init__("; ".join(words for _, words in problems))
        self.problems = problems


def resolve(extension: PolicyExtension, base: Policy) -> Policy:
    """The whole policy that `extension` of `base` amounts to.

    Raises:
        NotStricter: an override is about no control of the base, asks for less without a waiver, or a waiver covers nothing; a new control takes
            an id of the base; or a section (tiers, release, ...) asks for less, which no waiver allows.
    """
    problems = _strangers(extension, base)
    if problems:
        raise NotStricter(problems)
    overrides = {item.id: (index, item) for index, item in enumerate(extension.overrides)}
    waivers = {item.control: item for item in extension.waivers}
    controls, relaxations = [], []
    for control in base.controls:
        if control.id not in overrides:
            controls.append(control)
            continue
        index, override = overrides[control.id]
        try:
            strict, relaxed, found = _override(control, override, waivers.get(control.id), index)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            part = "parameters" if first["loc"] and first["loc"][0] in override.parameters else "threshold"
            found = [(("overrides", index, part, *first["loc"]), f"{control.id}: {first['msg']}")]
            strict = relaxed = control
        problems += found
        controls.append(strict)
        if relaxed is not strict and control.id in waivers:
            waiver = waivers[control.id]
            relaxations.append(Relaxation(control=relaxed, fields=waiver.fields, until=waiver.until, reason=waiver.reason))
    content = {
        "apiVersion": "rai.policy/v1",
        "policy": extension.policy,
        "tiers": {**plain(base.tiers), **extension.tiers},
        "inconclusive": {**plain(base.inconclusive), **extension.inconclusive},
        "statistics": {**plain(base.statistics), **extension.statistics},
        **{section: _deep(plain(getattr(base, section)), getattr(extension, section)) for section in RULES},
        "controls": [*controls, *extension.controls],
        "extends": [BasePolicy(policy=base.label, digest=base.digest), *base.extends],
        "relaxations": [*relaxations, *(item for item in base.relaxations if item.control.id not in overrides)],
    }
    try:
        made = Policy.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise NotStricter([(tuple(first["loc"]), first["msg"])]) from error
    problems += _sections(base, made)
    if problems:
        raise NotStricter(problems)
    return made


def _strangers(extension: PolicyExtension, base: Policy) -> list[tuple[Place, str]]:
    """What is about a control that is not there, or stands twice."""
    problems: list[tuple[Place, str]] = []
    known = {control.id for control in base.controls}
    if extension.policy.id == base.policy.id:
        problems.append((("policy", "id"), f"is the id of the base {base.label}; an extending policy has an id of its own"))
    for index, override in enumerate(extension.overrides):
        if override.id not in known:
            problems.append((("overrides", index, "id"), f"{base.label} has no control {override.id}; new controls stand under controls"))
        if override.id in {item.id for item in extension.overrides[:index]}:
            problems.append((("overrides", index, "id"), f"{override.id} is overridden twice"))
    for index, control in enumerate(extension.controls):
        if control.id in known:
            problems.append((("controls", index, "id"), f"{control.id} is a control of {base.label}: change it under overrides"))
    overridden = {item.id for item in extension.overrides}
    for index, waiver in enumerate(extension.waivers):
        if waiver.control not in overridden:
            problems.append((("waivers", index, "control"), f"{waiver.control} is not overridden: there is nothing to waive"))
        if waiver.control in {item.control for item in extension.waivers[:index]}:
            problems.append((("waivers", index, "control"), f"{waiver.control} has two waivers: name all fields in one"))
        if waiver.until > extension.policy.review_by:
            problems.append((("waivers", index, "until"), f"a waiver ends by the review of its policy, {extension.policy.review_by.isoformat()}"))
    return problems


def _override(
    control: Control, override: ControlOverride, waiver: PolicyWaiver | None, index: int
) -> tuple[Control, Control, list[tuple[Place, str]]]:
    """The control as it stands, the control while the waiver lasts, and what is not allowed."""
    asked = _merged(control, override)
    deciding = [change for change in changes_of_control(control, asked) if change.decides]
    less = [change for change in deciding if change.effect != "stricter"]
    allowed = waiver.fields if waiver is not None else ()
    problems: list[tuple[Place, str]] = [
        (("overrides", index, *change.field.split(".")), _not_allowed(control, change)) for change in less if not _covers(allowed, change.field)
    ]
    idle = [name for name in allowed if not any(_covers((name,), change.field) for change in less)]
    if idle:
        problems.append((("overrides", index), f"{control.id}: the waiver names {', '.join(idle)}, where nothing is looser than the base"))
    restored = _with_fields_of(control, asked, [change.field for change in less])
    return (restored if less else asked), asked, problems


def _merged(control: Control, override: ControlOverride) -> Control:
    content = control.model_dump()
    for name in ("tier", "severity", "effective_from"):
        value = getattr(override, name)
        if value is not None:
            content[name] = value
    if override.effective_from is not None:
        content["legal_date"] = override.legal_date
    content["threshold"] = _deep(control.threshold, override.threshold)
    content["threshold_provenance"] = {**control.threshold_provenance, **dict.fromkeys(override.threshold, override.provenance)}
    content["parameters"] = _deep(control.parameters, override.parameters)
    for name in ("evidence", "references"):
        content[name] = tuple(dict.fromkeys((*getattr(control, name), *getattr(override, name))))
    return Control.model_validate(content)


def _deep(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        old = merged.get(name)
        merged[name] = _deep(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def _with_fields_of(base: Control, asked: Control, fields: list[str]) -> Control:
    """`asked`, with `fields` (dotted paths) as they are in `base`."""
    content, original = asked.model_dump(), base.model_dump()
    for field in fields:
        *path, last = field.split(".")
        target, source = content, original
        for part in path:
            target, source = target[part], source.get(part) or {}
        if last in source:
            target[last] = source[last]
        else:
            target.pop(last, None)
    for name in {*asked.threshold_provenance} - {*original["threshold_provenance"]}:  # a threshold of the base has the base's source
        if content["threshold"].get(name) == original["threshold"].get(name):
            content["threshold_provenance"].pop(name)
    return Control.model_validate({**content, "legal_date": content["legal_date"] if "effective_from" not in fields else original["legal_date"]})


def _covers(allowed: tuple[str, ...], field: str) -> bool:
    return any(field == name or field.startswith(f"{name}.") for name in allowed)


def _not_allowed(control: Control, change: Change) -> str:
    if change.effect == "other" and change.old is None:
        return (
            f"{control.id}: {change.new!r} would be tested together with what the base asks for, and so raise what it takes to fail that; "
            f"ask for it in a control of its own, or name a waiver for {change.field}"
        )
    what = "asks for less than" if change.effect == "looser" else "cannot be compared with"
    return f"{control.id}: {change.new!r} {what} the base's {change.old!r}; be stricter, or name a waiver for {change.field}"


def _sections(base: Policy, made: Policy) -> list[tuple[Place, str]]:
    """Sections can only become stricter: a waiver is about one control. Of the header, which is the extension's own, how often it is reviewed."""
    sections = ("tiers", "inconclusive", "statistics", *RULES)
    asks_less = [change for change in changes_between(base, made) if change.effect != "stricter"]
    less = [change for change in asks_less if change.about in sections or (change.about, change.field) == ("policy", "review_every_days")]
    return [((change.about, *change.field.split(".")), f"{change.new!r} is not stricter than the base's {change.old!r}") for change in less]
