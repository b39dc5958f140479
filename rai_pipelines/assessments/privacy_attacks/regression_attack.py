"""The loss threshold on regressions (Yeom et al. 2018): a row whose outcome is predicted closely is likelier to have been learnt from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.privacy_attacks.attribute_inference import attribute_figures
from rai_pipelines.assessments.privacy_attacks.differential_privacy import budget_figures
from rai_pipelines.assessments.privacy_attacks.encoding import fit_encoder
from rai_pipelines.assessments.privacy_attacks.epsilon_bound import bound_figures
from rai_pipelines.assessments.privacy_attacks.exposed_rows import Exposed, draw_exposed_rows
from rai_pipelines.assessments.privacy_attacks.membership import (
    LABEL_ONLY,
    LEARNED,
    LOSS_THRESHOLD,
    RULE_BASED,
    Attack,
    Rows,
    Target,
    by_threshold,
    without_model,
)
from rai_pipelines.assessments.privacy_attacks.membership_figures import Controls, area, attack_figures, group_areas, strongest
from rai_pipelines.assessments.privacy_attacks.sampled import too_few, what_was_sampled
from rai_pipelines.assessments.privacy_attacks.shadow_models import SHADOW_MODELS
from rai_pipelines.assessments.scoring import feature_names
from rai_pipelines.assessments.statistics.uncertainty import normal_quantile
from rai_pipelines.errors import DataError, ModelError
from rai_pipelines.evidence.model import Interval, Measurement, State
from rai_pipelines.subjects.subject import LoadedModel

if TYPE_CHECKING:
    import pandas as pd

    from rai_pipelines.assessments.privacy_attacks.parameters import PrivacyAttackParameters

HOW = "absolute error of the prediction"
CONTROL = "unpruned regression tree fitted to random numbers for half of the rows"
CONTROL_ROWS = 1_000
NOT_OF_REGRESSIONS = "made on classes or their probabilities, which a regression does not have"


class Amounts:
    """Outcomes that are numbers, in the place of `Outcomes`."""

    def labels(self, values: pd.Series, where: str) -> np.ndarray:
        """Numbers, shape (rows,).

        Raises:
            DataError: an outcome that is no finite number.
        """
        numbers = self.numbered(values)
        if not np.isfinite(numbers).all():
            raise DataError("holds an outcome that is no finite number", where=where, hint="Check the label column, or columns.task")
        return numbers

    def numbered(self, values: pd.Series) -> np.ndarray:
        """The same, NaN where there is none."""
        import pandas as pd

        return np.asarray(pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan))


def attack_regression(context: AuditContext, parameters: PrivacyAttackParameters) -> Measured:
    """As `assess_privacy_attacks`, with the one attack on membership that needs no classes; `generalisation_gap_error` in units of the outcome.

    Raises:
        ModelMissing, ModelError, DataError: as there; also where an outcome or a prediction is no finite number.
    """
    sheet, seed, level = context.subject.datasheet, context.seed, parameters.interval_level
    model, name = context.subject.load_model(), str(context.subject.version)
    features = feature_names(context, model)
    exposed = draw_exposed_rows(context, features, parameters.rows, Amounts())
    target = Target(lambda frame: (_predicted(model, frame[list(features)], name), None))
    declared = sheet.privacy.differential_privacy
    measurements = [_gap(target, exposed, parameters.rows, level), *budget_figures(declared, exposed.training_rows)]
    details = what_was_sampled(exposed, features, asked_for=parameters.rows, control=CONTROL)
    if int(exposed.member.sum()) < parameters.min_rows:
        measurements += too_few(exposed, parameters.min_rows)
    else:
        rows = Rows(exposed.frame, exposed.truth, exposed.member, exposed.learning)
        predicted = target.ask(rows.frame)
        attacks = {LOSS_THRESHOLD: by_threshold(-np.abs(predicted[0] - rows.truth), rows, HOW)}
        controls = _controls(rows, fit_encoder(rows.frame, features)(rows.frame), parameters, seed=(seed, 55))
        measurements += attack_figures(attacks, rows.member, controls)
        measurements += [
            Measurement(metric="membership_auc", value=None, group=other, state=State.UNAVAILABLE, note=NOT_OF_REGRESSIONS)
            for other in (RULE_BASED, LEARNED, LABEL_ONLY, SHADOW_MODELS)
        ]
        best = strongest(attacks, rows.member, controls)
        if best is not None:
            measurements += group_areas(
                rows.frame, attacks[best], rows.member, sheet.columns.protected_attributes, name=best, least=parameters.min_group_n, level=level
            )
        measurements += attribute_figures(
            rows, predicted, features, sheet.columns.sensitive_attributes, sheet.columns.protected_attributes,
            least=parameters.min_group_n, level=level, seed=(seed, 54),
        )  # fmt: skip
        measurements += bound_figures(
            attacks, rows.member, rows.learning, declared, delta=parameters.delta, level=level, baseline=controls.without_model
        )
        details |= _told(attacks, controls, best)
    measurements.append(Measurement(metric="model_queries", value=float(target.queries), note="rows the model was asked about"))
    return Measured(measurements=tuple(measurements), details=details)


def _predicted(model: LoadedModel, frame: pd.DataFrame, name: str) -> np.ndarray:
    try:
        predicted = np.asarray(model.predict(frame), dtype=float)
    except (TypeError, ValueError) as error:
        raise ModelError("predicts something else than numbers", where=name, hint="Register a regression, or correct the task") from error
    if predicted.shape != (len(frame),) or not np.isfinite(predicted).all():
        raise ModelError(f"does not predict one finite number for each of {len(frame)} rows", where=name, hint="Look at extreme inputs")
    return predicted


def _controls(rows: Rows, inputs: np.ndarray, parameters: PrivacyAttackParameters, *, seed: tuple[int, int]) -> Controls:
    """The same attack on a tree that learnt random numbers by heart, and the tables compared without any model."""
    from sklearn.tree import DecisionTreeRegressor

    rng = np.random.default_rng([*seed, 1])
    chosen = np.sort(rng.permutation(len(inputs))[:CONTROL_ROWS])
    member = np.isin(np.arange(len(chosen)), rng.permutation(len(chosen))[: len(chosen) // 2])
    amounts = rng.normal(size=len(chosen))
    tree = DecisionTreeRegressor(random_state=int(rng.integers(2**31))).fit(inputs[chosen][member], amounts[member])
    level = parameters.interval_level
    reached = area(-np.abs(tree.predict(inputs[chosen]) - amounts), member, level)
    likely = without_model(inputs, rows, seed=int(rng.integers(2**31)))
    judged = ~rows.learning
    return Controls({LOSS_THRESHOLD: reached}, area(likely[judged], rows.member[judged], level), parameters.min_control_auc, level, len(chosen))


def _gap(target: Target, exposed: Exposed, most: int, level: float) -> Measurement:
    """Mean absolute error in evaluation minus that in training, from plain samples, repeated rows included."""
    errors = []
    for side in exposed.sides:
        frame, truth = side.frame.iloc[:most], side.truth[:most]
        if len(frame) < 2:
            return Measurement(
                metric="generalisation_gap_error", value=None, state=State.INSUFFICIENT, note="a table has fewer than two labelled rows in the sample"
            )
        errors.append(np.abs(target.ask(frame)[0] - truth))
    training, evaluation = errors
    value = float(evaluation.mean() - training.mean())
    error = math.sqrt(float(training.var(ddof=1)) / len(training) + float(evaluation.var(ddof=1)) / len(evaluation))
    half = normal_quantile(level) * error
    return Measurement(
        metric="generalisation_gap_error",
        value=value,
        interval=Interval(low=value - half, high=value + half, level=level, method="normal, variances added"),
        standard_error=error,
        n=len(training) + len(evaluation),
        denominator=min(len(training), len(evaluation)),
        note=f"mean absolute error {evaluation.mean():.4g} on evaluation rows, {training.mean():.4g} on training rows",
    )


def _told(attacks: dict[str, Attack], controls: Controls, best: str | None) -> dict[str, Any]:
    return {
        "attacks": {name: controls.problem(name) or "effective" for name in attacks},
        "how": {name: one.how for name, one in attacks.items()},
        "cut": {},
        "strongest": best,
        "rows_by_attack": {name: int(one.judged.sum()) for name, one in attacks.items()},
    }
