"""Logins on a server of ours that the file does not name: told, and closed when the command names
them. Pure; the steps run later, on a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from mngdb.engines import logins
from mngdb.engines.mongodb.access import ADMIN, USERS_IN
from mngdb.engines.mongodb.facts import Facts, User
from mngdb.engines.mongodb.users import Make, departed, resting
from mngdb.model import DesiredInstance, Notice, Step
from mngdb.spec.agent import MONITOR

if TYPE_CHECKING:
    from mngdb.engines.mongodb.client import Session


def found(asked: DesiredInstance, facts: Facts) -> dict[str, tuple[str, User]]:
    """Name to database and login, of those that may do something. The same name in another
    database than `admin` is another login: it is called NAME@DATABASE."""
    if not asked.managed:
        return {}
    ours = (one.name for one in [*departed(asked, facts), *resting(asked, facts)])
    known = {ADMIN, MONITOR, *asked.login_secrets(), *asked.instance.grants, *ours}
    others = {name: (USERS_IN, user) for name, user in facts.users.items() if name not in known}
    others |= {f"{user.name}@{database}": (database, user) for database, user in facts.elsewhere}
    return {name: others[name] for name in sorted(others) if others[name][1].roles}


def steps(asked: DesiredInstance, facts: Facts, make: Make) -> Iterator[Step[Session]]:
    """Those that the command names lose their roles, the only way in which the server closes a
    login; the password and the data stay, and the step says what it had."""
    for name, (database, user) in found(asked, facts).items():
        if logins.unwanted(asked, logins.Login(name, user.mark)) == "shut":
            text = f"it is not in the file: its roles {_roles(user)}"
            yield make("revoke", name, text, _close(database, user.name), True)


def notices(asked: DesiredInstance, facts: Facts) -> Iterator[Notice]:
    """The others, with what they may do."""
    for name, (_, user) in found(asked, facts).items():
        login = logins.Login(name, user.mark)
        if logins.unwanted(asked, login) == "report":
            yield logins.reported(asked, login, _roles(user))


def _close(database: str, name: str) -> Callable[[Session], None]:
    def run(session: Session) -> None:
        session.command("updateUser", name, on=database, roles=[])

    return run


def _roles(user: User) -> str:
    return ", ".join(f"{name}@{database}" for database, name in sorted(user.roles))
