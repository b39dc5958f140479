"""The one place that reads the environment: `load_settings()` gives one frozen, typed object.

Every variable starts with `RAI_`. Everything the embedded default keeps lies under `RAI_HOME`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as SourceError

from rai_pipelines.errors import SettingsError

_FIELD = re.compile(r'field "(\w+)"')


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment, with `overrides` on top.

    Raises:
        SettingsError: a variable has a value that its type does not allow; names the variable.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "RAI_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(first["msg"], where=name, hint="Correct or unset this environment variable") from error
    except SourceError as error:  # a list that is no JSON; the library's own words would show the value in a traceback
        found = _FIELD.search(str(error))
        name = "RAI_" + found[1].upper() if found else "a variable that begins with RAI_"
        raise SettingsError("is no JSON list", where=name, hint='Write a list like ["champion", "production"]') from error


class Settings(BaseSettings):
    """Where things are kept and how the code location behaves."""

    model_config = SettingsConfigDict(env_prefix="RAI_", frozen=True, extra="ignore")

    home: Path = Field(default=Path("~/.rai"), description="Folder of everything the embedded default keeps")
    tracking_uri: str | None = Field(
        default=None, description="MLflow tracking and registry URI, or wandb://ENTITY/PROJECT; default: SQLite under home"
    )
    data_root: Path | None = Field(default=None, description="Folder that relative data references start from; default: home/data")
    subjects_dir: Path | None = Field(default=None, description="Folder with NAME/datasheet.yaml files of the user; default: home/subjects")
    policy_file: Path | None = Field(default=None, description="Policy in force; default: the one shipped with the package")
    model_host: Literal["subprocess", "in_process"] = Field(
        default="subprocess", description="Where models are loaded: a confined process, or the auditor's own, for models that the operator trusts"
    )
    trust_pickled_models: bool = Field(
        default=False, description="Load pickle and cloudpickle model files that the scan does not call dangerous, where model_host says"
    )
    model_environment: Literal["shared", "own"] = Field(
        default="shared",
        description="Libraries of the model's process: the auditor's, or those of the model's requirements.txt, which uv installs from its index",
    )
    trusted_skops_types: tuple[str, ...] = Field(default=(), description="Extra types that a skops model file may name")
    governance_url: str | None = Field(
        default=None, repr=False, description="Governance database, sqlite:///PATH or postgresql://…; default: SQLite under home"
    )
    keys_dir: Path | None = Field(default=None, description="Folder with signing keys; default: home/keys")
    checkpoint_dir: Path | None = Field(
        default=None,
        description="Folder for signed ledger checkpoints, best where the database's writers cannot write; default: home/checkpoints",
    )
    people_file: Path | None = Field(
        default=None, description="Who may decide: people with their identities, roles and keys; default: home/people.yaml"
    )
    tracker_file: Path | None = Field(default=None, description="Which tracker works on cases; default: home/tracker.yaml, and none without it")
    webhook_secret: SecretStr | None = Field(
        default=None, min_length=16, description="Secret that MLflow signs webhooks with; for rai webhooks serve"
    )
    table_memory_limit: str = Field(
        default="2GB",
        pattern=r"^\d+(\.\d+)?\s*[KMGTkmgt]i?[Bb]$",
        description="What DuckDB may hold in memory for one table; more spills below TMPDIR",
    )
    training_record_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts (HOST or HOST:PORT) that datasheets may name for training records over HTTPS"
    )
    seed: int = Field(default=20261201, ge=0, lt=2**32, description="Seed of every random draw of an audit; recorded in the evidence")
    live_aliases: tuple[str, ...] = Field(default=("champion", "production"), description="Registry aliases that mean: in use")
    live_tag: str = Field(default="stage", description="Registry tag that means in use when its value is 'production'")
    max_audit_attempts: int = Field(default=3, ge=1, le=20, description="Runs a new version gets before a person has to look")
    sensor_interval_s: int = Field(default=30, ge=5, le=3600, description="Seconds between two looks at the registry")
    sensor_batch: int = Field(default=200, ge=1, le=5000, description="Most runs that one sensor tick launches")

    @field_validator("home", "data_root", "subjects_dir", "policy_file", "keys_dir", "checkpoint_dir", "people_file", "tracker_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().resolve() if value is not None else None

    @field_validator("model_environment")
    @classmethod
    def _other_libraries_need_another_process(cls, value: str, info: ValidationInfo) -> str:
        if value == "own" and info.data.get("model_host") == "in_process":
            raise ValueError("libraries of a model's own need RAI_MODEL_HOST=subprocess: this process has the auditor's")
        return value

    @property
    def home_path(self) -> Path:
        """`home`, absolute."""
        return self.home.expanduser().resolve()

    @property
    def registry_uri(self) -> str:
        """The registry's URI in use."""
        return self.tracking_uri or f"sqlite:///{self.home_path / 'mlflow' / 'mlflow.db'}"

    @property
    def artifact_root(self) -> Path:
        """Where the embedded MLflow keeps artifacts."""
        return self.home_path / "mlflow" / "artifacts"

    @property
    def evidence_dir(self) -> Path:
        """Root of the evidence store."""
        return self.home_path / "evidence"

    @property
    def policies_path(self) -> Path:
        """Published versions of policies, and records of their reviews."""
        return self.home_path / "policies"

    @property
    def documents_dir(self) -> Path:
        """Where cards are written."""
        return self.home_path / "documents"

    @property
    def scratch_dir(self) -> Path:
        """Recomputable files: fetched models and scored tables, all addressed by content."""
        return self.home_path / "scratch"

    @property
    def environments_dir(self) -> Path:
        """Models' own libraries, by digest of their requirements; may be removed while no audit runs."""
        return self.scratch_dir / "environments"

    @property
    def data_path(self) -> Path:
        """Folder that relative data references start from."""
        return self.data_root or self.home_path / "data"

    @property
    def subjects_path(self) -> Path:
        """Folder with the user's datasheets."""
        return self.subjects_dir or self.home_path / "subjects"

    @property
    def governance_database(self) -> str:
        """URL of the governance database."""
        return self.governance_url or f"sqlite:///{self.home_path / 'governance' / 'governance.db'}"

    @property
    def keys_path(self) -> Path:
        """Folder with signing keys."""
        return self.keys_dir or self.home_path / "keys"

    @property
    def checkpoint_path(self) -> Path:
        """Where signed checkpoints are kept outside the database."""
        return self.checkpoint_dir or self.home_path / "checkpoints"

    @property
    def people_path(self) -> Path:
        """The file of people who may decide."""
        return self.people_file or self.home_path / "people.yaml"

    @property
    def tracker_path(self) -> Path:
        """The file that names the tracker."""
        return self.tracker_file or self.home_path / "tracker.yaml"
