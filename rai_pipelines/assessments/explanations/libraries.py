"""The libraries of the extra `[explain]`, imported when they are used: each takes seconds."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from rai_pipelines.errors import SettingsError

EXTRA = "Install rai-pipelines[explain]"


def installed(name: str) -> bool:
    """Whether the library is there, without importing it."""
    return find_spec(name) is not None


def library(name: str) -> Any:
    """The module called `name`.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SettingsError(f"{name.partition('.')[0]} is not installed, and explanations need it", hint=EXTRA) from error


@contextmanager
def numpy_seed_kept() -> Iterator[None]:
    """Both libraries draw from NumPy's global generator, or seed it; what they do to it ends here."""
    import numpy as np

    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)
