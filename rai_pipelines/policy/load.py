"""Read a policy file, name every problem with file, line, field and allowed values, and find the shipped policy."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import yaml
from pydantic import ValidationError

from rai_pipelines.errors import PolicyError
from rai_pipelines.policy.checks.registry import PLANNED, checks
from rai_pipelines.policy.model import Control, Policy
from rai_pipelines.policy.versions.extension import NotStricter, PolicyExtension, resolve
from rai_pipelines.policy.versions.legal_dates import legal_dates
from rai_pipelines.policy.versions.published import published_version, refuse_changed
from rai_pipelines.settings import Settings
from rai_pipelines.yaml_documents import compose_yaml, describe_problem, read_yaml_document

SHIPPED = "default_policy.yaml"
SHIPPED_NAME = "shipped"
MOST_BASES = 8


def shipped_policy_path() -> Path:
    """The policy that comes with the package."""
    return Path(str(resources.files("rai_pipelines.policy") / SHIPPED))


def policy_in_force(settings: Settings) -> Policy:
    """The policy that the settings name, resolved, and the same as was published under its version.

    Raises:
        PolicyError: as `read_policy`.
    """
    return read_policy(settings.policy_file, published=settings.policies_path)


def named_policy(name: str, settings: Settings) -> Policy:
    """A policy as the verbs name it: a file, a published ID@VERSION, `shipped`, or `in-force`.

    Raises:
        PolicyError: there is none, or it cannot be used.
    """
    if name == "in-force":
        return policy_in_force(settings)
    if name == SHIPPED_NAME:
        return read_policy(published=settings.policies_path)
    if "@" in name and not Path(name).exists():
        kept = published_version(name, settings.policies_path)
        if kept is None:
            raise PolicyError("was not published here", where=name, hint="Name a file, or publish it: rai policy publish FILE")
        return kept.policy
    return read_policy(Path(name), published=settings.policies_path)


def read_policy(path: Path | None = None, *, published: Path | None = None) -> Policy:
    """The policy at `path`, or the shipped one; a policy that extends others is resolved.

    Args:
        published: folder of published versions, to which this policy and its bases are held.

    Raises:
        PolicyError: unreadable, an unknown field or check, a threshold out of range, a base with another digest than pinned, an override that
            asks for less, or a published version that reads otherwise; `problems` lists every place.
    """
    return _read(path or shipped_policy_path(), published, ())


def _read(source: Path, published: Path | None, seen: tuple[Path, ...]) -> Policy:
    if source.resolve() in seen or len(seen) > MOST_BASES:
        raise PolicyError("extends itself, or too many others", where=str(source), hint=f"A policy has at most {MOST_BASES} bases")
    if _extends(source):
        policy = _resolved(source, published, (*seen, source.resolve()))
    else:
        policy = read_yaml_document(source, Policy, error=PolicyError)
        _refuse(_problems_of_controls(policy.controls, source, "controls") + _by_hand(policy, source))
    if published is not None:
        refuse_changed(policy, published)
    return policy


def _extends(source: Path) -> bool:
    """Whether the file has a field `extends`; what cannot be read is told by the reader that comes next."""
    try:
        root = compose_yaml(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    return isinstance(root, yaml.MappingNode) and any(key.value == "extends" for key, _ in root.value)


def _resolved(source: Path, published: Path | None, seen: tuple[Path, ...]) -> Policy:
    extension = read_yaml_document(source, PolicyExtension, error=PolicyError)
    root = compose_yaml(source.read_text(encoding="utf-8"))
    base = _base(extension.extends.base, source, published, seen)
    if base.digest != extension.extends.digest:
        what = f"pins another digest of {base.label} than it has: {base.digest}. Read what changed (rai policy diff), then pin this one"
        _refuse([describe_problem(("extends", "digest"), what, extension.extends.digest, root, str(source))])
    _refuse(_problems_of_controls(extension.controls, source, "controls"))
    try:
        policy = resolve(extension, base)
    except NotStricter as error:
        problems = [describe_problem(place, words, None, root, str(source)) for place, words in error.problems]
        raise PolicyError("; ".join(problems), problems=tuple(problems)) from error
    overrides = [policy.control(item.id) for item in extension.overrides]
    _refuse(_problems_of_controls([item for item in overrides if item is not None], source, "overrides"))
    relaxed = [item.control for item in policy.relaxations]
    _refuse(_problems_of_controls(relaxed, source, "waivers"))
    return policy


def _base(named: str, source: Path, published: Path | None, seen: tuple[Path, ...]) -> Policy:
    if "@" in named and not (source.parent / named).exists():
        kept = published_version(named, published) if published is not None else None
        if kept is None:
            raise PolicyError("is not published here", where=f"{source}: base {named}", hint="Publish it first, or name its file")
        return kept.policy
    return _read(shipped_policy_path() if named == SHIPPED_NAME else source.parent / named, published, seen)


def _by_hand(policy: Policy, source: Path) -> list[str]:
    """A file does not write down what only resolving an extension makes."""
    if not policy.relaxations:
        return []
    root = compose_yaml(source.read_text(encoding="utf-8"))
    return [describe_problem(("relaxations",), "write waivers in a policy that extends another", None, root, str(source))]


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise PolicyError("; ".join(problems), problems=tuple(problems))


def _problems_of_controls(controls: Sequence[Control], source: Path, section: str) -> list[str]:
    """What only the check of a control can tell: whether it exists, and whether it takes these thresholds and parameters."""
    root = compose_yaml(source.read_text(encoding="utf-8"))
    problems: list[str] = []
    for index, control in enumerate(controls):
        law = legal_dates().get(control.legal_date or "")
        if control.legal_date is not None and (law is None or law.day != control.effective_from):
            message = f"{control.id}: is not the day of a legal date; write effective_from: {{legal_date: NAME}}"
            problems.append(describe_problem((section, index, "legal_date"), message, control.legal_date, root, str(source)))
        if control.check in PLANNED:
            continue
        check = checks().get(control.check)
        if check is None:
            allowed = ", ".join(sorted([*checks(), *PLANNED]))
            message = f"{control.id}: unknown check; allowed: {allowed}"
            problems.append(describe_problem((section, index, "check"), message, control.check, root, str(source)))
            continue
        needed = [*check.assessments, *(name for field, name in check.also_reads.items() if control.threshold.get(field) is not None)]
        absent = [name for name in needed if name not in control.evidence]
        if absent:
            message = f"{control.id}: check {control.check} reads {', '.join(needed)}; add {', '.join(absent)}"
            problems.append(describe_problem((section, index, "evidence"), message, None, root, str(source)))
        for field, model, content in (("threshold", check.threshold, control.threshold), ("parameters", check.parameters, control.parameters)):
            try:
                model.model_validate(dict(content))
            except ValidationError as error:
                for item in error.errors(include_url=False):
                    location = (section, index, field, *item["loc"])
                    message = "unknown field; allowed: " + ", ".join(model.model_fields) if item["type"] == "extra_forbidden" else item["msg"]
                    problems.append(describe_problem(location, f"{control.id}: {message}", item.get("input"), root, str(source)))
    return problems
