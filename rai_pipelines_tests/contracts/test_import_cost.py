"""Loading the code location pulls in no heavy library. What it costs beside importing dagster is a benchmark."""

import subprocess
import sys

HEAVY = (
    "great_expectations", "art", "shap", "lime", "mlflow", "presidio_analyzer", "matplotlib", "fairlearn", "sklearn", "ibis", "duckdb",
    "pandas", "scipy", "lightgbm", "skops", "spacy",
)  # fmt: skip


def test_no_heavy_library_is_imported_when_the_code_location_loads() -> None:
    code = f"import rai_pipelines.definitions, sys; print(sorted(name for name in {HEAVY!r} if name in sys.modules))"
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip().splitlines()[-1] == "[]"
