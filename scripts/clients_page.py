"""docs/clients.md: which client software was run against a stack, by whom, and with what result."""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "tests" / "clients" / "results.json"
TITLES = {"postgres": "PostgreSQL", "redis": "Redis", "mongodb": "MongoDB"}
HEAD = """# Client software

Real client libraries, run against the hardened servers of a real stack by the tests in
`tests/clients` (`just test-clients`), which write this table. Each one does its whole work with the
rights of an app in the file. Redis' log of refusals is empty afterwards, and two apps with the same
software do not see each other.
"""


def clients_page() -> str:
    """The page."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = HEAD
    for engine, title in TITLES.items():
        text += (
            f"\n## {title}\n\n| software | version | what was run | result |\n|---|---|---|---|\n"
        )
        for row in rows:
            if row["engine"] == engine:
                cells = (row["software"], row["version"], row["did"], row["result"])
                text += f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
    return text
