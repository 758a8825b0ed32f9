"""The logins of a MongoDB server by effect: their rights in sum, and whether a password is weak.

Passwords are tried against the verifiers that usersInfo shows to an administrator: nothing is
sent, nobody logs in, and the server's log stays clean.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from mngdb.engines.mongodb import look
from mngdb.engines.mongodb.access import USERS_IN
from mngdb.engines.mongodb.facts import User, user_of
from mngdb.engines.mongodb.users import knows
from mngdb.errors import SecretError
from mngdb.facts.mongodb import CLUSTER, EVERYWHERE, LOGINS, Login
from mngdb.secret import Secret

if TYPE_CHECKING:
    from mngdb.engines.mongodb.questions import Questions

#: The first that anybody tries, the commonest first; the login's own name is tried before them.
WELL_KNOWN = (
    *("password", "admin", "123456", "root", "mongo", "mongodb", "12345678", "secret", "example"),
    *("changeme", "test", "letmein", "passw0rd", "password123", "p@ssw0rd!123", "qwerty"),
    *("strong_password", "your-password", "your-strong-password-here"),
)
#: Words after which a login counts as tried, where there is no time for all.
_ENOUGH = 4
_OF_LOGINS = frozenset({"system.users", "system.roles"})
_WITHOUT_PASSWORD = frozenset({"external"})
#: Rounds of SCRAM-SHA-256 that are computed to compare secrets, and to guess: three million of them
#: take a core about a second.
_TO_COMPARE = 3_000_000
_TO_GUESS = 3_000_000
#: Logins whose rights are asked for at once.
_BATCH = 200


def logins(questions: Questions, admin: str, secrets: Mapping[str, Secret]) -> tuple[Login, ...]:
    """Every login of the server; `secrets` are the vault's, by login, `admin` is the one that asks.
    Raises UnobservableError."""
    found = look.users(questions.ask)
    rights: dict[str, dict[str, frozenset[str]]] = {}
    for start in range(0, len(found), _BATCH):
        named = [{"user": one["user"], "db": one["db"]} for one in found[start : start + _BATCH]]
        reply = questions.ask("usersInfo", named, showPrivileges=True)["users"]
        rights |= {one["_id"]: _by_place(one["inheritedPrivileges"]) for one in reply}
    users = [user_of(one) for one in found]
    names = [login_name(one["user"], one["db"]) for one in found]
    own = [secrets.get(name) for name in names]
    is_admin = [name == admin for name in names]
    agrees = _compare(users, own, is_admin)
    guessed = _guess(users, agrees, own)
    return tuple(
        Login(
            name=name,
            mechanisms=user.mechanisms - _WITHOUT_PASSWORD,
            rounds=user.scram.iterations if user.scram else None,
            guessed=is_guessed,
            agrees=agreed,
            rights=rights.get(document["_id"], {}),
        )
        for document, name, user, agreed, is_guessed in zip(
            found, names, users, agrees, guessed, strict=True
        )
    )


def login_name(user: str, database: str) -> str:
    """What a login is called: the same name in another database is another login."""
    return user if database == USERS_IN else f"{user}@{database}"


def _compare(
    users: Sequence[User], own: Sequence[Secret | None], is_admin: Sequence[bool]
) -> list[bool | None]:
    """Whether the vault's secret opens each login; None: it has none, or they are too many."""
    found: list[bool | None] = []
    left = _TO_COMPARE
    for user, secret, admin in zip(users, own, is_admin, strict=True):
        if admin:
            found.append(True)  # this session is the proof
        elif secret is None or user.scram is None or left < 0:
            found.append(None)
        else:
            left -= user.scram.iterations
            found.append(knows(user, secret))
    return found


def _guess(
    users: Sequence[User], agrees: Sequence[bool | None], own: Sequence[Secret | None]
) -> list[bool | None]:
    """Whether the password of each login is well known; None: there was no time to try, or its
    verifier is of an older kind."""
    found: list[bool | None] = []
    unknown: list[int] = []
    for n, (user, agreed, secret) in enumerate(zip(users, agrees, own, strict=True)):
        if secret is not None and agreed is not False:
            # what opens it is known: no need to compute
            found.append(secret.reveal() in {*WELL_KNOWN, user.name})
        else:
            found.append(None if user.mechanisms - _WITHOUT_PASSWORD else False)
            unknown += [n] if user.scram else []
    left = _TO_GUESS
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing lets other threads run
        for tried in range(1, len(WELL_KNOWN) + 2):
            turn = []
            for n in unknown:
                scram = users[n].scram
                left -= scram.iterations if scram else 0
                if left >= 0 and found[n] is not True:
                    turn.append(n)
            words = [Secret((users[n].name, *WELL_KNOWN)[tried - 1]) for n in turn]
            for n, opens in zip(
                turn, pool.map(_opens, [users[n] for n in turn], words), strict=True
            ):
                if opens:
                    found[n] = True
                elif tried >= _ENOUGH:
                    found[n] = False
    return found


def _opens(user: User, word: Secret) -> bool:
    try:
        return knows(user, word)
    except SecretError:
        return False  # a name that cannot be a password


def _by_place(privileges: Iterable[Any]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for privilege in privileges:
        found.setdefault(_place(privilege["resource"]), set()).update(privilege["actions"])
    return {place: frozenset(actions) for place, actions in found.items()}


def _place(resource: dict[str, Any]) -> str:
    if resource.get("cluster"):
        return CLUSTER
    if resource.get("anyResource"):
        return EVERYWHERE
    if resource.get("db") in {"", "admin"} and resource.get("collection") in _OF_LOGINS:
        return LOGINS
    return str(resource.get("db", "")) or EVERYWHERE
