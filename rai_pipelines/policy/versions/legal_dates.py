"""Days on which laws begin to apply, as data: policies refer to them by name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rai_pipelines.errors import PolicyError
from rai_pipelines.yaml_documents import read_yaml_document


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Verified(_Frozen):
    """How a day was checked, and how sure that makes it."""

    how: str
    confidence: Literal["high", "medium", "low"]


class EarlierDay(_Frozen):
    """The day that was replaced, and the law that had set it."""

    day: date
    law: str


class LegalDate(_Frozen):
    """A day, the provision that sets it, and what it was before that provision changed."""

    day: date
    law: str = Field(min_length=5)
    before: EarlierDay | None = None
    verified: Verified


class LegalDates(_Frozen):
    """The whole file."""

    api_version: Literal["rai.legal-dates/v1"] = Field(alias="apiVersion")
    dates: Mapping[str, LegalDate]


@cache
def legal_dates() -> Mapping[str, LegalDate]:
    """The legal dates that this version knows, by name.

    Raises:
        PolicyError: the file of this installation cannot be used.
    """
    path = Path(str(resources.files("rai_pipelines.policy.versions") / "legal_dates.yaml"))
    return read_yaml_document(path, LegalDates, error=PolicyError).dates


def day_of_law(name: str) -> date:
    """The day called `name`.

    Raises:
        ValueError: no law has that name here; names the known ones.
    """
    found = legal_dates().get(name)
    if found is None:
        raise ValueError(f"no legal date is called {name!r}; known: {', '.join(sorted(legal_dates()))}")
    return found.day
