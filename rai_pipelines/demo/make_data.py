"""The recipe of the demo's tables: `python -m rai_pipelines.demo.make_data FOLDER_OF_THE_UNPACKED_WHEEL`.

Run once by whoever renews the data; the result ships with the package (see data/PROVENANCE.md). The same wheel gives the same rows.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rai_pipelines.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SOURCE_FOLDER = "nannyml/datasets/data"
SOURCE_SHA256 = {
    "employment_MA_reference.pq": "21d0e33655666071bde9ed21bf35b24fe14c1476e3dd37a5194b827ad5a570e4",
    "employment_MA_analysis.pq": "591328bcf7e46139660f2cc6b1705a6f2f66edf2418ce2a893cf2892be3f66a7",
    "employment_MA_analysis_target.pq": "c306840f0c092bda7608a09e61e7e715ac2b7fb2d17da8062900c3ecd6fdbe30",
}
SPLIT_SEED = 20150101
TRAINING_SHARE = 0.5
# Employment is not an outcome for children and for most pensioners: with them, "age" would explain everything and mean nothing.
WORKING_AGE = (18, 64)
AGE_EDGES = (18, 25, 35, 45, 55, 65)
# The coarse training table is anonymised to k = 5, l = 2 and t = 0.3 over disability by leaving out whole classes.
SENSITIVE = "DIS"
MINIMUM_CLASS = 5
MINIMUM_DIVERSITY = 2
MAXIMUM_DISTANCE = 0.3

LABEL = "employed"
DETAILED_COLUMNS = (
    "AGEP", "SCHL", "MAR", "RELP", "DIS", "CIT", "MIG", "MIL", "ANC", "NATIVITY", "DEAR", "DEYE", "DREM", "SEX", "RAC1P",
)  # fmt: skip
COARSE_COLUMNS = ("AGE_BAND", "SEX", "HOUSEHOLD_ROLE", "MOVED")

TRAINING_FILE = "employment_MA_2015_training.parquet"
EVALUATION_FILE = "employment_MA_2015_evaluation.parquet"
COARSE_TRAINING_FILE = "employment_MA_2015_training_coarse.parquet"
PRODUCTION_FILE = "employment_MA_2016_2018_production.parquet"
DATA_FILES = (TRAINING_FILE, EVALUATION_FILE, COARSE_TRAINING_FILE, PRODUCTION_FILE)


def make_data(wheel: Path, target: Path) -> dict[str, int]:
    """Write the four tables into `target`; returns rows per file, and the rows suppressed from the coarse one.

    Raises:
        DataError: a source file is absent or not the one that the recipe was written for.
    """
    import numpy as np

    sources = {name: _read_source(wheel / SOURCE_FOLDER / name) for name in SOURCE_SHA256}
    survey_2015 = _working_age(sources["employment_MA_reference.pq"])
    later = sources["employment_MA_analysis.pq"].merge(sources["employment_MA_analysis_target.pq"], on="id", validate="one_to_one")

    in_training = np.random.default_rng(SPLIT_SEED).permutation(len(survey_2015)) < int(len(survey_2015) * TRAINING_SHARE)
    training = survey_2015[in_training]
    # Disability stays, though no input: without it nobody could look for bias in the training data (AI Act, Article 10(5)).
    coarse = with_coarse_columns(training)[[*COARSE_COLUMNS, SENSITIVE, LABEL]]
    released = _anonymous(coarse)
    # Row order and row number would tie a coarse row to its detailed one.
    released = released.sort_values(list(released.columns), ignore_index=True)

    target.mkdir(parents=True, exist_ok=True)
    tables = {
        TRAINING_FILE: training[["row", *DETAILED_COLUMNS, LABEL]],
        EVALUATION_FILE: with_coarse_columns(survey_2015[~in_training])[["row", *DETAILED_COLUMNS, *_new(COARSE_COLUMNS), LABEL]],
        COARSE_TRAINING_FILE: released,
        PRODUCTION_FILE: with_coarse_columns(_working_age(later))[["row", "year", *DETAILED_COLUMNS, *_new(COARSE_COLUMNS), LABEL]],
    }
    for name, table in tables.items():
        _write(table, target / name)
    return {**{name: len(table) for name, table in tables.items()}, "suppressed": len(coarse) - len(released)}


def with_coarse_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with AGE_BAND (its lower edge in years), HOUSEHOLD_ROLE (0-3) and MOVED (0, 1) added; see PROVENANCE.md."""
    import numpy as np

    edges = np.asarray(AGE_EDGES)
    return frame.assign(
        AGE_BAND=edges[np.digitize(frame["AGEP"], edges) - 1].astype("int8"),
        HOUSEHOLD_ROLE=np.digitize(frame["RELP"], [2, 11, 16]).astype("int8"),  # person or spouse, relative, not related, group quarters
        MOVED=(frame["MIG"] != 1).astype("int8"),
    )


def _working_age(source: pd.DataFrame) -> pd.DataFrame:
    """Rows of working age, codes as small integers; the predictions that came with the source are left behind."""
    frame = source[source["AGEP"].between(*WORKING_AGE)]
    small = {name: frame[name].astype(str).astype(float).astype("int8") for name in (*DETAILED_COLUMNS, LABEL)}
    return frame[["id", "year"]].assign(**small, row=frame["id"].astype("int32"), year=frame["year"].astype("int16")).reset_index(drop=True)


def _anonymous(coarse: pd.DataFrame) -> pd.DataFrame:
    """`coarse` without the classes of equal quasi-identifiers that are too small, too uniform or too far from the whole.

    Leaving rows out changes the whole that classes are compared with, hence the loop. With two values, the distance of t-closeness
    is the difference of their shares (Li, Li and Venkatasubramanian 2007).
    """
    while True:
        with_disability = coarse[SENSITIVE] == 1
        classes = coarse.assign(share=with_disability).groupby(list(COARSE_COLUMNS))
        distance = (classes["share"].transform("mean") - with_disability.mean()).abs()
        size, values = classes[SENSITIVE].transform("size"), classes[SENSITIVE].transform("nunique")
        fit = (size >= MINIMUM_CLASS) & (values >= MINIMUM_DIVERSITY) & (distance <= MAXIMUM_DISTANCE)
        if fit.all():
            return coarse
        coarse = coarse[fit]


def _new(columns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in columns if name not in DETAILED_COLUMNS)


def _read_source(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise DataError("is not there", where=str(path), hint="Unpack the wheel nannyml 0.13.1 and name its folder")
    if hashlib.sha256(path.read_bytes()).hexdigest() != SOURCE_SHA256[path.name]:
        raise DataError("is not the file that this recipe was written for", where=str(path), hint="Use the wheel nannyml 0.13.1")
    return pd.read_parquet(path)


def _write(table: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table.reset_index(drop=True), preserve_index=False).replace_schema_metadata(None)
    pq.write_table(arrow, path, compression="zstd", compression_level=19)


if __name__ == "__main__":
    for made, rows in make_data(Path(sys.argv[1]), Path(__file__).parent / "data").items():
        print(f"{rows:>8} {made}")
