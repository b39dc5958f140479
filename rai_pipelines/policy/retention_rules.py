"""How long records are kept. The law's minimum cannot be shortened by a policy, only lengthened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from rai_pipelines.policy.direction import Direction, Stricter

DOCUMENT_YEARS = 10  # Regulation (EU) 2024/1689, Art. 18(1)
LOG_MONTHS = 6  # Art. 19(1), Art. 26(6)


class RetentionRules(BaseModel):
    """Documents (evidence, verdicts, decisions and their words) and logs (what was delivered to whom)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stricter: ClassVar[Mapping[str, Stricter]] = {"document_years": Direction.HIGHER, "log_months": Direction.HIGHER}
    document_years: int = Field(default=DOCUMENT_YEARS, ge=DOCUMENT_YEARS, le=100)
    log_months: int = Field(default=LOG_MONTHS, ge=LOG_MONTHS, le=1200)
