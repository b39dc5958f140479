"""Incidents that the law wants to hear of, and in how many days. The classes are data (incident_classes.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import Field

from rai_pipelines.errors import DocumentError
from rai_pipelines.evidence.model import Record
from rai_pipelines.yaml_documents import read_yaml_document


class IncidentClass(Record):
    """One class: how many calendar days the report may take from when the organisation became aware, and where that is written."""

    title: str
    days: int = Field(ge=0, le=365)
    source: str
    note: str | None = None

    def report_due(self, aware_at: datetime) -> datetime:
        """The last moment: so many calendar days after the day of awareness, at its end (UTC); the day itself does not count.

        Counted as Regulation (EEC, Euratom) No 1182/71 Art. 3 counts days; its rule for Sundays is not taken advantage of.
        """
        last_day = aware_at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=self.days)
        return last_day + timedelta(hours=23, minutes=59, seconds=59)


class IncidentClasses(Record):
    """The file."""

    classes: dict[str, IncidentClass]


@cache
def incident_classes() -> Mapping[str, IncidentClass]:
    """Every class by its name."""
    path = Path(str(resources.files("rai_pipelines.governance.cases") / "incident_classes.yaml"))
    return read_yaml_document(path, IncidentClasses, error=DocumentError).classes
