"""Verbs that rehearse a policy on what is stored."""

from __future__ import annotations

import typer


def register(group: typer.Typer) -> None:
    """Add the verbs to `rai policy`."""
