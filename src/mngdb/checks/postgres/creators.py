"""Databases that apps created for themselves (`create_databases`)."""

from __future__ import annotations

from mngdb.facts.postgres import PostgresFacts
from mngdb.secret import app_of


def created(facts: PostgresFacts) -> frozenset[str]:
    """Those that no line of the file names, on a server of ours. PUBLIC may connect to one until
    the next `up`; pg_hba.conf lets only apps come there that may create databases themselves."""
    if not facts.managed:
        return frozenset()
    makers = {login for login, app in facts.apps.items() if app.creates}
    named = {name for app in facts.apps.values() for name in app.names}
    return frozenset(
        one.name
        for one in facts.bases.value
        if app_of(one.owner) in makers and one.name not in named
    )
