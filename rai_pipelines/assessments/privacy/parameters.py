"""How a table is read when people are looked for in it."""

from __future__ import annotations

from pydantic import Field

from rai_pipelines.assessments.base import Parameters


class AnonymityParameters(Parameters):
    """How the table is read; no thresholds of the policy but the targets of a proposal."""

    k_report: int = Field(default=5, ge=2, le=1000, description="`rows_below_k` counts rows in classes smaller than this")
    scan_values: int = Field(default=1000, ge=1, le=1_000_000, description="Distinct values per text column that the content scan reads")
    content_min_share: float = Field(default=0.001, ge=0, le=1, description="Share of scanned rows from which a pattern makes a column identifying")
    key_min_rows: int = Field(default=100, ge=2, description="Rows from which uniqueness of a column says that it is a key")
    flag_max_values: int = Field(default=2, ge=0, le=10, description="A column of so few distinct values tells about an identifier, and is none")
    histogram_cap: int = Field(default=200, ge=1, le=10_000, description="Class sizes listed, smallest first")
    level: float = Field(default=0.90, gt=0, lt=1, description="Level of intervals")
    risk_threshold: float = Field(default=0.2, gt=0, lt=1, description="Rows with a higher re-identification risk are counted as at risk")
    inference_share: float = Field(default=0.9, gt=0.5, le=1, description="Share of one value in a class from which its rows count as inferred")
    text_rows: int = Field(default=500, ge=1, le=1_000_000, description="Rows whose long texts are read for identifiers")
    proxy_rows: int = Field(default=20_000, ge=100, le=1_000_000, description="Rows drawn to look for proxies of protected attributes")
    proxy_min_group: int = Field(default=50, ge=10, description="Rows from which a group is told from the others")
    k_target: int = Field(default=5, ge=2, le=1000, description="Smallest class that a proposed recoding reaches")
    k_target_public: int = Field(default=11, ge=2, le=1000, description="The same for data whose datasheet says that they are published")
    l_target: int = Field(default=2, ge=1, le=100, description="Fewest values of a sensitive attribute in a class that a proposed recoding reaches")
    suppression_max: float = Field(default=0.05, ge=0, lt=1, description="Largest share of rows that a proposed recoding leaves out")
