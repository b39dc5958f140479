"""Verbs about webhooks: rai webhooks serve."""

from __future__ import annotations

from typing import Annotated

import typer

from rai_pipelines.cli.common import err


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(help="Be told by the registry, beside polling it.", no_args_is_help=True)
    group.callback()(_group)
    group.command("serve")(serve)
    app.add_typer(group, name="webhooks")


def _group() -> None:
    """Be told by the registry, beside polling it."""


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; put a proxy with TLS before any other than this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8787,
) -> None:
    """Receive MLflow's webhooks, signed with RAI_WEBHOOK_SECRET, until stopped."""
    from rai_pipelines.audit import build_auditor, model_registry
    from rai_pipelines.settings import load_settings
    from rai_pipelines.webhooks import PATH, build_service
    from rai_pipelines.webhooks import serve as serve_webhooks

    settings = load_settings()
    registry = model_registry(settings)  # one connection; policy and people are read anew for each look
    service = build_service(settings, lambda: build_auditor(settings, registry=registry))
    err.print(f"Listening on http://{host}:{port}{PATH}", markup=False, soft_wrap=True)
    serve_webhooks(service, host=host, port=port)
