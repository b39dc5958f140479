"""docs/schemas holds what the models say today, and the shipped documents fit it."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from rai_pipelines.cli.schemas import published_schemas
from rai_pipelines.policy.load import shipped_policy_path

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(published_schemas()))
def test_the_published_schema_is_current(name: str) -> None:
    stored = json.loads((ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(published_schemas()[name])), "run: make schemas"
    jsonschema.Draft202012Validator.check_schema(stored)


def test_no_schema_is_left_over() -> None:
    assert {path.name.removesuffix(".schema.json") for path in (ROOT / "docs" / "schemas").glob("*.json")} == set(published_schemas())


def _load(path: Path) -> object:
    """YAML as an editor's validator sees it: dates and numbers as JSON has them, keys as text."""
    return json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")), default=str))


def test_the_shipped_policy_fits_the_published_schema() -> None:
    jsonschema.validate(_load(shipped_policy_path()), published_schemas()["policy"])
