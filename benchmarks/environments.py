"""Throw-away environments for peers that cannot live beside this project: they pin older libraries than it needs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "aequitas": ("aequitas==1.1.0", "pyarrow>=17", "setuptools<81"),
    "aif360": ("aif360==0.6.1", "pyarrow>=17"),
    "evidently": ("evidently==0.7.23", "pandas<3", "pyarrow>=17"),
    "pandera": ("pandera[pandas]==0.26.1", "pyarrow>=17"),
    "pycanon": ("pycanon==1.3.6", "pyarrow>=17", "setuptools<81"),
    "xgboost": ("xgboost==3.2.0", "adversarial-robustness-toolbox==1.20.1", "greenlet>=3.2", "packaging>=24", "pyarrow>=17"),
}


def python_of(name: str, folder: Path) -> Path | str:
    """The interpreter of that environment, made when it is not there; or, as text, why it could not be made."""
    home = folder / name
    python = home / "bin" / "python"
    marker = home / ".complete"
    wanted = "\n".join(REQUIREMENTS[name])
    if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return python
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    for command in ([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
                    [uv, "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS[name]]):  # fmt: skip
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"its environment could not be made ({type(error).__name__})"
        if ended.returncode:
            return f"its environment could not be made ({(ended.stderr.strip().splitlines() or ['no reason given'])[-1][:120]})"
    marker.write_text(wanted, encoding="utf-8")
    return python
