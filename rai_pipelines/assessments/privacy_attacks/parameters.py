"""How hard the privacy of a training table is attacked."""

from __future__ import annotations

from pydantic import Field

from rai_pipelines.assessments.base import Parameters


class PrivacyAttackParameters(Parameters):
    """How many rows are attacked and how hard."""

    rows: int = Field(default=2_000, ge=50, le=50_000, description="Rows of each table under attack, at most")
    min_rows: int = Field(default=100, ge=20, description="Rows of each table without an equal below which no attack is made")
    copies: int = Field(default=15, ge=1, le=1_000, description="Noisy copies of each row in the label-only attack")
    noise_scale: float = Field(default=0.5, gt=0, le=10, description="Standard deviations by which that attack moves numbers")
    flip: float = Field(default=0.1, ge=0, le=1, description="Chance that it replaces a code or text")
    max_queries: int = Field(default=100_000, ge=1_000, description="Rows that the model may be asked about")
    shadow_models: int = Field(default=16, ge=0, le=256, description="Refits for the likelihood-ratio attack, rounded down to pairs; 0: none")
    shadow_rows: int = Field(default=4_000, ge=50, le=50_000, description="Rows under attack from which the refits learn, at most")
    min_control_auc: float = Field(default=0.6, gt=0.5, le=1, description="Area that an attack must reach on a model that learnt by heart")
    min_group_n: int = Field(default=50, ge=10, description="Members and non-members of a group below which it is not judged")
    delta: float = Field(default=1e-5, gt=0, lt=1, description="For the bound on epsilon where none is declared")
    interval_level: float = Field(default=0.90, gt=0, lt=1)
