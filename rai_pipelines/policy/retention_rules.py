"""How long records are kept. The law's minimum cannot be shortened by a policy, only lengthened."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

DOCUMENT_YEARS = 10  # Regulation (EU) 2024/1689, Art. 18(1)
LOG_MONTHS = 6  # Art. 19(1), Art. 26(6)


class RetentionRules(BaseModel):
    """Documents (evidence, verdicts, decisions and their words) and logs (what was delivered to whom)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    document_years: int = Field(default=DOCUMENT_YEARS, ge=DOCUMENT_YEARS, le=100)
    log_months: int = Field(default=LOG_MONTHS, ge=LOG_MONTHS, le=1200)
