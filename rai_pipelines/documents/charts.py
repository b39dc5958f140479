"""One small chart for each assessment, as a self-contained SVG drawn from evidence; equal evidence gives equal bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rai_pipelines.evidence.model import Evidence, Measurement, State, Status
from rai_pipelines.policy.model import Policy

INK, MUTED, GOOD, BAD, UNSURE = "#1f2933", "#9aa5b1", "#2f7d4f", "#b3261e", "#b7791f"
MOST_ROWS = 32


@dataclass(frozen=True)
class Row:
    """One line of a chart: a value with its interval; `solid` is False for figures that rest on too few rows."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    solid: bool = True


def chart_of(evidence: Evidence, policy: Policy | None = None) -> str | None:
    """The SVG for this evidence, or None when it holds nothing to draw."""
    if evidence.status is not Status.COMPLETE:
        return None
    band = _impact_band(policy)
    if evidence.assessment == "bias_assessment":
        rows = [
            _row(item, f"{item.attribute} {evidence.spoken(item.attribute, item.comparison)}")
            for item in evidence.find("impact_ratio")
            if " × " not in (item.attribute or "")
        ]
        return intervals(rows, title="Impact ratio against the reference group", band=band, marker=1.0)
    if evidence.assessment == "performance_report":
        overall = [_row(item, "all rows") for item in evidence.find("accuracy", attribute=None)]
        slices = [_row(item, f"{item.attribute} {item.group}") for item in evidence.find("accuracy") if item.attribute]
        majority = evidence.value("majority_class_rate", attribute=None)
        return intervals(overall + slices, title="Accuracy by group (line: always guessing the majority)", marker=majority)
    if evidence.assessment == "adversarial_robustness":
        rows = [_row(item, item.metric.replace("_", " ")) for name in ("clean_accuracy", "robust_accuracy") for item in evidence.find(name)]
        rows += [_row(item, f"success of {(item.group or 'any attack').replace('_', ' ')}") for item in evidence.find("attack_success_rate")]
        return intervals(rows, title="Under attack, within the declared budget")
    if evidence.assessment == "explainability_report":
        rows = [_row(item, str(item.attribute)) for item in evidence.find("feature_importance")]
        unit = evidence.details.get("explained_output")
        return intervals(rows, title=f"What drives the model: mean absolute Shapley value ({unit})")
    if evidence.assessment == "privacy_attacks":
        rows = [_row(item, str(item.group).replace("_", " ")) for item in evidence.find("membership_auc", attribute=None)]
        rows += [_row(item, "without the model") for item in evidence.find("membership_auc_without_model")]
        return intervals(rows, title="Members told from non-members: area under the ROC curve (line: chance)", marker=0.5)
    if evidence.assessment == "drift_report":
        rows = [_row(item, str(item.attribute)) for item in evidence.find("psi")]
        return intervals(rows, title="Population stability index of each column, production against training")
    if evidence.assessment == "fairness_windows":
        found = sorted(evidence.find("demographic_parity_difference"), key=lambda item: str(item.attribute))
        rows = [_row(item, f"{item.attribute}, {item.group}") for item in found if item.group is not None]
        return intervals(rows, title="Demographic parity difference in production, newest window of each attribute first")
    if evidence.assessment == "anonymization_check":
        histogram: Any = evidence.details.get("class_size_histogram", [])
        return bars(
            [(str(size), float(count)) for size, count in histogram[:MOST_ROWS]], title="Equivalence classes by size (left: easiest to single out)"
        )
    if evidence.assessment == "data_validation":
        names = ("expectations_evaluated", "expectations_failed_critical", "expectations_failed_warning")
        pairs = [(name.removeprefix("expectations_").replace("_", " "), evidence.value(name)) for name in names]
        return bars([(name, value) for name, value in pairs if value is not None], title="Expectations on the data")
    return None


def intervals(rows: Sequence[Row | None], *, title: str, band: tuple[float, float] | None = None, marker: float | None = None) -> str | None:
    """A dot with its interval for every row, with the allowed band behind them."""
    drawn = [row for row in rows if row is not None]
    if not drawn:
        return None
    shown = drawn[:MOST_ROWS]
    figure, axes = _axes(height=0.5 + 0.2 * len(shown))
    if band:
        axes.axvspan(*band, color=GOOD, alpha=0.12, linewidth=0)
    if marker is not None:
        axes.axvline(marker, color=MUTED, linewidth=0.8, linestyle="--")
    for place, row in enumerate(shown):
        y = len(shown) - place
        colour = INK if band is None else _colour(row, band)
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1.4, alpha=1.0 if row.solid else 0.35)
        axes.plot([row.value], [y], marker="o", markersize=3.6, color=colour, markerfacecolor=colour if row.solid else "white")
    axes.set_yticks(range(len(shown), 0, -1), [_short(row.label) for row in shown])
    axes.set_ylim(0.3, len(shown) + 0.7)
    rest = len(drawn) - len(shown)
    return _svg(figure, axes, title + (f" – {rest} more not drawn" if rest > 0 else ""))


def bars(pairs: Sequence[tuple[str, float]], *, title: str) -> str | None:
    """Horizontal bars with their numbers."""
    if not pairs:
        return None
    figure, axes = _axes(height=0.5 + 0.2 * len(pairs))
    places = range(len(pairs), 0, -1)
    axes.barh(places, [value for _, value in pairs], color=MUTED, height=0.6)
    for place, (_, value) in zip(places, pairs, strict=True):
        axes.text(value, place, f" {value:,.0f}", va="center", fontsize=7, color=INK)
    axes.set_yticks(places, [_short(label) for label, _ in pairs])
    axes.margins(x=0.15)
    return _svg(figure, axes, title)


def data_uri(svg: str) -> str:
    """`svg` as an image address that needs no file."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _row(measurement: Measurement, label: str) -> Row | None:
    if measurement.value is None:
        return None
    interval = measurement.interval
    return Row(
        label=label,
        value=measurement.value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        solid=measurement.state is State.MEASURED,
    )


def _colour(row: Row, band: tuple[float, float]) -> str:
    low, high = (row.low if row.low is not None else row.value), (row.high if row.high is not None else row.value)
    if not row.solid:
        return MUTED
    if band[0] <= low and high <= band[1]:
        return GOOD
    return BAD if high < band[0] or low > band[1] else UNSURE


def _impact_band(policy: Policy | None) -> tuple[float, float] | None:
    for control in policy.controls if policy else ():
        band = control.threshold.get("impact_ratio")
        if control.check == "group_fairness" and band:
            return float(band[0]), float(band[1])
    return None


def _axes(*, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, height + 0.35), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
    axes.tick_params(labelsize=7, length=2, colors=INK)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def _svg(figure: Any, axes: Any, title: str) -> str:
    import matplotlib

    axes.set_title(title, fontsize=8, loc="left", color=INK)
    for text in figure.findobj(lambda item: hasattr(item, "set_parse_math")):
        text.set_parse_math(False)  # a `$` in a column name is a dollar sign
    buffer = io.StringIO()
    settings = {"svg.hashsalt": "rai_pipelines", "svg.fonttype": "none", "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"]}
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def _short(label: str, most: int = 34) -> str:
    flat = " ".join(label.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
