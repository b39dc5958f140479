"""People for tests: a file with their roles, and a key for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from rai_pipelines.governance.keys import make_key
from rai_pipelines.settings import Settings

OFFICER = {"officer": ("ethics_officer",)}


def appoint(settings: Settings, roles: Mapping[str, Sequence[str]] = OFFICER) -> None:
    """Write the people's file with these people, by name, each with a key in the keys folder."""
    people = [{"id": name, "name": name, "roles": list(held), "keys": [{"id": make_key(settings.keys_path, name)}]} for name, held in roles.items()]
    settings.people_path.parent.mkdir(parents=True, exist_ok=True)
    settings.people_path.write_text(yaml.safe_dump({"schema": "rai.people/v1", "people": people}), encoding="utf-8")
