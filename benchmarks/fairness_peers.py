"""Group fairness by others: Fairlearn and pandas in this project's environment, Aequitas and AIF360 in their own. None gives an interval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.people import ATTRIBUTES
from benchmarks.run_job import Figures

OUTCOMES = ["label", "decision"]
RATES = ("selection_rate", "true_positive_rate", "false_positive_rate", "false_negative_rate", "accuracy")
DISPARITIES = ("demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference", "equalized_odds_ratio")


def metric_frame(path: Path) -> Figures:
    """Fairlearn's MetricFrame over the raw rows, one for each attribute; its own differences and ratios."""
    import fairlearn.metrics
    import pandas as pd
    from sklearn.metrics import accuracy_score

    people = pd.read_parquet(path, columns=[*ATTRIBUTES, *OUTCOMES])
    functions = {name: accuracy_score if name == "accuracy" else getattr(fairlearn.metrics, name) for name in RATES}
    figures: Figures = {}
    for attribute in ATTRIBUTES:
        frame = fairlearn.metrics.MetricFrame(
            metrics=functions, y_true=people["label"], y_pred=people["decision"], sensitive_features=people[attribute]
        )
        for group, row in frame.by_group.iterrows():
            figures |= {f"{attribute}/{group}/{name}": float(row[name]) for name in RATES}
        difference, ratio = frame.difference(method="between_groups"), frame.ratio(method="between_groups")
        odds = ["true_positive_rate", "false_positive_rate"]
        values = (difference["selection_rate"], ratio["selection_rate"], difference[odds].max(), ratio[odds].min())
        figures |= {f"{attribute}//{name}": float(value) for name, value in zip(DISPARITIES, values, strict=True)}
    return figures


def metric_frame_without_stack(path: Path) -> Figures:
    """The same with Fairlearn freed of the np.stack that each call of a metric makes, which takes most of its time."""
    import fairlearn.metrics._annotated_metric_function as annotated
    import numpy as np

    class Freed:
        """numpy, whose `stack` leaves a flat array as it is."""

        @staticmethod
        def stack(values: Any) -> Any:
            return values if getattr(values, "ndim", 0) == 1 and values.dtype != object else np.stack(values)

        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

    annotated.np = Freed()  # type: ignore[attr-defined]
    try:
        return metric_frame(path)
    finally:
        annotated.np = np  # type: ignore[attr-defined]


def crosstab(path: Path) -> Figures:
    """pandas: one crosstab of all three attributes against label and decision. Counts; no rate and no interval."""
    import pandas as pd

    people = pd.read_parquet(path, columns=[*ATTRIBUTES, *OUTCOMES])
    table = pd.crosstab([people[name] for name in ATTRIBUTES], [people["label"], people["decision"]])
    figures: Figures = {}
    for groups, row in table.iterrows():
        name = " × ".join(map(str, groups))
        figures |= {
            f"{name}/n": int(row.sum()),
            f"{name}/selected": int(row[(0, 1)] + row[(1, 1)]),
            f"{name}/positives": int(row[(1, 0)] + row[(1, 1)]),
        }
    return figures


def aequitas(path: Path) -> Figures:
    """Aequitas: its Group crosstabs over the three attributes."""
    import pandas as pd
    from aequitas.group import Group

    people = pd.read_parquet(path, columns=[*ATTRIBUTES, *OUTCOMES]).rename(columns={"decision": "score", "label": "label_value"})
    people = people.astype(dict.fromkeys(ATTRIBUTES, "str"))
    table, _ = Group().get_crosstabs(people, attr_cols=list(ATTRIBUTES))
    names = {"pprev": "selection_rate", "tpr": "true_positive_rate", "fpr": "false_positive_rate", "fnr": "false_negative_rate"}
    figures: Figures = {}
    for _, row in table.iterrows():
        figures |= {f"{row['attribute_name']}/{row['attribute_value']}/{ours}": float(row[theirs]) for theirs, ours in names.items()}
    return figures


def aif360(path: Path) -> Figures:
    """AIF360: its metrics for scikit-learn, the selection rate and true and false positive rates of each group."""
    import pandas as pd
    from aif360.sklearn.metrics import selection_rate
    from sklearn.metrics import recall_score

    people = pd.read_parquet(path, columns=[*ATTRIBUTES, *OUTCOMES])
    figures: Figures = {}
    for attribute in ATTRIBUTES:
        for group in sorted(people[attribute].unique()):
            rows = people[people[attribute] == group]
            figures[f"{attribute}/{group}/selection_rate"] = float(selection_rate(rows["label"], rows["decision"], pos_label=1))
            figures[f"{attribute}/{group}/true_positive_rate"] = float(recall_score(rows["label"], rows["decision"]))
    return figures
