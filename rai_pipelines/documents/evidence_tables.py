"""Tables from evidence, for every document that shows figures: values with intervals, rows and state. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping

from rai_pipelines.documents.parts import Table
from rai_pipelines.documents.regulator_tables import regulator_tables
from rai_pipelines.documents.text import number
from rai_pipelines.evidence.model import Evidence, Measurement, State, Status

ROBUSTNESS = frozenset(
    {
        "clean_accuracy", "robust_accuracy", "robust_to_clean_ratio", "robust_accuracy_at_budget", "attack_success_rate", "positive_control_success",
        "median_adversarial_distance", "robust_to_clean_gap", "feature_fragility", "corrupted_accuracy", "model_queries", "crash_count",
        "unsteady_decisions", "unsteady_scores",
    }
)  # fmt: skip
PRIVACY_ATTACKS = frozenset(
    {
        "membership_auc", "membership_tpr_at_fpr_1pct", "membership_auc_without_model", "generalisation_gap", "attribute_inference_advantage",
        "dp_epsilon_recomputed", "empirical_epsilon_lower_bound",
    }
)  # fmt: skip

POISONING = frozenset(
    {
        "refit_agreement", "random_flip_accuracy_drop", "targeted_flip_impact_ratio_change", "row_influence_maximum", "influential_row_share",
        "contradicted_label_share", "planted_label_auc", "source_removal_loss_change", "harmful_sources",
    }
)  # fmt: skip
SHOWN_WINDOWS = 4


def validation_tables(evidence: Mapping[str, Evidence]) -> tuple[Table, ...]:
    """What data validation found, by table."""
    item = evidence.get("data_validation")
    if item is None or item.status is not Status.COMPLETE:
        return ()
    names = ("rows", "expectations_evaluated", "expectations_failed_critical", "expectations_failed_warning", "duplicate_row_share", "overlap_share")
    rows = tuple((m.metric.replace("_", " "), m.group or "", number(m.value), m.note or "") for name in names for m in item.find(name))
    return (Table(caption="Data validation (Great Expectations)", columns=("figure", "table", "value", "note"), rows=rows),)


def anonymity_tables(evidence: Mapping[str, Evidence]) -> tuple[Table, ...]:
    """How far people in the training data can be singled out."""
    item = evidence.get("anonymization_check")
    if item is None or item.status is not Status.COMPLETE:
        return ()
    names = (
        "direct_identifier_columns",
        "k_minimum",
        "singling_out_share",
        "rows_below_k",
        "prosecutor_risk_maximum",
        "journalist_risk_maximum",
        "marketer_risk",
        "linkability_share",
        "inference_share",
        "l_distinct_minimum",
        "t_maximum",
        "alpha_maximum",
        "safe_harbor_zip5_rows",
        "safe_harbor_age_over_89_rows",
        "purposeless_columns",
        "recoding_k",
        "recoding_suppressed_share",
        "recoding_information_loss",
    )
    rows = tuple((m.metric.replace("_", " "), m.attribute or "", figure_in_words(m)) for name in names for m in item.find(name))
    return (Table(caption="Anonymity of the data", columns=("figure", "column", "value"), rows=rows),)


def performance_tables(evidence: Mapping[str, Evidence]) -> tuple[Table, ...]:
    """Accuracy of every protected group."""
    item = evidence.get("performance_report")
    if item is None or item.status is not Status.COMPLETE:
        return ()
    spoken = (evidence.get("bias_assessment") or item).spoken
    rows = tuple((m.attribute or "", spoken(m.attribute, m.group), *_figure(m)) for m in item.find("accuracy") if m.attribute)
    return (Table(caption="Accuracy by group", columns=("attribute", "group", "accuracy", "interval", "rows", "state"), rows=rows),)


def bias_tables(evidence: Mapping[str, Evidence]) -> tuple[Table, ...]:
    """Impact ratios, largest differences, and the tables of regulators that the datasheet asks for."""
    item = evidence.get("bias_assessment")
    if item is None or item.status is not Status.COMPLETE:
        return ()
    single = [m for m in item.measurements if " × " not in (m.attribute or "")]
    ratios = tuple((m.attribute or "", _pair(item, m), *_figure(m)) for m in single if m.metric == "impact_ratio")
    differences = tuple(
        (m.attribute or "", f"{m.metric.replace('_', ' ')}: {_pair(item, m)}", *_figure(m))
        for m in single
        if m.metric in ("equalized_odds_difference", "demographic_parity_difference")
    )
    columns = ("attribute", "comparison", "value", "interval", "rows", "state")
    return (
        Table(caption="Impact ratios", columns=columns, rows=ratios),
        Table(caption="Largest differences between groups", columns=columns, rows=differences),
        *(Table(caption=caption, columns=named, rows=rows) for caption, named, rows in regulator_tables(item)),
    )


def robustness_tables(evidence: Mapping[str, Evidence]) -> tuple[Table, ...]:
    """What attacks could change."""
    item = evidence.get("adversarial_robustness")
    if item is None or item.status is not Status.COMPLETE:
        return ()
    shown = [m for m in item.measurements if m.metric in ROBUSTNESS]
    rows = tuple((m.metric.replace("_", " "), m.group or m.attribute or "", figure_in_words(m)) for m in shown)
    return (Table(caption="Adversarial robustness", columns=("figure", "attack, budget or group", "value"), rows=rows),)


def explanation_tables(evidence: Mapping[str, Evidence]) -> tuple[Table, ...]:
    """What drives the model, and how good its explanations are."""
    item = evidence.get("explainability_report")
    if item is None or item.status is not Status.COMPLETE:
        return ()
    columns = ("figure", "of", "value", "interval", "rows", "state")
    drivers = [*item.find("feature_importance"), *item.find("protected_driver_share")]
    names = (
        "local_explanation_coverage", "decision_from_score", "additivity_error", "surrogate_fidelity", "surrogate_fidelity_over_majority",
        "counterfactual_coverage", "counterfactual_distance", "counterfactual_sparsity", "deletion_fidelity", "top5_stability", "rank_stability",
        "shap_lime_agreement", "trace_replay_match",
    )  # fmt: skip
    quality = [found for name in names for found in item.find(name)]
    captions = (f"What drives the model ({item.details.get('explainer')}, {item.details.get('explained_output')})", "How good its explanations are")
    parts = zip(captions, (drivers, quality), strict=True)
    return tuple(
        Table(caption=caption, columns=columns, rows=tuple((m.metric.replace("_", " "), _explained(m), *_figure(m)) for m in found))
        for caption, found in parts
    )


def _explained(measurement: Measurement) -> str:
    """What the figure is about: an input or a group, and of several classes which."""
    what = measurement.attribute or measurement.group or ""
    if measurement.outcome is None:
        return what
    return f"{what}, class {measurement.outcome}" if what else f"class {measurement.outcome}"


def privacy_attack_tables(evidence: Mapping[str, Evidence]) -> tuple[Table, ...]:
    """What the model gives away about the people it was trained on."""
    item = evidence.get("privacy_attacks")
    if item is None or item.status is not Status.COMPLETE:
        return ()
    rows = tuple(
        (m.metric.replace("_", " "), m.group or "", m.attribute or "", figure_in_words(m)) for m in item.measurements if m.metric in PRIVACY_ATTACKS
    )
    return (Table(caption="Attacks on the privacy of the training data", columns=("figure", "attack or group", "attribute", "value"), rows=rows),)


def poisoning_tables(evidence: Mapping[str, Evidence]) -> tuple[Table, ...]:
    """What wrong training rows would change."""
    item = evidence.get("poisoning_check")
    if item is None or item.status is not Status.COMPLETE:
        return ()
    shown = [m for m in item.measurements if m.metric in POISONING]
    rows = tuple(
        (m.metric.replace("_", " "), m.attribute or "", _pair(item, m) if m.comparison else "", m.group or "", figure_in_words(m)) for m in shown
    )
    return (Table(caption="What wrong training rows would change", columns=("figure", "attribute", "groups", "share or source", "value"), rows=rows),)


def drift_tables(evidence: Mapping[str, Evidence]) -> tuple[Table, ...]:
    """How far production has moved, and how much accuracy was lost."""
    item = evidence.get("drift_report")
    if item is None or item.status is not Status.COMPLETE:
        return ()
    shown = [*item.find("performance_drop"), *item.find("domain_classifier_auc"), *item.find("psi")]
    rows = tuple((m.metric.replace("_", " "), m.attribute or "", *_figure(m)) for m in shown)
    columns = ("figure", "column", "value", "interval", "rows", "state")
    return (Table(caption="Production against training, accuracy against evaluation", columns=columns, rows=rows),)


def fairness_window_tables(evidence: Mapping[str, Evidence]) -> tuple[Table, ...]:
    """How far apart groups are in each of the newest windows of production decisions."""
    item = evidence.get("fairness_windows")
    if item is None or item.status is not Status.COMPLETE:
        return ()
    held = item.details.get("windows")
    spans = {f"window {w['window']}": f"{w['from'][:10]} to {w['to'][:10]}" for w in held if isinstance(w, dict)} if isinstance(held, list) else {}  # type: ignore[index]
    newest = set(list(spans)[-SHOWN_WINDOWS:])
    shown = [m for m in item.measurements if m.group in newest or m.group is None]
    columns = ("decisions of", "attribute", "difference", "value", "interval", "rows", "state")
    rows = tuple((spans.get(m.group or "", "–"), m.attribute or "", f"{m.metric.replace('_', ' ')}: {_pair(item, m)}", *_figure(m)) for m in shown)
    return (Table(caption=f"Fairness in production, the newest {len(newest)} windows", columns=columns, rows=rows),)


def _pair(evidence: Evidence, measurement: Measurement) -> str:
    if measurement.comparison is None or measurement.reference is None:
        return "no pair of groups can be compared"
    compared, reference = (evidence.spoken(measurement.attribute, group) for group in (measurement.comparison, measurement.reference))
    return f"{compared} against {reference}"


def _figure(measurement: Measurement) -> tuple[str, str, str, str]:
    interval = measurement.interval
    return (
        number(measurement.value),
        f"{number(interval.low)} to {number(interval.high)}" if interval else "–",
        f"{measurement.n:,}" if measurement.n is not None else "–",
        measurement.state.value if measurement.state is State.MEASURED else f"{measurement.state.value}: {measurement.note or ''}".rstrip(": "),
    )


def figure_in_words(measurement: Measurement) -> str:
    """One figure as a phrase: value, interval and rows."""
    value, interval, rows, state = _figure(measurement)
    text = value if measurement.value is not None else state
    if measurement.interval:
        text += f" ({measurement.interval.level:.0%} interval {interval})"
    if measurement.n is not None:
        text += f", n = {rows}"
    return text + (f", {state}" if measurement.value is not None and measurement.state is not State.MEASURED else "")
