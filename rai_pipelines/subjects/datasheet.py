"""What the owner declares about a model: `datasheet.yaml`, its schema, and its digest."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rai_pipelines.errors import DatasheetError
from rai_pipelines.evidence.canonical import digest_of
from rai_pipelines.subjects.oversight import Oversight
from rai_pipelines.subjects.privacy_budget import PrivacyDeclaration
from rai_pipelines.subjects.safety_properties import SafetyProperty, named_once
from rai_pipelines.subjects.technical_file import TechnicalDeclarations
from rai_pipelines.yaml_documents import parse_yaml_document, read_yaml_document

INTERSECTION = " × "  # joins the attributes of an intersection in evidence, where intersections are judged more mildly
DATASHEET_FILE = "datasheet.yaml"
PLACEHOLDER = "FILL IN"  # what a skeleton says where only the owner knows; a field that still says it is not filled


def read_datasheet(path: Path) -> Datasheet:
    """The datasheet at `path`.

    Raises:
        DatasheetError: unreadable, or a field is unknown, absent or out of range; names file, line, field and allowed values.
    """
    return read_yaml_document(path, Datasheet, error=DatasheetError)


def parse_datasheet(text: str, *, source: str) -> Datasheet:
    """As `read_datasheet`, from text."""
    return parse_yaml_document(text, Datasheet, source=source, error=DatasheetError)


def _as_text(value: object) -> object:
    """YAML reads `1` as a number; group names are text."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Text = Annotated[str, Field(min_length=1)]
GroupName = Annotated[str, BeforeValidator(_as_text)]


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


Task = Literal["binary_classification", "multiclass_classification", "regression", "scoring"]


class RiskClass(StrEnum):
    """How much can go wrong; selects the tier of the policy."""

    LOW = "low"
    LIMITED = "limited"
    HIGH = "high"


class ReleaseClass(StrEnum):
    """Who gets to see the training data; selects the anonymity thresholds."""

    INTERNAL = "internal"
    PUBLIC = "public"


class Contact(_Declared):
    """A responsible person or team and how to reach them."""

    name: Text
    contact: Text = Field(description="Mail address or channel that is read")


class Risk(_Declared):
    """Risk class and why it was chosen."""

    risk_class: RiskClass = Field(alias="class")
    reason: Text


class ProtectedAttribute(_Declared):
    """A column that defines groups, and the group that others are compared with.

    `reference` is a group name, or `highest` for the group with the highest rate (then only the band's lower end means something).
    `bins` cut a numeric column: edges e0 < e1 < ... make groups `[e0, e1)`, `[e1, e2)`, ...
    `labels` say in words what a code means. `unknown` lists the values that stand for "not known"; regulators count them apart.
    """

    reference: GroupName = "highest"
    bins: tuple[float, ...] | None = Field(default=None, min_length=2)
    labels: Mapping[GroupName, str] = Field(default_factory=dict)
    unknown: tuple[GroupName, ...] = ()

    @model_validator(mode="after")
    def _edges_ascend(self) -> Self:
        if self.bins and any(right <= left for left, right in zip(self.bins, self.bins[1:], strict=False)):
            raise ValueError("bins must ascend strictly")
        return self


