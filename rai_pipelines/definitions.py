"""The Dagster entry point."""

from rai_pipelines.orchestration.build import build_definitions

defs = build_definitions()
