"""Data files of the package, beside the module that reads them: YAML, scripts, templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

# those in C take a tenth of the time
_TEXTS = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_VALUES = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def texts(module: str) -> Any:
    """The file of the same name beside `module`, a module's `__file__`. All values are texts: YAML
    1.1 takes `on` for a boolean, and the version 17.10 for 17.1."""
    return yaml.load(_beside(module), _TEXTS)  # noqa: S506 - makes nothing but texts


def values(module: str) -> Any:
    """The same file with numbers and booleans."""
    return yaml.load(_beside(module), _VALUES)  # noqa: S506 - a safe loader


def text(module: str, name: str) -> str:
    """The file `name` beside `module`."""
    return Path(module).with_name(name).read_text("utf-8")


def _beside(module: str) -> bytes:
    return Path(module).with_suffix(".yaml").read_bytes()
