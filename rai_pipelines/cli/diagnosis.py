"""What `rai doctor` looks at: settings, policy, registry, store, people, tracker, notices, libraries. Secrets in addresses are never printed."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable

from rai_pipelines.addresses import without_secrets
from rai_pipelines.errors import RaiError
from rai_pipelines.evidence.model import Record
from rai_pipelines.settings import Settings

OPTIONAL = {
    "presidio_analyzer": "extra [presidio]: identifiers are searched in column contents",
    "lightgbm": "extra [lightgbm]: LightGBM model files",
    "onnxruntime": "onnxruntime: ONNX model files",
    "dagster_webserver": "extra [ui]: the Dagster UI",
}


class Diagnosis(Record):
    """One thing that was looked at. `needed` is whether an audit can do without."""

    name: str
    ok: bool
    needed: bool
    detail: str


def diagnose(settings: Settings) -> list[Diagnosis]:
    """Look at everything an audit needs, and at what it can do without."""
    found = [
        _try("home", lambda: _writable(settings)),
        _try("policy", lambda: _policy(settings)),
        _try("registry", lambda: _registry(settings)),
        _try("governance database", lambda: _governance(settings)),
        _try("people", lambda: _people(settings)),
        _try("tracker", lambda: _tracker(settings), needed=False),
        _try("notices", _notices, needed=False),
        _try("data root", lambda: f"{settings.data_path}" + ("" if settings.data_path.is_dir() else " (does not exist)"), needed=False),
        _libraries(settings),
        Diagnosis(
            name="pickled models",
            ok=not settings.trust_pickled_models,
            needed=False,
            detail=f"loaded unless dangerous, {settings.model_host} (RAI_TRUST_PICKLED_MODELS)" if settings.trust_pickled_models else "refused",
        ),
    ]
    found += [Diagnosis(name=name, ok=importlib.util.find_spec(name) is not None, needed=False, detail=purpose) for name, purpose in OPTIONAL.items()]
    return found


def _try(name: str, look: Callable[[], str], *, needed: bool = True) -> Diagnosis:
    try:
        return Diagnosis(name=name, ok=True, needed=needed, detail=look())
    except (RaiError, OSError) as error:
        return Diagnosis(name=name, ok=False, needed=needed, detail=str(error))


def _governance(settings: Settings) -> str:
    from rai_pipelines.governance.database.engine import address_of, current_revision, open_governance

    engine = open_governance(settings)
    try:
        return f"{address_of(engine)}, schema {current_revision(engine)}"
    finally:
        engine.dispose()


def _people(settings: Settings) -> str:
    from rai_pipelines.governance.keys import read_public_keys
    from rai_pipelines.governance.people.directory import read_directory

    people, keys = read_directory(settings.people_path).people, read_public_keys(settings.keys_path)
    return f"{len(people)} in {settings.people_path}, {len(keys)} public keys in {settings.keys_path}"


def _tracker(settings: Settings) -> str:
    """Whether file and variables can be used; nothing is sent."""
    from rai_pipelines.governance.cases.open_tracker import open_tracker

    tracker = open_tracker(settings.tracker_path)
    return f"none ({settings.tracker_path} does not exist): cases are worked on here" if tracker is None else f"{tracker.name}, not asked"


def _notices() -> str:
    from rai_pipelines.governance.escalation.notices import Channels

    return f"by {' and '.join(Channels.from_environment().kinds) or 'nothing: nobody is told what waits too long'}"


def _libraries(settings: Settings) -> Diagnosis:
    from rai_pipelines.model_host.own_environment import find_uv

    name = "libraries of models"
    if settings.model_environment == "shared":
        return Diagnosis(name=name, ok=True, needed=False, detail="the auditor's (RAI_MODEL_ENVIRONMENT)")
    uv = find_uv()
    detail = f"those of requirements.txt, by {uv}" if uv else "those of requirements.txt, but uv is not installed: such models end as errors"
    return Diagnosis(name=name, ok=uv is not None, needed=False, detail=detail)


def _writable(settings: Settings) -> str:
    settings.home_path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.home_path):
        return f"{settings.home_path} is writable"


def _policy(settings: Settings) -> str:
    from rai_pipelines.clock import utc_today
    from rai_pipelines.errors import PolicyError
    from rai_pipelines.policy.load import policy_in_force
    from rai_pipelines.policy_record import standing_in

    policy = policy_in_force(settings)
    standing = standing_in(settings, policy, utc_today())
    if standing.problem is not None:
        raise PolicyError(standing.problem, where=policy.label, hint="Publish it (rai policy publish FILE --as ID), or load what is published")
    return f"{policy.label} {policy.digest} ({standing.status.value})"


def _registry(settings: Settings) -> str:
    from rai_pipelines.audit import model_registry

    listed = model_registry(settings).versions_since(0, limit=1)
    return f"{without_secrets(settings.registry_uri)} answers" + ("" if listed else ", no version is registered")