class Columns(_Declared):
    """Which column plays which part."""

    label: Text | None = Field(default=None, description="True outcome; absent while labels have not arrived")
    favourable_outcome: GroupName = Field(default="1", description="Value of label and prediction that is good for the person")
    prediction: Text | None = Field(default=None, description="Column with the decision, for audits from predictions alone")
    score: Text | None = Field(default=None, description="Column with the score of the favourable outcome")
    classes: tuple[GroupName, ...] = Field(default=(), description="Every class of label and prediction, for multiclass models")
    weight: Text | None = Field(default=None, description="Column with the weight of a row; above 0 and finite")
    unit_id: Text | None = Field(default=None, description="Column that says whose row it is, where one person has several")
    source: Text | None = Field(default=None, description="Column of the training table that says where a row came from")
    timestamp: Text | None = Field(default=None, description="Column with the time of a row")
    features: tuple[Text, ...] = Field(default=(), description="Inputs of the model, in its order; absent: the model's own signature")
    protected_attributes: Mapping[str, ProtectedAttribute] = Field(min_length=1)
    quasi_identifiers: tuple[Text, ...] = ()
    sensitive_attributes: tuple[Text, ...] = ()
    direct_identifiers: tuple[Text, ...] = ()
    immutable_features: tuple[Text, ...] = Field(default=(), description="Inputs that a person cannot change; attacks leave them alone")
    categorical_features: tuple[Text, ...] = Field(default=(), description="Inputs whose numbers are codes, not amounts")
    row_id: Text | None = Field(default=None, description="Key of a row, excluded from profiles")
    purposes: Mapping[Text, Text] = Field(default_factory=dict, description="Why a column is processed, beyond the parts it plays here")

    @model_validator(mode="after")
    def _parts_do_not_clash(self) -> Self:
        for name in ("features", "quasi_identifiers", "sensitive_attributes", "direct_identifiers", "immutable_features", "categorical_features"):
            listed = getattr(self, name)
            if len(set(listed)) != len(listed):
                raise ValueError(f"{name} names a column twice")
        if self.label is not None and self.label in self.features:
            raise ValueError(f"the label {self.label!r} is also listed as a feature: the model would see the answer")
        if self.label is not None and self.label in {self.prediction, self.score}:
            raise ValueError(f"the label {self.label!r} is also the prediction or score: every row would be right")
        crossed = [name for name in self.protected_attributes if INTERSECTION in name]
        if crossed:
            raise ValueError(f"protected attribute {crossed[0]!r} has {INTERSECTION!r} in its name, which joins intersections: rename the column")
        return self


class LocalLaw144(_Declared):
    """The protected attributes that New York City's rules on automated employment decision tools compare (6 RCNY 5-301)."""

    sex: Text
    race_ethnicity: Text


class FairnessScope(_Declared):
    """How deep groups are crossed, and whose tables are made. `uniform_guidelines`: the four-fifths table of 29 CFR 1607.4(D)."""

    intersections_depth: int = Field(default=2, ge=1, le=4, description="Attributes combined at most; 1 means no intersections")
    local_law_144: LocalLaw144 | None = None
    uniform_guidelines: bool = False


class DataReferences(_Declared):
    """Where the tables are: a path or glob of Parquet/CSV files (relative to the data root), or an SQL table or query by URI."""

    training: Text | None = None
    evaluation: Text
    production: Text | None = None
    decisions: Text | None = Field(default=None, description="Log of decisions in production: when each was made and took effect")
    reviews: Text | None = Field(default=None, description="Log of people's reviews of these decisions")
    population: Text | None = Field(default=None, description="Everyone that the training data may be drawn from, with the same quasi-identifiers")


class RobustnessBudget(_Declared):
    """How far, and in which ways, an attacker may move an input: Euclidean distance in standard deviations of the training data.

    One changed category counts as `category_step`. Its default is the least that flipping a 0/1 column costs in the same units (its
    standard deviation is at most one half), so that a fact costs the same whether it is coded as a number or as a category. Immutable
    features and protected attributes are never moved.
    """

    epsilon_l2: float = Field(default=1.0, gt=0, le=10)
    category_step: float = Field(default=2.0, gt=0, le=10)
    epsilon_linf: float | None = Field(default=None, gt=0, le=10, description="Furthest that any one input may move, in the same units")
    max_changed_features: int | None = Field(default=None, ge=1, description="Inputs that may change at once (L0); a one-hot group counts once")
    ranges: Mapping[Text, tuple[float, float]] = Field(default_factory=dict, description="Lowest and highest value that an input can be given")
    costs: Mapping[Text, Annotated[float, Field(gt=0, le=1_000)]] = Field(
        default_factory=dict, description="What multiplies the distance of an input; above 1: harder to change than others"
    )
    one_hot: tuple[tuple[Text, ...], ...] = Field(default=(), description="Groups of 0/1 inputs of which one is 1; they change together")
    directions: Mapping[Text, Literal["increase", "decrease"]] = Field(default_factory=dict, description="Inputs that can change one way only")

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        for name, (low, high) in self.ranges.items():
            if low > high:
                raise ValueError(f"ranges.{name} is upside down: {low:g} is above {high:g}")
        return self

    @model_validator(mode="after")
    def _one_hot_groups_are_apart(self) -> Self:
        members = [name for group in self.one_hot for name in group]
        if any(len(group) < 2 for group in self.one_hot):
            raise ValueError("a one_hot group needs at least two columns")
        twice = sorted({name for name in members if members.count(name) > 1})
        if twice:
            raise ValueError(f"one_hot names {', '.join(twice)} twice")
        for part in ("ranges", "directions"):
            clash = sorted(set(members) & set(getattr(self, part)))
            if clash:
                raise ValueError(f"{part} names {', '.join(clash)}, which is in a one_hot group: its columns are 0 or 1 and change together")
        for group in self.one_hot:
            if len({self.costs.get(name, 1.0) for name in group}) > 1:
                raise ValueError(f"costs differ within the one_hot group {', '.join(group)}: its columns change together")
        return self


