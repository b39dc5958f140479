"""Whether a changed policy asks for more or for less, change by change: each check says what is stricter about its own thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import BaseModel, JsonValue

from rai_pipelines.evidence.canonical import plain
from rai_pipelines.evidence.model import Record
from rai_pipelines.policy.checks.registry import checks
from rai_pipelines.policy.direction import Direction
from rai_pipelines.policy.model import Control, Policy, Severity, Tier

Effect = Literal["stricter", "looser", "other"]
DECIDING = ("tier", "severity", "effective_from", "check")
TOLD = ("statement", "references", "provenance", "threshold_provenance", "evidence", "area", "legal_date")  # decide nothing by themselves
RULES = ("budgets", "release", "escalation", "retention", "signatories")  # sections whose models say themselves what is stricter
REVIEWS: Mapping[str, Direction] = {"review_by": Direction.NO_ORDER, "review_every_days": Direction.LOWER}  # of the header; POLI-B rests on them
STATISTICS: Mapping[str, Direction | None] = {
    "alpha": Direction.HIGHER,  # fails what a smaller level would leave undecided
    "interval_level": Direction.HIGHER,  # wider intervals: harder to pass
    "insufficient_share_max": Direction.LOWER,
    "looks_per_year": None,
    "min_group_n": None,  # fewer rows: more groups are judged, and more of them undecided
    "min_denominator": None,
    "resamples": None,
}


class Change(Record):
    """One thing that reads otherwise. `about` is a control, or the section `policy`, `tiers`, `inconclusive`, `statistics` or one of `RULES`.

    `old` or `new` is null where it is absent. `decides` is false for texts, sources and names, which no finding depends on.
    """

    about: str
    field: str
    old: JsonValue
    new: JsonValue
    effect: Effect
    decides: bool = True


def changes_between(old: Policy, new: Policy) -> tuple[Change, ...]:
    """Every change from `old` to `new`: sections first, then controls in the order of `new`, then those that are gone."""
    found: list[Change] = []
    headers = [{name: value for name, value in plain(item.policy).items() if name not in REVIEWS} for item in (old, new)]
    found += _words("policy", *headers)
    found += [
        Change(about="policy", field=name, old=was, new=will, effect=_towards(REVIEWS[name], was, will))
        for name, was, will in _different(old.policy, new.policy)
        if name in REVIEWS
    ]
    found += [_ordered("tiers", name, was, will, list(Tier)) for name, was, will in _different(old.tiers, new.tiers)]
    found += [_ordered("inconclusive", name, was, will, ["warn", "block"]) for name, was, will in _different(old.inconclusive, new.inconclusive)]
    found += [
        Change(about="statistics", field=name, old=was, new=will, effect=_towards(STATISTICS[name], was, will))
        for name, was, will in _different(old.statistics, new.statistics)
    ]
    for section in RULES:
        pair = plain(getattr(old, section)), plain(getattr(new, section))
        model = type(getattr(new, section))
        found += [
            Change(about=section, field=field.removeprefix("."), old=was, new=will, effect=effect)
            for field, was, will, effect in _compare(*pair, model, "")
        ]
    for control in new.controls:
        before = old.control(control.id)
        if before is None:
            found.append(Change(about=control.id, field="control", old=None, new=control.statement, effect="stricter"))
        else:
            found += changes_of_control(before, control)
    gone = [control for control in old.controls if new.control(control.id) is None]
    found += [Change(about=control.id, field="control", old=control.statement, new=None, effect="looser") for control in gone]
    found += _relaxations(old, new)
    return tuple(found)


def changes_of_control(old: Control, new: Control) -> tuple[Change, ...]:
    """Every change of one control.

    A control at a lower tier is asked of more models, so it is stricter; an earlier day is stricter than a later one, and any day than none.
    """
    found: list[Change] = []
    if old.tier is not new.tier:
        found.append(_ordered(old.id, "tier", old.tier, new.tier, list(reversed(Tier))))
    if old.severity is not new.severity:
        found.append(_ordered(old.id, "severity", old.severity, new.severity, list(reversed(Severity))))
    if old.effective_from != new.effective_from:
        later = new.effective_from is None or (old.effective_from is not None and new.effective_from > old.effective_from)
        days = [plain(day) for day in (old.effective_from, new.effective_from)]
        found.append(Change(about=old.id, field="effective_from", old=days[0], new=days[1], effect="looser" if later else "stricter"))
    if old.check != new.check:
        found.append(Change(about=old.id, field="check", old=old.check, new=new.check, effect="other"))
    check = checks().get(new.check) if old.check == new.check else None
    for part in ("threshold", "parameters"):
        model = getattr(check, part) if check is not None else None
        pair = (_whole(getattr(old, part), model), _whole(getattr(new, part), model))
        found += [Change(about=old.id, field=field, old=was, new=will, effect=effect) for field, was, will, effect in _compare(*pair, model, part)]
    told = [{name: plain(getattr(item, name)) for name in TOLD} for item in (old, new)]
    return tuple(found) + _words(old.id, *told)


def direction_of(model: type[BaseModel] | None, field: str) -> Direction | tuple[str, ...] | None:
    """What is stricter about a field of a check's thresholds or parameters; None when nobody says."""
    own: Mapping[str, Direction | tuple[str, ...]] = getattr(model, "stricter", {})
    if field in own:
        return own[field]
    if field.endswith("_max") or field.startswith("max_"):
        return Direction.LOWER
    return Direction.HIGHER if field.endswith("_min") or field.startswith("min_") else None


