"""The options of every verb by which somebody signs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

As = Annotated[str, typer.Option("--as", help="Who you are: an identity in the people's file.")]
Role = Annotated[str | None, typer.Option("--role", help="Role you decide in; left out: the one of yours that is asked for.")]
KeyFile = Annotated[Path | None, typer.Option("--key", help="Secret key file; left out: yours in RAI_KEYS_DIR.")]
Meaning = Annotated[str, typer.Option("--meaning", help="What your signature means, in a sentence: what you looked at, and what you conclude.")]
