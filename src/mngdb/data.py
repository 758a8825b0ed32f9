"""Data files of the package: YAML beside the module that reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def texts(module: str) -> Any:
    """The file of the same name beside `module`, a module's `__file__`. All values are texts: YAML
    1.1 takes `on` for a boolean, and the version 17.10 for 17.1."""
    return yaml.load(Path(module).with_suffix(".yaml").read_text("utf-8"), _LOADER)  # noqa: S506
