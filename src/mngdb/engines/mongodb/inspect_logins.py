"""The logins of a MongoDB server by effect: their rights in sum, and whether a password is weak.

Passwords are tried against the verifiers that usersInfo shows to an administrator: nothing is
sent, nobody logs in, and the server's log stays clean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mngdb.engines.mongodb import users
from mngdb.engines.mongodb.facts import User, user_of
from mngdb.facts.mongodb import CLUSTER, EVERYWHERE, Login
from mngdb.secret import Secret

if TYPE_CHECKING:
    from mngdb.engines.mongodb.questions import Questions

#: The first that anybody tries; the login's own name is tried besides.
WELL_KNOWN = (
    *("password", "admin", "root", "123456", "12345678", "mongo", "mongodb", "secret", "example"),
    *("changeme", "test", "letmein", "passw0rd", "password123", "p@ssw0rd!123", "qwerty"),
    *("strong_password", "your-password", "your-strong-password-here"),
)
_WITHOUT_PASSWORD = frozenset({"external"})
#: Rounds of SCRAM-SHA-256 that guessing may cost in all: about half a second.
_ROUNDS = 2_000_000
#: Logins whose rights are asked for at once.
_BATCH = 200


def logins(questions: Questions, secrets: Mapping[str, Secret]) -> tuple[Login, ...]:
    """Every login of the server; `secrets` are the vault's, by login. Raises UnobservableError."""
    everybody = {"forAllDBs": True}
    found = questions.ask("usersInfo", everybody, showCredentials=True)["users"]
    rights: dict[str, dict[str, frozenset[str]]] = {}
    for start in range(0, len(found), _BATCH):
        named = [{"user": one["user"], "db": one["db"]} for one in found[start : start + _BATCH]]
        reply = questions.ask("usersInfo", named, showPrivileges=True)["users"]
        rights |= {one["_id"]: _by_place(one["inheritedPrivileges"]) for one in reply}
    guesser = _Guesser(questions.session.access.user, secrets)
    return tuple(
        Login(
            name=user.name,
            mechanisms=user.mechanisms - _WITHOUT_PASSWORD,
            rounds=user.scram.iterations if user.scram else None,
            guessed=guessed,
            agrees=agrees,
            rights=rights.get(document["_id"], {}),
        )
        for document, user, agrees, guessed in guesser.judge(found)
    )


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
    return str(resource.get("db", "")) or EVERYWHERE


class _Guesser:
    """Compares verifiers with words, for as long as that takes little time."""

    def __init__(self, admin: str, secrets: Mapping[str, Secret]) -> None:
        self._admin = admin
        self._secrets = secrets
        self._left = _ROUNDS

    def judge(
        self, documents: Iterable[dict[str, Any]]
    ) -> Iterator[tuple[dict[str, Any], User, bool | None, bool | None]]:
        """Each user with: does the vault's secret open it, is its password well known."""
        for document in documents:
            user = user_of(document)
            secret = self._secrets.get(user.name)
            agrees = self._agrees(user, secret) if document["db"] == "admin" else None
            if secret is not None and (agrees or self._left <= 0):
                # what opens it is known: no need to compute; or there are too many for that
                yield document, user, agrees, secret.reveal() in {*WELL_KNOWN, user.name}
            else:
                yield document, user, agrees, self._guessed(user)

    def _agrees(self, user: User, secret: Secret | None) -> bool | None:
        if user.name == self._admin:
            return True  # this session is the proof
        return self._opens(user, secret) if secret is not None and user.scram else None

    def _guessed(self, user: User) -> bool | None:
        if user.scram is None:
            return None if user.mechanisms - _WITHOUT_PASSWORD else False
        for word in (user.name, *WELL_KNOWN):
            opens = self._opens(user, Secret(word))
            if opens is not False:
                return opens
        return False

    def _opens(self, user: User, secret: Secret) -> bool | None:
        """None: there is no time left."""
        self._left -= user.scram.iterations if user.scram else 0
        return users.knows(user, secret) if self._left > 0 else None
