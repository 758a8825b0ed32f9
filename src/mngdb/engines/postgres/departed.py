"""Logins whose app left the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from mngdb.engines import logins
from mngdb.engines.postgres import handover, roles
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.facts import Facts
from mngdb.model import DesiredInstance, Notice, Step
from mngdb.secret import app_of
from mngdb.spec.postgres import PostgresGrant


def steps(
    asked: DesiredInstance, facts: Facts, make: roles.MakeStep, told: list[Notice]
) -> Iterator[Step[Session]]:
    """They are closed, or dropped where nobody else's command made them; what they own stays, and
    is `told`."""
    grants = asked.instance.granted(PostgresGrant)
    for name, role in facts.roles.items():
        if app_of(name) in grants:
            continue
        login, what = roles.login_of(asked, name, role), f"role {name}"
        run = _ending(name, handover.shut)
        if logins.unwanted(asked, login) == "drop":
            run = _ending(name, handover.drop_role)
            if not role.owns:
                text = "its app left the file; its databases are kept"
                yield replace(make("drop", what, text, run), destructive=True)
                continue
        owns = roles.said_to_own(role)
        if role.login:
            stays = f", kept as the owner of {owns}" if owns else ""
            text = f"its app left the file; login disabled{stays}"
            yield make("revoke", what, text, run)
        # what it wrote runs with its rights, which are none beyond what it owns
        yield from roles.excess(make, name, role.special, role.member_of)
        if name == app_of(name) or owns:
            told.append(logins.closed(asked, login, owns))


def _ending(name: str, how: Callable[[Session, str], None]) -> Callable[[Session], None]:
    return lambda session: how(session, name)
