"""The record of what was proved with which client software: `results.json`, and by it
docs/clients.md. A run of `just test-clients` writes it; any other run compares.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.conftest import EVERYTHING
from tests.debian import alone

RESULTS = Path(__file__).parent / "results.json"


def record(software: str, version: str, engine: str, did: str, result: str = "works") -> None:
    """Called by a test when all of it has passed: this software did this with the engine (its name
    in the file). One row for each software, engine and `did`; a newer version takes the place of
    the older one. `result` says the condition where it works under one."""
    test = os.environ["PYTEST_CURRENT_TEST"].split(" ")[0]
    row = {
        "software": software,
        "version": version,
        "engine": engine,
        "did": did,
        "result": result,
        "test": test.partition("[")[0],
    }
    if not EVERYTHING:
        assert row in rows(), f"not in {RESULTS.name}, run 'just test-clients': {row}"
        return
    with alone("clients-results"):
        kept = [one for one in rows() if _key(one) != _key(row)]
        text = json.dumps(sorted([*kept, row], key=_key), indent=2, ensure_ascii=False)
        fresh = RESULTS.with_suffix(".new")
        fresh.write_text(text + "\n", encoding="utf-8")
        fresh.rename(RESULTS)


def rows() -> list[dict[str, str]]:
    """What is recorded."""
    if not RESULTS.exists():
        return []
    found: list[dict[str, str]] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return row["software"].lower(), row["engine"], row["did"]
