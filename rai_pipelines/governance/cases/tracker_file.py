"""The file that says which tracker works on cases and which of its fields gets what. Secrets are named there, and read from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rai_pipelines.governance.cases.case import Case, CaseState
from rai_pipelines.policy.model import Severity

EnvironmentName = Annotated[str, Field(pattern=r"^RAI_TRACKER_[A-Z0-9_]{1,40}$")]
FOUND_AGAIN_BY = {"jira": ("labels", "project"), "servicenow": ("correlation_id",)}  # a ticket without them would be made twice
Ours = Literal["key", "kind", "severity", "model_name", "model_version", "model", "noticed_at", "incident_class", "report_due_at", "number"]


class TrackerFile(BaseModel):
    """Which tracker, and how it is told. Without such a file, cases are worked on here.

    `fields` are further fields of the ticket by the tracker's name for them, each with what of the case goes in. `states` say which of the
    tracker's own states mean what to us, where that does not follow from its categories.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal["rai.tracker/v1"] = Field(alias="schema")
    tracker: Literal["jira", "servicenow"]
    url: str = Field(pattern=r"^https?://[^\s@?#]+$")
    user: EnvironmentName = "RAI_TRACKER_USER"
    token: EnvironmentName = "RAI_TRACKER_TOKEN"  # noqa: S105  (the name of a variable)
    project: str | None = Field(default=None, description="Jira: key of the project")
    issue_type: str = Field(default="Incident", description="Jira: name of the issue type")
    priorities: Mapping[Severity, str] = Field(default_factory=dict, description="Jira: priority; ServiceNow: urgency and impact, 1 to 3")
    fields: Mapping[str, Ours] = Field(default_factory=dict)
    states: Mapping[str, CaseState] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _it_can_be_used(self) -> Self:
        if self.tracker == "jira" and not self.project:
            raise ValueError("project: Jira needs the key of the project that cases are opened in")
        taken = sorted(set(self.fields) & set(FOUND_AGAIN_BY[self.tracker]))
        if taken:
            raise ValueError(f"fields: {', '.join(taken)} cannot be filled: by it a ticket is found again, and is not made twice")
        try:
            urlsplit(self.url).port  # noqa: B018  (reading it checks it)
        except ValueError as error:
            raise ValueError("url: has no port that can be one") from error
        if self.url.startswith("http://") and urlsplit(self.url).hostname not in ("127.0.0.1", "localhost"):
            raise ValueError("url: https, so that the token is not sent in the clear")
        return self

    def extra_fields(self, case: Case) -> dict[str, str]:
        """The further fields of this case's ticket; what the case does not have is left out."""
        request = case.request
        model = None if request.model_name is None else "/".join(filter(None, (request.model_name, request.model_version)))
        due = None if case.report_due_at is None else case.report_due_at.isoformat(timespec="seconds")
        known = {
            **request.model_dump(mode="json"),
            "model": model,
            "number": str(case.id),
            "incident_class": case.incident_class,
            "report_due_at": due,
        }
        return {name: str(known[ours]) for name, ours in self.fields.items() if known[ours] is not None}