def nested_model(model: type[BaseModel] | None, field: str) -> type[BaseModel] | None:
    """The model of a field that holds a group of thresholds."""
    declared = model.model_fields[field].annotation if model is not None and field in model.model_fields else None
    options = (declared, *get_args(declared))
    return next((item for item in options if isinstance(item, type) and issubclass(item, BaseModel)), None)


def _compare(
    old: Any, new: Any, model: type[BaseModel] | None, path: str, inherited: Direction | tuple[str, ...] | None = None
) -> Iterator[tuple[str, Any, Any, Effect]]:
    for name in sorted({*old, *new}):
        was, will = old.get(name), new.get(name)
        if was == will:
            continue
        direction = direction_of(model, name) or inherited
        if isinstance(was, Mapping) and isinstance(will, Mapping):
            yield from _compare(was, will, nested_model(model, name), f"{path}.{name}", direction)
        elif isinstance(was, Mapping) or isinstance(will, Mapping) or (was is None and _joins_others(model, name, old)):
            yield f"{path}.{name}", was, will, "other"
        else:
            yield f"{path}.{name}", was, will, _towards(direction, was, will)


def _joins_others(model: type[BaseModel] | None, name: str, old: Mapping[str, Any]) -> bool:
    """Whether figures of this threshold would be tested together with those of thresholds that were there before."""
    family: frozenset[str] = getattr(model, "family", frozenset())
    return name in family and any(old.get(other) is not None for other in family)


def _towards(direction: Direction | tuple[str, ...] | None, old: Any, new: Any) -> Effect:
    """What the step from `old` to `new` does where `direction` is stricter. A threshold that is absent asks for nothing."""
    if direction is None:
        return "other"
    if old is None or new is None:
        return "stricter" if old is None else "looser"
    if direction is Direction.NO_ORDER:
        return "other"
    if direction in (Direction.MORE, Direction.FEWER):
        before, after = (set(old), set(new)) if direction is Direction.MORE else (set(new), set(old))
        return "stricter" if after > before else "looser" if after < before else "other"
    if isinstance(direction, tuple):
        return "other" if not {old, new} <= set(direction) else ("stricter" if direction.index(new) > direction.index(old) else "looser")
    if direction is Direction.NARROWER:
        if not all(isinstance(band, Sequence) and len(band) == 2 for band in (old, new)):
            return "other"
        if new[0] >= old[0] and new[1] <= old[1]:
            return "stricter"
        return "looser" if new[0] <= old[0] and new[1] >= old[1] else "other"
    if not all(isinstance(value, int | float) for value in (old, new)):
        return "other"
    return "stricter" if (new > old) is (direction is Direction.HIGHER) else "looser"


def _whole(content: Mapping[str, Any], model: type[BaseModel] | None) -> dict[str, Any]:
    """With the defaults of the check, so that writing a default down is no change."""
    found: dict[str, Any] = plain(model.model_validate(dict(content)) if model is not None else dict(content))
    return found


def _different(old: BaseModel, new: BaseModel) -> list[tuple[str, Any, Any]]:
    was, will = plain(old), plain(new)
    return [(name, was[name], will[name]) for name in was if was[name] != will[name]]


def _ordered(about: str, field: str, old: str, new: str, loosest_first: Sequence[str]) -> Change:
    stricter = loosest_first.index(new) > loosest_first.index(old)
    return Change(about=about, field=field, old=str(old), new=str(new), effect="stricter" if stricter else "looser")


def _words(about: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Change, ...]:
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return tuple(Change(about=about, field=name, old=old.get(name), new=new.get(name), effect="other", decides=False) for name in names)


def _relaxations(old: Policy, new: Policy) -> list[Change]:
    """A new waiver is looser, one that is gone stricter; one that reads otherwise is both."""
    was, will = ({(item.control.id, item.fields, item.until): plain(item.control) for item in policy.relaxations} for policy in (old, new))
    found = []
    for key in sorted({*was, *will}):
        if was.get(key) == will.get(key):
            continue
        words = f"{', '.join(key[1])} until {key[2].isoformat()}"
        effect: Effect = "stricter" if key not in will else ("looser" if key not in was else "other")
        told = (words if key in was else None, words if key in will else None)
        found.append(Change(about=key[0], field="waiver", old=told[0], new=told[1], effect=effect))
    return found
