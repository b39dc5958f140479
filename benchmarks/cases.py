"""What is compared with what. The first line of a case is this project's; the others are measured against it in the same run."""

from __future__ import annotations

from dataclasses import dataclass

HERE = "this project"


@dataclass(frozen=True)
class Line:
    """One job (`module.function`), in words; `environment` is the peer's own one, absent for this project's."""

    job: str
    title: str
    environment: str | None = None


@dataclass(frozen=True)
class Case:
    """One comparison over `factor` times the base rows of a table of that kind; `share` compares only the figures that both have."""

    title: str
    table: str
    factor: float
    lines: tuple[Line, ...]
    shared_figures: bool = False


LATTICE = "Group fairness: 3 attributes, their pairs and the triple"
CASES = (
    Case(
        LATTICE,
        "attributes",
        1,
        (
            Line("fairness_here.lattice", f"{HERE} (whole lattice, intervals, 10,000 replicates)"),
            Line("fairness_peers.metric_frame", "Fairlearn MetricFrame on raw rows (3 attributes, points)"),
            Line("fairness_peers.metric_frame_without_stack", "the same, freed of its np.stack"),
            Line("fairness_peers.aequitas", "Aequitas Group (3 attributes, points)", "aequitas"),
            Line("fairness_peers.aif360", "AIF360 (3 attributes, two rates, points)", "aif360"),
        ),
        shared_figures=True,
    ),
    Case(
        f"{LATTICE}; attributes are codes",
        "attributes",
        10,
        (
            Line("fairness_here.cells", f"{HERE} (whole lattice, intervals, 10,000 replicates)"),
            Line("fairness_peers.crosstab", "pandas read_parquet and one crosstab (counts of the triple)"),
        ),
    ),
    Case(
        f"{LATTICE}; attributes are texts",
        "words",
        10,
        (
            Line("fairness_here.cells", f"{HERE} (whole lattice, intervals, 10,000 replicates)"),
            Line("fairness_peers.crosstab", "pandas read_parquet and one crosstab (counts of the triple)"),
        ),
    ),
    Case(f"{LATTICE}; memory", "attributes", 100, (Line("fairness_here.lattice", HERE),)),
    Case("Share of the time that intervals and replicates take", "attributes", 10, (Line("fairness_here.interval_share", HERE),)),
    Case(
        "k, distinct l, entropy l and t over 4 quasi-identifiers",
        "all",
        0.1,
        (Line("privacy.k_and_l_here", f"{HERE} (k, l, entropy l, t)"), Line("privacy.k_and_l_pycanon", "pyCANON (k and l only)", "pycanon")),
    ),
    Case(
        "k, distinct l, entropy l and t, nearly every row a class of its own (sex, age, postcode, region)",
        "all",
        0.1,
        (
            Line("privacy.fine_k_and_l_here", f"{HERE} (k, l, entropy l, t)"),
            Line("privacy.fine_k_and_l_pycanon", "pyCANON (k and l only)", "pycanon"),
        ),
    ),
    Case("k, distinct l, entropy l and t over 4 quasi-identifiers", "all", 1, (Line("privacy.models_here", HERE),)),
    Case("k, distinct l, entropy l and t over 4 quasi-identifiers", "all", 10, (Line("privacy.models_here", HERE),)),
    Case("k, few classes (sex, race, age)", "all", 1, (Line("privacy.few_here", HERE), Line("privacy.few_pandas", "pandas groupby.size"))),
    Case("k, many classes (sex, age, postcode)", "all", 1, (Line("privacy.many_here", HERE), Line("privacy.many_pandas", "pandas groupby.size"))),
    Case("k over 8 quasi-identifiers, engine limited to 1 GB", "all", 10, (Line("privacy.eight_here", HERE),)),
    Case(
        "Area under the ROC curve from 2,000 bins, bracketed",
        "attributes",
        10,
        (Line("scores.binned_here", HERE), Line("scores.binned_by_scikit_learn", "scikit-learn roc_auc_score")),
    ),
    Case(
        "Area under the ROC curve, exact",
        "attributes",
        10,
        (Line("scores.exact_here", HERE), Line("scores.by_scikit_learn", "scikit-learn roc_auc_score")),
    ),
    Case(
        "Drift of 4 numbers and 3 categories: KS, Wasserstein and Jensen-Shannon distances",
        "drift",
        1,
        (
            Line("drift.here", HERE),
            Line("drift.by_scipy", "SciPy on pandas"),
            Line("drift.by_evidently", "Evidently, one distance a column", "evidently"),
        ),
        shared_figures=True,
    ),
    Case(
        "Data-validation profile, 8 columns",
        "all",
        1,
        (
            Line("profiles.here", HERE),
            Line("profiles.by_great_expectations", "Great Expectations on pandas, the same observed values without value counts"),
            Line("profiles.by_pandera", "pandera on pandas (missing values only)", "pandera"),
            Line("profiles.by_pandas", "pandas describe, isna, nunique, value_counts"),
        ),
        shared_figures=True,
    ),
    Case(
        "HopSkipJump on a random forest, 32 rows",
        "attributes",
        0.005,
        (
            Line("attacks.forest_here", f"{HERE} (at once, ONNX Runtime)"),
            Line("attacks.forest_here_native", "the same, asking scikit-learn"),
            Line("attacks.forest_by_art", "ART, one row after the other"),
        ),
    ),
    Case(
        "HopSkipJump on LightGBM, 32 rows",
        "attributes",
        0.005,
        (Line("attacks.lightgbm_here", HERE), Line("attacks.lightgbm_by_art", "ART, one row after the other")),
    ),
    Case(
        "HopSkipJump on XGBoost, 32 rows",
        "attributes",
        0.005,
        (Line("attacks.xgboost_here", HERE, "xgboost"), Line("attacks.xgboost_by_art", "ART, one row after the other", "xgboost")),
    ),
    Case("Loading the code location", "attributes", 0.005, (Line("loading.ratio", "over importing dagster alone, fresh interpreters in turn"),)),
    *(
        Case(
            f"Model host, share of a request of 4,096 rows that the same model in the auditor's process does not need: {title}",
            "attributes",
            0.005,
            (Line(f"hosting.{job}_share", "both asked in turn, medians"),),
        )
        for job, title in (
            ("forest", "random forest of scikit-learn"),
            ("onnx_forest", "random forest in ONNX"),
            ("lightgbm", "LightGBM"),
            ("onnx_regression", "logistic regression in ONNX"),
        )
    ),
    *(
        Case(
            f"Model host, {requests}: {title}",
            "attributes",
            0.005,
            (
                Line(f"hosting.{job}_here", "in the auditor's process"),
                Line(f"hosting.{job}_hosted", "in the model host (processor time of the auditor alone)"),
            ),
        )
        for job, requests, title in (
            ("forest", "40 requests of 4,096 rows", "random forest of scikit-learn"),
            ("onnx_forest", "40 requests of 4,096 rows", "random forest in ONNX"),
            ("lightgbm", "40 requests of 4,096 rows", "LightGBM"),
            ("onnx_regression", "400 requests of 4,096 rows", "logistic regression in ONNX"),
            ("floor", "400 requests of 64 rows", "logistic regression in ONNX"),
        )
    ),
)
