"""Privacy attacks: what the model's answers give away about the people it was trained on, beside what its declared privacy budget allows."""

from __future__ import annotations

from typing import Any

import numpy as np

from rai_pipelines.assessments.base import AuditContext, Measured
from rai_pipelines.assessments.privacy_attacks.answers import ask_model
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
    Noise,
    Rows,
    Target,
    fragile_target,
    run_attacks,
    without_model,
)
from rai_pipelines.assessments.privacy_attacks.membership_figures import (
    Controls,
    area,
    attack_figures,
    class_areas,
    generalisation_gap,
    group_areas,
    strongest,
)
from rai_pipelines.assessments.privacy_attacks.parameters import PrivacyAttackParameters
from rai_pipelines.assessments.privacy_attacks.regression_attack import attack_regression
from rai_pipelines.assessments.privacy_attacks.sampled import too_few, what_was_sampled
from rai_pipelines.assessments.privacy_attacks.shadow_models import SHADOW_MODELS, control_shadows, target_shadows
from rai_pipelines.assessments.scoring import feature_names
from rai_pipelines.assessments.security.robust_sample import Outcomes
from rai_pipelines.evidence.model import Measurement, State, Status
from rai_pipelines.subjects.datasheet import Datasheet
from rai_pipelines.subjects.privacy_budget import DifferentialPrivacy
from rai_pipelines.subjects.subject import LoadedModel

CONTROL_ROWS = 1_000
CONTROL = "unpruned decision tree fitted to random labels of half of the rows"
CLASSIFICATIONS = ("binary_classification", "multiclass_classification")
NO_LABEL = "the datasheet names no label, so no attack can tell how well a row was learnt; add columns.label"
NO_TRAINING = "the datasheet names no training data, so nobody is known to be a member; add data.training"


def assess_privacy_attacks(context: AuditContext, parameters: PrivacyAttackParameters) -> Measured:
    """Ask the model about rows of training and evaluation, and guess which is which, what their sensitive values are, and what that proves.

    Returns:
        By attack (`group`) `membership_auc`, `membership_tpr_at_fpr_1pct`, `membership_accuracy`, `membership_advantage`,
        `membership_control_auc`; `membership_auc_without_model`; `group_membership_auc` and, of three or more classes, `class_membership_auc` of the
        strongest attack; `generalisation_gap`;
        `attribute_inference_*` by sensitive attribute; `dp_*` (see `differential_privacy`), `empirical_epsilon_lower_bound`,
        `dp_declaration_contradicted`; `model_queries` (rows).

    Raises:
        ModelMissing: there is no model file.
        ModelError: the model does not load, or fails on rows of its own tables.
        DataError: a table does not fit the datasheet.
    """
    sheet = context.subject.datasheet
    if sheet.task not in (*CLASSIFICATIONS, "regression"):
        return Measured(status=Status.MISSING, reason=f"privacy attacks are made on classifiers and regressions only, and the task is {sheet.task}")
    if sheet.columns.label is None:
        return Measured(status=Status.MISSING, reason=NO_LABEL)
    if not context.has_table("training"):
        return Measured(status=Status.MISSING, reason=NO_TRAINING)
    if sheet.task == "regression":
        return attack_regression(context, parameters)
    model = context.subject.load_model()
    features = feature_names(context, model)
    exposed = draw_exposed_rows(context, features, parameters.rows)
    name, outcomes = str(context.subject.version), Outcomes.of(sheet)
    target = Target(lambda frame: ask_model(model, frame[list(features)], outcomes, name))
    measurements, details = [_gap(target, exposed, parameters)], what_was_sampled(exposed, features, asked_for=parameters.rows, control=CONTROL)
    declared = declared_budget(sheet)
    measurements += budget_figures(declared, exposed.training_rows)
    if int(exposed.member.sum()) < parameters.min_rows:
        measurements += too_few(exposed, parameters.min_rows)
    else:
        attacked = _Attacked(context, target, model, features=features, exposed=exposed, parameters=parameters)
        found, more = attacked.figures(declared)
        measurements += found
        details |= more
    measurements.append(Measurement(metric="model_queries", value=float(target.queries), note="rows the model was asked about"))
    return Measured(measurements=tuple(measurements), details=details)


def declared_budget(sheet: Datasheet) -> DifferentialPrivacy | None:
    """What the owner declares about differential privacy."""
    return sheet.privacy.differential_privacy


