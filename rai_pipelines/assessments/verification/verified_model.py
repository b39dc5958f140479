"""The model as proofs see it: of two classes, or of more. Either way it proves declared properties and certifies rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from pydantic import JsonValue

from rai_pipelines.assessments.class_probabilities import class_probabilities
from rai_pipelines.assessments.security.feature_space import FeatureSpace
from rai_pipelines.assessments.security.robust_sample import Outcomes
from rai_pipelines.assessments.verification.certificates import Certificate
from rai_pipelines.assessments.verification.certified import Certified, certify, certify_classes
from rai_pipelines.assessments.verification.class_properties import prove_of_classes
from rai_pipelines.assessments.verification.described_model import Described, DescribedClasses, describe, describe_classes, under
from rai_pipelines.assessments.verification.domain import Asked, Region
from rai_pipelines.assessments.verification.properties import prove
from rai_pipelines.assessments.verification.several import AskedClasses
from rai_pipelines.subjects.safety_properties import SafetyProperty
from rai_pipelines.subjects.subject import LoadedModel

if TYPE_CHECKING:
    import pandas as pd


class Verified(Protocol):
    """What both kinds can do."""

    @property
    def described(self) -> Described | DescribedClasses:
        """The form, or why there is none."""

    def prove(self, item: SafetyProperty, region: Region, *, limit: int) -> Certificate:
        """The certificate of one declared property."""

    def certify(self, space: FeatureSpace, rows: np.ndarray, *, epsilon: float, limit: int, clique_rows: int, most_pairs: int) -> Certified:
        """Which rows keep their decision under the threat model of `space`."""

    def told(self) -> Mapping[str, JsonValue]:
        """For evidence: what the model was read as."""


def verified_model(
    model: LoadedModel, outcomes: Outcomes, features: tuple[str, ...], *, known: pd.DataFrame, region: Region, name: str, seed: int
) -> Verified:
    """The model written down and held against itself on the rows `known` and at random places of the region.

    Raises:
        ModelError: the model fails, or its process answers with something else than what it is to describe.
    """
    if outcomes.classes:
        return _SeveralClasses(model, outcomes, features, known=known, region=region, name=name, seed=seed)
    return _TwoClasses(model, outcomes, features, known=known, region=region, name=name, seed=seed)


class _TwoClasses:
    def __init__(
        self, model: LoadedModel, outcomes: Outcomes, features: tuple[str, ...], *, known: pd.DataFrame, region: Region, name: str, seed: int
    ) -> None:
        space = region.space
        self.asked = Asked(space, known[list(features)], lambda frame: outcomes.decisions(model, frame, name), model.score)
        self.described: Described = describe(model, features, asked=self.asked, region=region, rows=space.encode(known), seed=seed)

    def prove(self, item: SafetyProperty, region: Region, *, limit: int) -> Certificate:
        return prove(item, self.described, self.asked, region, limit=limit)

    def certify(self, space: FeatureSpace, rows: np.ndarray, *, epsilon: float, limit: int, clique_rows: int, most_pairs: int) -> Certified:
        asked = replace(self.asked, space=space)
        return certify(under(self.described, space), asked, rows, epsilon=epsilon, limit=limit, clique_rows=clique_rows, most_pairs=most_pairs)

    def told(self) -> Mapping[str, JsonValue]:
        return {"form": type(self.described.form).__name__.lower() if self.described.form is not None else None}


class _SeveralClasses:
    def __init__(
        self, model: LoadedModel, outcomes: Outcomes, features: tuple[str, ...], *, known: pd.DataFrame, region: Region, name: str, seed: int
    ) -> None:
        space, self.outcomes = region.space, outcomes
        self.asked = AskedClasses(
            space,
            known[list(features)],
            lambda frame: outcomes.decisions(model, frame, name),
            lambda frame: class_probabilities(model, frame, outcomes.classes),
        )
        self.described: DescribedClasses = describe_classes(
            model, features, outcomes.classes, asked=self.asked, region=region, rows=space.encode(known), seed=seed
        )

    def prove(self, item: SafetyProperty, region: Region, *, limit: int) -> Certificate:
        wanted = item.outcome or (self.outcomes.favourable if item.needs_outcome else self.outcomes.classes[0])
        outcome = self.outcomes.classes.index(wanted)
        return prove_of_classes(item, self.described.form, self.described.reason, self.asked, region, outcome=outcome, limit=limit)

    def certify(self, space: FeatureSpace, rows: np.ndarray, *, epsilon: float, limit: int, clique_rows: int, most_pairs: int) -> Certified:
        form = self.described.form
        described = replace(self.described, form=form.under(space)) if form is not None else self.described
        asked = replace(self.asked, space=space)
        return certify_classes(described, asked, rows, epsilon=epsilon, limit=limit, clique_rows=clique_rows, most_pairs=most_pairs)

    def told(self) -> Mapping[str, JsonValue]:
        form = self.described.form
        return {
            "form": type(form.first).__name__.lower() if form is not None else None,
            "classes": list(self.outcomes.classes),
            "decided": "the class above each other one; what is read is the difference of every two",
        }
