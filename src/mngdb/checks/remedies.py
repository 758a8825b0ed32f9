"""What mends a finding on a server that somebody else runs. Pure.

Remedies name what `mngdb up` does, and what helps elsewhere. On an external server the first part
holds for logins and rights alone; on one that is adopted, for those that the command names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from mngdb.findings import Finding

#: What is about logins and rights.
_RIGHTS = re.compile(r"'mngdb up' (?:restores|revokes)|apps: \{")
_UP = re.compile(r"'mngdb up'(?P<end>[;,]?)")
_ADOPTED = "'mngdb up --allow NAME', as 'mngdb plan' names it"


def elsewhere(findings: Iterable[Finding], *, adopted: bool) -> tuple[Finding, ...]:
    """The findings of an external server, with remedies that work there."""
    return tuple(replace(one, remedy=_remedy(one.remedy, adopted)) for one in findings)


def _remedy(text: str, adopted: bool) -> str:
    if _RIGHTS.search(text):
        return _UP.sub(lambda m: _ADOPTED + (m["end"] or ","), text, 1) if adopted else text
    return text.partition("elsewhere")[2].lstrip(":, ") or text