class _Attacked:
    """One model under all attacks."""

    def __init__(
        self,
        context: AuditContext,
        target: Target,
        model: LoadedModel,
        *,
        features: tuple[str, ...],
        exposed: Exposed,
        parameters: PrivacyAttackParameters,
    ) -> None:
        self.context, self.target, self.model, self.features, self.parameters = context, target, model, features, parameters
        self.outcomes = Outcomes.of(context.subject.datasheet)
        self.rows = Rows(exposed.frame, exposed.truth, exposed.member, exposed.learning, self.outcomes.count)
        self.encode = fit_encoder(exposed.frame, features)
        columns = context.subject.datasheet.columns
        self.noise = Noise(features, columns.categorical_features, parameters.copies, parameters.noise_scale, parameters.flip)

    def figures(self, declared: DifferentialPrivacy | None) -> tuple[list[Measurement], dict[str, Any]]:
        """Every figure of the attacks, and what was done."""
        context, parameters, rows = self.context, self.parameters, self.rows
        sheet, level, seed = context.subject.datasheet, parameters.interval_level, context.seed
        answers = self.target.ask(rows.frame)
        attacks = run_attacks(self.target, rows, self.noise, max_queries=parameters.max_queries, seed=(seed, 52))
        shadows, refused = target_shadows(
            self.model, rows, answers, self.features, models=parameters.shadow_models, most_rows=parameters.shadow_rows, seed=(seed, 53),
            classes=self.outcomes.classes,
        )  # fmt: skip
        if shadows is not None:
            attacks[SHADOW_MODELS] = shadows
        controls = self._controls(level)
        measurements = attack_figures(attacks, rows.member, controls)
        measurements += _not_made(attacks, refused, parameters)
        best = strongest(attacks, rows.member, controls)
        if best is not None:
            measurements += group_areas(
                rows.frame, attacks[best], rows.member, sheet.columns.protected_attributes, name=best, least=parameters.min_group_n, level=level
            )
            measurements += class_areas(
                attacks[best], rows.member, rows.truth, self.outcomes.classes, name=best, least=parameters.min_group_n, level=level
            )
        measurements += attribute_figures(
            rows, answers, self.features, sheet.columns.sensitive_attributes, sheet.columns.protected_attributes,
            least=parameters.min_group_n, level=level, seed=(seed, 54),
        )  # fmt: skip
        measurements += bound_figures(
            attacks, rows.member, rows.learning, declared, delta=parameters.delta, level=level, baseline=controls.without_model
        )
        return measurements, {
            "attacks": {name: controls.problem(name) or "effective" for name in attacks},
            "how": {name: one.how for name, one in attacks.items()},
            "cut": {name: one.cut for name, one in attacks.items() if one.cut},
            "strongest": best,
            "rows_by_attack": {name: int(one.judged.sum()) for name, one in attacks.items()},
        }

    def _controls(self, level: float) -> Controls:
        """The same attacks on a model that learnt by heart, and the tables compared without any model."""
        rows, seed = self.rows, self.context.seed
        chosen = np.sort(np.random.default_rng([seed, 55]).permutation(len(rows.member))[:CONTROL_ROWS])
        frame = rows.frame.iloc[chosen].reset_index(drop=True)
        fragile, pool = fragile_target(self.encode(frame), seed=(seed, 56), encode=self.encode, classes=rows.classes)
        known = Rows(frame, pool.truth, pool.member, pool.learning, rows.classes)
        attacks = run_attacks(fragile, known, self.noise, max_queries=self.parameters.max_queries, seed=(seed, 57))
        if self.parameters.shadow_models >= 2:
            attacks[SHADOW_MODELS] = control_shadows(
                self.encode(frame), known, fragile.answer(frame), models=self.parameters.shadow_models, seed=(seed, 58)
            )
        reached = {name: area(one.score[one.judged], known.member[one.judged], level) for name, one in attacks.items()}
        likely = without_model(self.encode(rows.frame), rows, seed=int(np.random.default_rng([seed, 59]).integers(2**31)))
        judged = ~rows.learning
        return Controls(reached, area(likely[judged], rows.member[judged], level), self.parameters.min_control_auc, level, len(chosen))


def _gap(target: Target, exposed: Exposed, parameters: PrivacyAttackParameters) -> Measurement:
    counts = []
    for side in exposed.sides:
        frame, truth = side.frame.iloc[: parameters.rows], side.truth[: parameters.rows]
        if not len(frame):
            return Measurement(metric="generalisation_gap", value=None, state=State.INSUFFICIENT, note="a table has no labelled row in the sample")
        counts.append((int((target.ask(frame)[0] == truth).sum()), len(frame)))
    return generalisation_gap(counts[0], counts[1], parameters.interval_level)


def _not_made(attacks: dict[str, Attack], refused: str | None, parameters: PrivacyAttackParameters) -> list[Measurement]:
    """The attacks that were left out, and why."""
    reasons = {
        RULE_BASED: "",
        LOSS_THRESHOLD: "the model gives no score",
        LEARNED: "",
        LABEL_ONLY: f"no noisy copy fits the allowance of {parameters.max_queries:,} queries",
        SHADOW_MODELS: refused or "",
    }
    return [
        Measurement(metric="membership_auc", value=None, group=name, state=State.UNAVAILABLE, note=reason)
        for name, reason in reasons.items()
        if name not in attacks
    ]
