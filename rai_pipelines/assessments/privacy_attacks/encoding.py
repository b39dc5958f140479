"""Inputs as numbers that trees can split, for the attacks' own models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Encoder:
    """Numbers as they are, other values by their place in sorted order; what is missing or unknown gets a number below all others."""

    codes: Mapping[str, Mapping[Any, int] | None]  # None: a number
    missing: Mapping[str, float]

    def __call__(self, frame: pd.DataFrame) -> np.ndarray:
        """Shape (rows, features)."""
        columns = []
        for name, codes in self.codes.items():
            if codes is None:
                amounts = frame[name].to_numpy(dtype=float, na_value=np.nan)
                columns.append(np.where(np.isfinite(amounts), amounts, self.missing[name]))
            else:
                columns.append(frame[name].astype(str).map(codes).fillna(-1).to_numpy(dtype=float))
        return np.column_stack(columns) if columns else np.zeros((len(frame), 0))


def fit_encoder(frame: pd.DataFrame, features: tuple[str, ...]) -> Encoder:
    """An encoder of these columns as `frame` has them."""
    import pandas as pd

    codes: dict[str, Mapping[Any, int] | None] = {}
    missing = {}
    for name in features:
        if pd.api.types.is_numeric_dtype(frame[name]) and not pd.api.types.is_bool_dtype(frame[name]):
            codes[name] = None
            amounts = frame[name].to_numpy(dtype=float, na_value=np.nan)
            finite = amounts[np.isfinite(amounts)]
            missing[name] = float(finite.min()) - 1.0 if len(finite) else 0.0
        else:
            codes[name] = {value: place for place, value in enumerate(sorted(frame[name].astype(str).unique()))}
    return Encoder(codes, missing)
