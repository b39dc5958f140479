"""Check a LightGBM text model before LightGBM parses it: a damaged or crafted one ends the whole process, not just the call.

LightGBM 4 reads trees in parallel and aborts when one does not parse; child and feature numbers are used as array positions
unchecked. What is verified here is what it takes for granted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from rai_pipelines.errors import ModelError

PROBABILISTIC_OBJECTIVES = ("binary", "multiclass", "multiclassova", "cross_entropy")
END_OF_TREES = "\nend of trees\n"
PANDAS_CATEGORIES = "pandas_categorical:"
FIELD = re.compile(r"[A-Za-z_]+=[-+0-9.einfa ]*")
PER_SPLIT = (
    "split_feature",
    "split_gain",
    "threshold",
    "decision_type",
    "left_child",
    "right_child",
    "internal_value",
    "internal_weight",
    "internal_count",
)
PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
REQUIRED = ("split_feature", "threshold", "decision_type", "left_child", "right_child")

# what training depends on, as far as numbers and switches say it; other recorded settings are about files, machines and printing
NUMBERS = frozenset(
    {
        "learning_rate", "num_leaves", "max_depth", "min_data_in_leaf", "min_sum_hessian_in_leaf", "bagging_fraction", "pos_bagging_fraction",
        "neg_bagging_fraction", "bagging_freq", "bagging_seed", "feature_fraction", "feature_fraction_bynode", "feature_fraction_seed",
        "extra_seed", "max_delta_step", "lambda_l1", "lambda_l2", "min_gain_to_split", "drop_rate", "max_drop", "skip_drop", "drop_seed", "top_rate",
        "other_rate", "min_data_per_group", "max_cat_threshold", "cat_l2", "cat_smooth", "max_cat_to_onehot", "path_smooth", "max_bin",
        "min_data_in_bin", "bin_construct_sample_cnt", "data_random_seed", "objective_seed", "scale_pos_weight", "sigmoid", "seed", "num_class",
    }
)  # fmt: skip
SWITCHES = frozenset(
    {
        "extra_trees", "xgboost_dart_mode", "uniform_drop", "is_unbalance", "boost_from_average", "use_missing", "zero_as_missing", "deterministic",
        "force_col_wise", "feature_pre_filter",
    }
)  # fmt: skip
NAMED = {"boosting": ("gbdt", "dart", "rf"), "data_sample_strategy": ("bagging", "goss"), "objective": ("binary", "multiclass", "multiclassova")}
NOT_FOLLOWED = (
    "monotone_constraints", "interaction_constraints", "forcedsplits_filename", "forcedbins_filename", "cegb_penalty_feature_lazy",
    "cegb_penalty_feature_coupled", "feature_contri", "max_bin_by_feature",
)  # fmt: skip
SETTING = re.compile(r"\[([a-z_0-9]{1,60}): (.*)\]")
NUMBER = re.compile(r"[-+]?[0-9]{1,15}(\.[0-9]{1,20})?(e[-+]?[0-9]{1,3})?")


def recorded_parameters(text: str) -> dict[str, int | float | str | bool] | None:
    """The training parameters that a LightGBM text records, read here and not by LightGBM; None when they are absent or not followed whole."""
    _, found, section = text.partition("\nparameters:\n")
    section, ended, _ = section.partition("\nend of parameters")
    if not found or not ended:
        return None
    settings = {name: value.strip() for name, value in (match.groups() for match in map(SETTING.fullmatch, section.splitlines()) if match)}
    if any(settings.get(name) for name in NOT_FOLLOWED) or settings.get("linear_tree", "0") != "0":
        return None
    if any(settings.get(name, allowed[0]) not in allowed for name, allowed in NAMED.items()) or "objective" not in settings:
        return None
    known: dict[str, int | float | str | bool] = {name: settings[name] for name in NAMED if name in settings}
    for name in sorted((NUMBERS | SWITCHES) & set(settings)):
        if not NUMBER.fullmatch(settings[name]):
            return None
        value = float(settings[name]) if {".", "e"} & set(settings[name]) else int(settings[name])
        known[name] = bool(value) if name in SWITCHES else value
    return known


def checked_lightgbm_text(text: str, *, where: str) -> str:
    """The part of `text` that predictions rest on, once it is known to be a whole, consistent LightGBM classifier.

    What follows the trees (training parameters, importances) is left out: LightGBM aborts on a damaged one as well. The categories of
    pandas columns are kept.

    Raises:
        ModelError: the text is cut off or inconsistent, or the model gives no probabilities.
    """
    body, end, rest = text.partition(END_OF_TREES)
    if not end:
        raise ModelError("ends before its last tree", where=where, hint="The file is damaged: register the model again")
    try:
        _check(body)
        categories = _pandas_categories(rest)
    except (ValueError, KeyError, IndexError, ArithmeticError, RecursionError) as error:
        raise ModelError(f"is not a consistent LightGBM model ({error})", where=where, hint="Register the model again") from error
    objective = _fields(body.partition("\nTree=")[0]).get("objective", "none")
    if objective.split(" ")[0] not in PROBABILISTIC_OBJECTIVES:
        raise ModelError(
            f"is a LightGBM model with the objective {objective!r}, which gives no probabilities", where=where, hint="Register a classifier"
        )
    return body + END_OF_TREES + categories


def _pandas_categories(rest: str) -> str:
    line = next((line for line in rest.splitlines() if line.startswith(PANDAS_CATEGORIES)), None)
    if line is None or json.loads(line.removeprefix(PANDAS_CATEGORIES)) is None:
        return ""
    return f"\n{line}\n"


def _check(body: str) -> None:
    head, _, _ = body.partition("\nTree=")
    fields = _fields(head)
    features = int(fields["max_feature_idx"]) + 1
    if features != len(fields["feature_names"].split(" ")) or features != len(fields["feature_infos"].split(" ")):
        raise ValueError("number of features")
    _check_classes(fields)
    sizes = [int(size) for size in fields["tree_sizes"].split()]
    trees = body.encode()[len(head.encode()) + 1 :]
    position = 0
    for number, size in enumerate(sizes):
        tree = trees[position : position + size].decode()
        if not tree.startswith(f"Tree={number}\n"):
            raise ValueError(f"tree {number} is not where the header says")
        _check_tree(_tree_fields(tree, number), features, number)
        position += size
    # "end of trees" was cut off together with the line break before it
    if not sizes or int(fields["num_class"]) < 1 or len(sizes) % int(fields["num_tree_per_iteration"]) or trees[position:].strip():
        raise ValueError("number of trees")


def _check_classes(fields: Mapping[str, str]) -> None:
    """Header and objective give one number of classes: LightGBM writes its answers into memory of one size and reads them in another."""
    kind, *details = fields.get("objective", "none").split()
    number = int(fields["num_class"])
    of_objective = [int(part.partition(":")[2]) for part in details if part.startswith("num_class:")]
    several = kind in ("multiclass", "multiclassova")
    single = kind in PROBABILISTIC_OBJECTIVES and not several
    if number != int(fields["num_tree_per_iteration"]) or (several and (number < 2 or of_objective != [number])) or (single and number != 1):
        raise ValueError("number of classes")


def _check_tree(tree: Mapping[str, str], features: int, number: int) -> None:
    leaves, categories = int(tree["num_leaves"]), int(tree["num_cat"])
    if leaves < 1 or tree.get("is_linear", "0") != "0":
        raise ValueError(f"tree {number} has {leaves} leaves or is linear")
    for names, expected in ((PER_SPLIT, leaves - 1), (PER_LEAF, leaves)):
        for name in names:
            values = [float(value) for value in tree.get(name, "").split()]
            if len(values) != expected and (values or name in REQUIRED or name == "leaf_value"):
                raise ValueError(f"tree {number} has {len(values)} of {expected} {name}")
    if any(not 0 <= int(feature) < features for feature in tree["split_feature"].split()):
        raise ValueError(f"tree {number} splits on an unknown feature")
    _check_children(tree, leaves, number)
    if categories:
        bounds = [int(value) for value in tree["cat_boundaries"].split()]
        if len(bounds) != categories + 1 or bounds != sorted(bounds) or bounds[0] != 0 or bounds[-1] != len(tree["cat_threshold"].split()):
            raise ValueError(f"tree {number} has inconsistent categories")
    for kind, threshold in zip(tree["decision_type"].split(), tree["threshold"].split(), strict=True):
        if int(kind) & 1 and not 0 <= float(threshold) < categories:
            raise ValueError(f"tree {number} splits on unknown categories")


def _check_children(tree: Mapping[str, str], leaves: int, number: int) -> None:
    """Every inner node and every leaf hangs below exactly one node, and below an earlier one: no loops, no wild positions."""
    seen: set[int] = set()
    for node, children in enumerate(zip(tree["left_child"].split(), tree["right_child"].split(), strict=True)):
        for child in map(int, children):
            if child in seen or not -leaves <= child < leaves - 1 or 0 <= child <= node:
                raise ValueError(f"tree {number} has an impossible child {child}")
            seen.add(child)


def _tree_fields(tree: str, number: int) -> dict[str, str]:
    """The fields of one tree; a blank or nameless line would end it early for LightGBM."""
    lines = tree.rstrip("\n").split("\n")
    fields = _fields(tree.rstrip("\n"))
    if len(fields) != len(lines) or not all(FIELD.fullmatch(line) for line in lines):
        raise ValueError(f"tree {number} has a line that is no field")
    return fields


def _fields(block: str) -> dict[str, str]:
    return {name: value for name, _, value in (line.partition("=") for line in block.split("\n"))}
