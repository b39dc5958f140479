"""What `rai doctor` looks at: settings, policy, registry, store, libraries. Secrets in addresses are never printed."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

from rai_pipelines.errors import RaiError, RegistryUnavailable, SettingsError
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
        _try("data root", lambda: f"{settings.data_path}" + ("" if settings.data_path.is_dir() else " (does not exist)"), needed=False),
        Diagnosis(
            name="pickled models",
            ok=not settings.trust_pickled_models,
            needed=False,
            detail="loaded in this process (RAI_TRUST_PICKLED_MODELS)" if settings.trust_pickled_models else "refused",
        ),
    ]
    found += [Diagnosis(name=name, ok=importlib.util.find_spec(name) is not None, needed=False, detail=purpose) for name, purpose in OPTIONAL.items()]
    return found


def without_secrets(address: str) -> str:
    """`address` with user name, password and query taken out, whatever characters a password has."""
    scheme, mark, rest = address.partition("://")
    if not mark:
        return address
    head, _, query = rest.partition("?")
    if head.startswith("/"):  # a file: no host, so no login
        return f"{scheme}://{head}"
    if "@" in query:  # a login with a question mark in it, or a query with an @: which of the two cannot be told
        return f"{scheme}://…"
    return f"{scheme}://{head.rpartition('@')[2].partition('#')[0]}"


def _scrubbed(text: str, address: str) -> str:
    """A library's message about `address` without what `address` keeps secret, as it is written and as it is meant."""
    rest = address.partition("://")[2]
    login = "" if rest.startswith("/") else rest.rpartition("@")[0]
    query = rest.partition("?")[2]
    written = {query, login.partition(":")[2] or login, *(value for _, value in parse_qsl(query))}
    secrets = {secret for piece in written for secret in (piece, unquote(piece)) if secret}
    text = text.replace(address, without_secrets(address))
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _try(name: str, look: Callable[[], str], *, needed: bool = True) -> Diagnosis:
    try:
        return Diagnosis(name=name, ok=True, needed=needed, detail=look())
    except (RaiError, OSError) as error:
        return Diagnosis(name=name, ok=False, needed=needed, detail=str(error))


def _writable(settings: Settings) -> str:
    settings.home_path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.home_path):
        return f"{settings.home_path} is writable"


def _policy(settings: Settings) -> str:
    from rai_pipelines.policy.load import read_policy

    policy = read_policy(settings.policy_file)
    return f"{policy.label} {policy.digest}"


def _registry(settings: Settings) -> str:
    from rai_pipelines.audit import mlflow_registry

    address = settings.registry_uri
    try:
        urlsplit(address)
    except ValueError as error:
        raise SettingsError(f"is not an address ({error})", where="RAI_TRACKING_URI", hint="Correct or unset this environment variable") from None
    try:
        listed = mlflow_registry(settings).versions_since(0, limit=1)
    except RaiError as error:
        raise RegistryUnavailable(_scrubbed(str(error), address)) from None
    return f"{without_secrets(address)} answers" + ("" if listed else ", no version is registered")