class Datasheet(_Declared):
    """The owner's declaration. It travels with the model, and its digest stands in every piece of evidence."""

    schema_version: Literal["rai.datasheet/v1"] = Field(alias="schema")
    model: Text
    purpose: Text
    out_of_scope: tuple[Text, ...] = Field(min_length=1)
    limitations: tuple[Text, ...] = ()
    risk: Risk
    release_class: ReleaseClass = ReleaseClass.INTERNAL
    owner: Contact
    deputy: Contact | None = None
    runbook: Text | None = Field(default=None, description="Where the on-call person reads what to do")
    human_oversight: Text | None = Field(default=None, description="Who can overrule the model, and how")
    provenance: Text | None = Field(default=None, description="Where the data came from and under which terms")
    task: Task = "binary_classification"
    columns: Columns
    data: DataReferences
    robustness: RobustnessBudget = Field(default_factory=RobustnessBudget)
    fairness: FairnessScope = Field(default_factory=FairnessScope)
    privacy: PrivacyDeclaration = Field(default_factory=PrivacyDeclaration)
    oversight: Oversight | None = Field(default=None, description="Which decisions are high-stakes, and how their reviews are logged")
    safety_properties: tuple[SafetyProperty, ...] = Field(default=(), description="What must hold for every input, to be proved")
    technical_documentation: TechnicalDeclarations | None = Field(default=None, description="The provider's statements for Annex IV of the EU AI Act")

    @model_validator(mode="after")
    def _properties_are_named_once(self) -> Self:
        named_once(self.safety_properties)
        return self

    @model_validator(mode="after")
    def _the_task_has_its_columns(self) -> Self:
        columns, law = self.columns, self.fairness.local_law_144
        if self.task == "multiclass_classification" and len(set(columns.classes)) < 3:
            raise ValueError("columns.classes must name the three or more classes of a multiclass_classification")
        if self.task != "multiclass_classification" and columns.classes:
            raise ValueError(f"columns.classes is for multiclass_classification, the task is {self.task}")
        if columns.weight is not None and self.task in {"regression", "scoring"}:
            raise ValueError(f"columns.weight is for classifications, the task is {self.task}: its figures would leave the weights out")
        if columns.unit_id is not None and self.task != "binary_classification":
            raise ValueError(f"columns.unit_id is for binary_classification, the task is {self.task}: its intervals would take rows as independent")
        for item in self.safety_properties:
            if item.outcome is not None and item.outcome not in columns.classes:
                raise ValueError(f"the outcome {item.outcome!r} of the safety property {item.name!r} is none of columns.classes")
            if columns.classes and item.outcome is None and item.needs_outcome and columns.favourable_outcome not in columns.classes:
                raise ValueError(f"the safety property {item.name!r} needs an outcome: columns.favourable_outcome is none of columns.classes")
        undeclared = [name for name in ((law.sex, law.race_ethnicity) if law else ()) if name not in columns.protected_attributes]
        if undeclared:
            raise ValueError(f"fairness.local_law_144 names {', '.join(undeclared)}, which columns.protected_attributes does not declare")
        return self

    @property
    def answerable(self) -> tuple[str, ...]:
        """Identities of owner and deputy, as declared: names and contacts."""
        people = (self.owner, *((self.deputy,) if self.deputy else ()))
        return tuple(text for person in people for text in (person.name, person.contact))

    @property
    def digest(self) -> str:
        """Digest over the declared content, independent of comments and layout of the file."""
        return digest_of(self.model_dump(mode="json", by_alias=True))
