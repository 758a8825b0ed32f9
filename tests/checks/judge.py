"""`mngdb check` without a process for it."""

from __future__ import annotations

from mngdb.findings import Finding
from mngdb.ops.check import check
from mngdb.ops.context import Context
from mngdb.spec.load import load
from tests.conftest import Cli

#: What pip brings lacks security fixes; tests/unit/test_patch_levels.py has every verdict.
BROUGHT = frozenset({"postgres.version", "redis.version", "mongodb.version"})
#: Known without the server: they fail until the file asks for backups and a drill has passed
#: (tests/live/test_backup.py).
PROOFS = frozenset({
    "postgres.backup-proved", "redis.backup-proved", "mongodb.backup-proved", "stack.backup-store",
})  # fmt: skip


def opened(cli: Cli) -> Context:
    """The stack."""
    environ = cli.environ()
    return Context.open(load([cli.folder / "mngdb.yaml"], environ), environ)


def findings(cli: Cli, *only: str) -> dict[str, Finding]:
    """Id to finding, of a stack with one instance; without `only` those of its engines."""
    context = opened(cli)
    only = only or tuple(f"{engine}.*" for engine in context.stack.by_engine)
    return {one.id: one for one in check(context, only).findings}


def one(cli: Cli, name: str) -> Finding:
    """The finding of one check."""
    return findings(cli, name)[name]
