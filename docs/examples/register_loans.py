"""The example of docs/add-your-model.md: invented loan applications, a model on them, and its registration.

python docs/examples/register_loans.py        (with RAI_HOME set, or the default ~/.rai)
"""

from __future__ import annotations

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rai_pipelines.settings import load_settings

FEATURES = ["income", "debt", "years_employed", "gender"]


def applications(rows: int, seed: int) -> pd.DataFrame:
    """Invented applicants; whether a loan is paid back depends on income, debt and years in the job."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": rng.normal(40, 10, rows).round(1),
            "debt": rng.gamma(2, 5, rows).round(1),
            "years_employed": rng.integers(0, 30, rows),
            "gender": rng.choice([1, 2], rows),
        }
    )
    chance = 1 / (1 + np.exp(-((frame.income - 40) / 8 - (frame.debt - 10) / 6 + frame.years_employed / 15)))
    return frame.assign(repaid=(rng.random(rows) < chance).astype(int))


def main() -> None:
    """Write the two tables below the data root, train, and register version 1 of `loans`."""
    settings = load_settings()
    training, evaluation = applications(5_000, seed=1), applications(5_000, seed=2)
    settings.data_path.mkdir(parents=True, exist_ok=True)
    training.to_parquet(settings.data_path / "loans_training.parquet")
    evaluation.to_parquet(settings.data_path / "loans_evaluation.parquet")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(training[FEATURES], training["repaid"])
    mlflow.set_tracking_uri(settings.registry_uri)
    if mlflow.get_experiment_by_name("loans") is None:
        mlflow.create_experiment("loans", artifact_location=settings.artifact_root.as_uri())
    mlflow.set_experiment("loans")
    with mlflow.start_run():
        signature = infer_signature(training[FEATURES].head(), model.predict(training[FEATURES].head()))
        mlflow.sklearn.log_model(
            model, name="model", registered_model_name="loans", signature=signature, serialization_format="skops", pip_requirements=["scikit-learn"]
        )


if __name__ == "__main__":
    main()
