"""The one partition dimension: the model version. The month of an audit is a run tag, not a partition."""

from __future__ import annotations

import dagster as dg

MODEL_VERSIONS = dg.DynamicPartitionsDefinition(name="model_version")
