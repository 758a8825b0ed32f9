"""The guide's boxes about MongoDB Atlas. On other targets they do not apply, and say so; a target
`atlas` is not of this version."""

from __future__ import annotations

from mngdb.checks.catalogue import checks
from mngdb.findings import Check, Judgement, not_applicable


def _elsewhere(_: object) -> Judgement:
    return not_applicable("the stack has no Atlas cluster")


_BOXES = ("tier", "private-network", "access-list", "backup", "alerts")
CHECKS: tuple[Check[object], ...] = checks(
    __file__, {f"atlas.{name}": _elsewhere for name in _BOXES}
)
