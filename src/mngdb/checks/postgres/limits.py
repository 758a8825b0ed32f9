"""What keeps one session, one app or one night's growth from taking all of a PostgreSQL server."""

from __future__ import annotations

from mngdb.checks.catalogue import checks
from mngdb.checks.postgres.settings import SETTINGS, size, text
from mngdb.facts.postgres import PostgresFacts
from mngdb.findings import Check, Judgement, judged, not_applicable

_MB = 1 << 20


def _buffers(facts: PostgresFacts) -> Judgement:
    found = size(facts, "shared_buffers")
    if not facts.memory:
        return judged(found > 128 * _MB, f"shared_buffers {found // _MB} MB (as packaged: 128 MB)")
    share = found / facts.memory
    words = f"shared_buffers {found // _MB} MB: {share:.0%} of {facts.memory // _MB} MB"
    wanted = facts.wanted.get("shared_buffers", "")
    asked = wanted == f"{found // _MB}MB"
    return judged(share <= 0.4 and (asked or share >= 0.1), words)


def _sorts(facts: PostgresFacts) -> Judgement:
    if not facts.memory:
        return not_applicable("the available memory is not known")
    work, connections = size(facts, "work_mem"), int(text(facts, "max_connections"))
    most = work * connections
    words = f"{work // _MB} MB × {connections} connections, of {facts.memory // _MB} MB"
    return judged(most <= facts.memory, words)


def _cache(facts: PostgresFacts) -> Judgement:
    cache, buffers = size(facts, "effective_cache_size"), size(facts, "shared_buffers")
    words = f"effective_cache_size {cache // _MB} MB, shared_buffers {buffers // _MB} MB"
    return judged(cache >= buffers, words)


CHECKS: tuple[Check[PostgresFacts], ...] = checks(
    __file__,
    {
        "postgres.buffers": _buffers,
        "postgres.sort-memory": _sorts,
        "postgres.cache-size": _cache,
    },
    SETTINGS,
)
