"""Policies for tests: the shipped one with changes, and files that extend it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from rai_pipelines.policy.load import read_policy
from rai_pipelines.policy.model import Control, Policy

SOURCE = {"kind": "policy_choice", "source": "lending committee", "date": "2026-11-20", "confidence": "medium"}


@cache
def shipped() -> tuple[Policy, str]:
    """The shipped policy and its digest, read once."""
    policy = read_policy()
    return policy, policy.digest


def changed(control_id: str, policy: Policy | None = None, **fields: Any) -> Policy:
    """The policy (default: the shipped one) with fields of one control changed."""
    base = policy or shipped()[0]

    def with_fields(control: Control) -> Control:
        return Control.model_validate({**control.model_dump(), **fields}) if control.id == control_id else control

    return base.model_copy(update={"controls": tuple(with_fields(control) for control in base.controls)})


def extension(**content: Any) -> dict[str, Any]:
    """The content of a file that extends the shipped policy."""
    return {
        "apiVersion": "rai.policy/v1",
        "extends": {"base": "shipped", "digest": shipped()[1]},
        "policy": {"id": "lending", "version": "1.0.0", "owner": "lending-risk", "effective_from": "2026-12-01", "review_by": "2027-12-01"},
        **content,
    }


def override(control_id: str, **fields: Any) -> dict[str, Any]:
    """One entry of `overrides`, with a source where it changes a threshold."""
    return {"id": control_id, **fields, **({"provenance": SOURCE} if "threshold" in fields else {})}


def written(folder: Path, content: dict[str, Any], name: str = "lending.yaml") -> Path:
    """`content` as a YAML file."""
    path = folder / name
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path
