"""Open the tracker that the tracker file names, with the secrets that the environment holds."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from rai_pipelines.errors import DocumentError, SettingsError
from rai_pipelines.governance.cases.case import Tracker
from rai_pipelines.governance.cases.jira import JiraTracker
from rai_pipelines.governance.cases.servicenow import ServiceNowTracker
from rai_pipelines.governance.cases.tracker_file import TrackerFile
from rai_pipelines.yaml_documents import read_yaml_document

HOST = "RAI_TRACKER_HOST"


def open_tracker(path: Path | None) -> Tracker | None:
    """The tracker that the file names; None where there is no file.

    Raises:
        DocumentError: the file cannot be used.
        SettingsError: a variable that it names is not set, or RAI_TRACKER_HOST names another host: who may write the file could otherwise have
            the token sent to themselves.
    """
    if path is None or not path.exists():
        return None
    file = read_yaml_document(path, TrackerFile, error=DocumentError)
    allowed, address = os.environ.get(HOST), urlsplit(file.url)
    if allowed and allowed.lower() not in (address.hostname, address.netloc.lower()):
        raise SettingsError(f"is {allowed!r}, and {path.name} names {address.hostname!r}", where=HOST, hint="Find out who changed the file")
    authorisation = (_from_environment(file.user), _from_environment(file.token))
    if file.tracker == "jira":
        return JiraTracker(file, authorisation)
    return ServiceNowTracker(file, authorisation)


def _from_environment(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise SettingsError("is not set", where=name, hint="The tracker file names it; set it in the environment of the daemon")
    return value
