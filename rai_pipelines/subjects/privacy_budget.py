"""What the owner declares about differential privacy: the mechanism's parameters, from which the budget is recomputed."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Mechanism = Literal["gaussian_dp_sgd", "laplace", "gaussian"]
SAMPLED_ONLY = ("noise_multiplier", "sampling_rate", "batch_size", "dataset_size", "steps", "epochs")
RELEASED_ONLY = ("sensitivity", "scale", "releases")


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class DifferentialPrivacy(_Declared):
    """A mechanism, its parameters, and the budget (epsilon, delta) that the owner says it keeps for one person's row added or removed.

    `gaussian_dp_sgd` (Abadi et al. 2016): `noise_multiplier`, `sampling_rate` or `batch_size`, and `steps` or `epochs`. The accounting takes
    batches as Poisson samples. `laplace` and `gaussian`: `sensitivity` (L1 and L2), `scale` of the noise, and how many `releases` were made.
    """

    mechanism: Mechanism
    epsilon: float = Field(gt=0, le=1_000)
    delta: float = Field(default=0.0, ge=0, lt=1)
    noise_multiplier: float | None = Field(default=None, gt=0, le=1_000, description="Standard deviation of the noise over the clipping norm")
    sampling_rate: float | None = Field(default=None, gt=0, le=1, description="Chance of a row to be in a batch")
    batch_size: int | None = Field(default=None, ge=1, description="Expected rows of a batch")
    dataset_size: int | None = Field(default=None, ge=1, description="Rows that batches are drawn from; compared with the training table")
    steps: int | None = Field(default=None, ge=1, le=10_000_000)
    epochs: float | None = Field(default=None, gt=0, le=1_000_000)
    sensitivity: float | None = Field(default=None, gt=0)
    scale: float | None = Field(default=None, gt=0, description="Scale of Laplace noise, or standard deviation of Gaussian noise")
    releases: int | None = Field(default=None, ge=1, le=1_000_000, description="Noisy answers given about the same rows; absent: 1")

    @model_validator(mode="after")
    def _the_mechanism_has_its_parameters(self) -> Self:
        sampled = self.mechanism == "gaussian_dp_sgd"
        foreign = [name for name in (RELEASED_ONLY if sampled else SAMPLED_ONLY) if getattr(self, name) is not None]
        if foreign:
            raise ValueError(f"{self.mechanism} has no {', '.join(foreign)}")
        if self.mechanism != "laplace" and self.delta == 0:
            raise ValueError(f"{self.mechanism} keeps no budget with delta 0")
        if not sampled:
            absent = [name for name in ("sensitivity", "scale") if getattr(self, name) is None]
            if absent:
                raise ValueError(f"{self.mechanism} needs {', '.join(absent)}")
            return self
        if self.noise_multiplier is None:
            raise ValueError("gaussian_dp_sgd needs noise_multiplier")
        if (self.sampling_rate is None) == (self.batch_size is None):
            raise ValueError("gaussian_dp_sgd needs either sampling_rate or batch_size")
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("gaussian_dp_sgd needs either steps or epochs")
        if self.batch_size is not None and self.dataset_size is None:
            raise ValueError("batch_size needs dataset_size")
        if self.batch_size is not None and self.dataset_size is not None and self.batch_size > self.dataset_size:
            raise ValueError("batch_size is above dataset_size")
        return self


class PrivacyDeclaration(_Declared):
    """The section `privacy` of a datasheet."""

    differential_privacy: DifferentialPrivacy | None = None
