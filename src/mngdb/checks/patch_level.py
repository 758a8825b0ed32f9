"""Whether a server's version has known security holes, and how grave that is where it stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Literal

from mngdb.errors import UnobservableError
from mngdb.facts import patch_levels
from mngdb.facts.patch_levels import AS_OF, PRODUCTS, Settings
from mngdb.findings import Judgement, Severity, judged

#: Who reaches the server: this machine, or apps in a network of its own; others by TLS; others, and
#: whoever listens on the way.
Exposure = Literal["loopback", "encrypted", "plain"]

#: By exposure; of holes that need a login first, and of those that do not.
_AFTER_LOGIN: dict[Exposure, Severity] = {
    "loopback": "medium",
    "encrypted": "high",
    "plain": "critical",
}
_BEFORE_LOGIN: dict[Exposure, Severity] = {
    "loopback": "high",
    "encrypted": "critical",
    "plain": "critical",
}
_WHERE: dict[Exposure, str] = {
    "loopback": "reachable from its host or private network only",
    "encrypted": "reachable over the network with TLS",
    "plain": "reachable over the network without TLS",
}


def exposure(*, enclosed: bool, remote: bool, plain: Callable[[], bool]) -> Exposure:
    """Where a server can be reached from; what cannot be seen is taken for the worst. `enclosed`:
    in a network of its own, `plain`: whether unencrypted connections are accepted."""
    if enclosed or not remote:
        return "loopback"
    try:
        return "plain" if plain() else "encrypted"
    except UnobservableError:
        return "plain"


def grave(at: Exposure, *, login: bool) -> Severity:
    """How grave a hole is; `login`: only after one has logged in."""
    return (_AFTER_LOGIN if login else _BEFORE_LOGIN)[at]


def judge(
    product: str,
    found: str,
    wanted: str,
    at: Exposure,
    settings: Settings | None = None,
    *,
    outdated: bool = False,
    today: date | None = None,
) -> Judgement:
    """The verdict on the version `found`. `wanted` is the file's, as far as it is written; empty:
    any. `settings` are the server's, as far as holes are closed by them. `outdated`: the file
    accepts a line that gets no fixes any more; it accepts no hole."""
    title = f"{product} {found}"
    if wanted and not f"{found}.".startswith(f"{wanted}."):
        return Judgement("fail", f"{title}, the file has {wanted}", "high")
    line = patch_levels.line_of(product, found)
    if not patch_levels.known(product, line):
        return judged(True, f"{title} is newer than mngdb's list of security holes ({AS_OF})")
    if patch_levels.holes(product, found):
        return _unsafe(product, found, at, settings or {})
    ends = PRODUCTS[product].ends.get(line)
    today = today or datetime.now(tz=UTC).date()
    safe = f"{title}: no known security holes ({AS_OF})"
    if ends is None or ends >= today:
        return judged(True, safe + (f", supported until {ends}" if ends else ""))
    said = f"{title}: unsupported since {ends}"
    if outdated:
        return judged(True, said + "; accepted by the file")
    return Judgement("fail", said, grave(at, login=True))


def _unsafe(product: str, found: str, at: Exposure, settings: Settings) -> Judgement:
    open_ = patch_levels.reachable(product, found, lambda: settings)
    said = [f"{product} {found} {patch_levels.newer(product, found)}"]
    said += [f"{hole.id}: {hole.gives}" for hole in open_]
    said.append(_WHERE[at])
    return Judgement("fail", "; ".join(said), grave(at, login=all(hole.login for hole in open_)))
