"""docs/clients.md: which client software was run against a stack, with what result and settings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from mngdb.spec.presets import presets

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "tests" / "clients" / "results.json"
SETTINGS = ROOT / "scripts" / "clients.yaml"
TITLES = {"postgres": "PostgreSQL", "redis": "Redis", "mongodb": "MongoDB"}
PREFIX = "shop:"
HEAD = """# Client software

Real client libraries, run against the hardened servers of a real stack by the tests in
`tests/clients` (`just test-clients`), which write the first table of each section. Queues,
sessions, pub/sub, caches, ORMs and migration tools do their whole work with the rights of an app in
the file, for two apps with the same software at the same time, which do not see each other; or on
an instance of their own, where the result says so. Redis' log of refusals is empty afterwards. Rows
with `mngdb env` prove the variables that it prints, with the driver that reads them.

The second table has what the software needs that is not plain: the app's line in the file, and
settings of the software, for the app `shop`. [presets.md](presets.md) has more about `for:`.
Software that is missing there needs `postgres: shop`, `redis: "shop:*"` or `mongodb: shop`, and the
variables that `mngdb env shop` prints. They begin with the instance's name:
`REDIS_URL` and `REDIS_CA` of the tables are `OWN_URL` and `OWN_CA` on an instance `own`.
"""


def clients_page() -> str:
    """The page. Raises SystemExit for settings of software that nobody has run."""
    rows: list[dict[str, str]] = json.loads(RESULTS.read_text(encoding="utf-8"))
    settings: dict[str, dict[str, Any]] = yaml.safe_load(SETTINGS.read_text(encoding="utf-8"))
    if unknown := settings.keys() - {row["software"] for row in rows}:
        raise SystemExit(f"{SETTINGS.name} has {sorted(unknown)}, which {RESULTS.name} has not")
    text = HEAD
    for engine, title in TITLES.items():
        here = [row for row in rows if row["engine"] == engine]
        text += (
            f"\n## {title}\n\n| software | version | what was run | result |\n|---|---|---|---|\n"
        )
        text += "".join(
            _row(row["software"], row["version"], row["did"], row["result"]) for row in here
        )
        names = settings.keys() & {row["software"] for row in here}
        text += "\n| software | in the file | in the software |\n|---|---|---|\n"
        text += "".join(
            _row(name, *_settings(**settings[name])) for name in sorted(names, key=str.lower)
        )
    return text


def _settings(
    preset: str = "", file: str = "", client: Iterable[str] = (), note: str = ""
) -> tuple[str, str]:
    """The cells of the second table: code in backticks, and the note as it is."""
    where = ""
    if preset:
        found = presets()[preset]
        rights = found.rights(PREFIX)
        client = rights.client if rights else ()
        keys = f"keys: '{PREFIX}*', " if found.prefixed else ""
        file = f"{'redis' if keys else 'jobs'}: {{{keys}for: {preset}}}"
        where = "" if keys else ", on an instance of its own"
    texts = [*(f"`{code}`" for code in client), *([note] if note else [])]
    return f"`{file}`{where}", "<br>".join(texts)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
