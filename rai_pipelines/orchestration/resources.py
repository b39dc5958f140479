"""The one resource: the auditor. Other parts of the code location (sensors, schedules) get it through the same door."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import dagster as dg

from rai_pipelines.audit import Auditor, build_auditor
from rai_pipelines.settings import Settings

AUDITOR = "auditor"
AuditorFactory = Callable[[], Auditor]


def auditor_resource(make: AuditorFactory) -> dg.ResourceDefinition:
    """A resource that makes the auditor when a run starts, so that loading the code location touches neither registry nor store; and ends it."""

    def auditor(_: dg.InitResourceContext) -> Iterator[Auditor]:
        made = make()
        try:
            yield made
        finally:
            made.close()

    return dg.ResourceDefinition(resource_fn=auditor, description="Registry, evidence store and policy, as RAI_* variables say")


def auditor_factory(settings: Settings) -> AuditorFactory:
    """Makes auditors for these settings."""
    return lambda: build_auditor(settings)
