"""Read a policy file, name every problem with file, line, field and allowed values, and find the shipped policy."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from rai_pipelines.errors import PolicyError
from rai_pipelines.policy.checks.registry import PLANNED, checks
from rai_pipelines.policy.model import Policy
from rai_pipelines.yaml_documents import compose_yaml, describe_problem, read_yaml_document

SHIPPED = "default_policy.yaml"


def shipped_policy_path() -> Path:
    """The policy that comes with the package."""
    return Path(str(resources.files("rai_pipelines.policy") / SHIPPED))


def read_policy(path: Path | None = None) -> Policy:
    """The policy at `path`, or the shipped one.

    Raises:
        PolicyError: unreadable, an unknown field or check, or a threshold out of range; `problems` lists every place.
    """
    source = path or shipped_policy_path()
    policy = read_yaml_document(source, Policy, error=PolicyError)
    problems = _problems_of_controls(policy, source)
    if problems:
        raise PolicyError("; ".join(problems), problems=tuple(problems))
    return policy


def _problems_of_controls(policy: Policy, source: Path) -> list[str]:
    """What only the check of a control can tell: whether it exists, and whether it takes these thresholds and parameters."""
    root = compose_yaml(source.read_text(encoding="utf-8"))
    problems: list[str] = []
    for index, control in enumerate(policy.controls):
        if control.check in PLANNED:
            continue
        check = checks().get(control.check)
        if check is None:
            allowed = ", ".join(sorted([*checks(), *PLANNED]))
            message = f"{control.id}: unknown check; allowed: {allowed}"
            problems.append(describe_problem(("controls", index, "check"), message, control.check, root, str(source)))
            continue
        absent = [name for name in check.assessments if name not in control.evidence]
        if absent:
            message = f"{control.id}: check {control.check} reads {', '.join(check.assessments)}; add {', '.join(absent)}"
            problems.append(describe_problem(("controls", index, "evidence"), message, None, root, str(source)))
        for field, model, content in (("threshold", check.threshold, control.threshold), ("parameters", check.parameters, control.parameters)):
            try:
                model.model_validate(dict(content))
            except ValidationError as error:
                for item in error.errors(include_url=False):
                    location = ("controls", index, field, *item["loc"])
                    message = "unknown field; allowed: " + ", ".join(model.model_fields) if item["type"] == "extra_forbidden" else item["msg"]
                    problems.append(describe_problem(location, f"{control.id}: {message}", item.get("input"), root, str(source)))
    return problems
