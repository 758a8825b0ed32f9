"""Look at a server: few questions, all answered by its own commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mngdb.engines.mongodb import facts as found
from mngdb.engines.mongodb import indexes, look
from mngdb.engines.mongodb.access import USERS_IN
from mngdb.engines.mongodb.client import (
    NAMESPACE_NOT_FOUND,
    UNAUTHORIZED,
    Refused,
    Session,
)
from mngdb.engines.mongodb.databases import of_file
from mngdb.engines.mongodb.facts import Facts, FoundIndex
from mngdb.engines.mongodb.render import OPLOG, PARAMETER, SLOW, settings, text_of
from mngdb.errors import UnobservableError
from mngdb.model import DesiredInstance

#: Database and collection.
Place = tuple[str, str]


def observe(session: Session, asked: DesiredInstance, *, logins: bool = False) -> Facts:
    """Everything that `reconcile` judges; with `logins`, no indexes and profilers. Raises
    UnobservableError."""
    try:
        return _facts(session, asked, logins)
    except Refused as error:
        raise UnobservableError(
            f"{asked.instance.name}: {error.message}",
            "the admin login is not allowed to read this" if error.code == UNAUTHORIZED else None,
        ) from None


def _facts(session: Session, asked: DesiredInstance, logins: bool) -> Facts:
    values, reloadable, data = _settings(session, asked)
    # of a provider's administrator not more is asked than what is needed
    users, roles = ([], []) if asked.hosted else _logins(session, asked)
    places = () if logins else dict.fromkeys(_collections(session, asked))
    there, unseen = _indexes(session, places)
    return Facts(
        version=str(session.command("buildInfo")["version"]),
        data=data,
        settings=values,
        reloadable=reloadable,
        users={
            user.name: user
            for user in (found.user_of(one) for one in users if one["db"] == USERS_IN)
        },
        elsewhere=tuple(
            (str(one["db"]), found.user_of(one)) for one in users if one["db"] != USERS_IN
        ),
        roles={role.name: role for role in map(found.role_of, roles)},
        indexes=there,
        unseen=unseen,
        # ours to set where `slow` is ours
        profilers=look.profilers(
            session.command, of_file(asked) if SLOW in settings(asked) and not logins else ()
        ),
    )


def _logins(session: Session, asked: DesiredInstance) -> tuple[list[Any], list[Any]]:
    try:
        users = look.users(session.command, everywhere=asked.managed)
        return users, session.command("rolesInfo", showPrivileges=True)["roles"]
    except Refused:
        # who may not see logins may describe a server that has none of the file's
        if asked.instance.adopt and not (asked.instance.grants or asked.instance.monitored):
            return [], []
        raise


def _settings(
    session: Session, asked: DesiredInstance
) -> tuple[dict[str, str], frozenset[str], str]:
    """Values of options, which of them the running server takes, and its
    featureCompatibilityVersion where parameters are asked for."""
    wanted = settings(asked)
    values: dict[str, str] = {}
    if asked.managed or any(not name.startswith(PARAMETER) for name in wanted):
        values = look.options(session.command)
        values.pop("config", None)
    started_with = frozenset(values)
    reloadable, data = {SLOW, OPLOG}, ""
    if SLOW in wanted:
        values[SLOW] = text_of(look.slow(session.command))
    if OPLOG in wanted:
        values[OPLOG] = _oplog(session)
    named = [name for name in wanted if name.startswith(PARAMETER)]
    if named:
        # one question for all: asked by name, a single unknown one would spoil the answer
        everything = {"showDetails": True, "allParameters": True}
        parameters = session.command("getParameter", everything)
        data = str(parameters["featureCompatibilityVersion"]["value"]["version"])
        for name in named:
            values.pop(name, None)
            parameter = parameters.get(name.removeprefix(PARAMETER))
            if parameter is None:
                continue
            values[name] = text_of(parameter.get("value", ""))
            # one that was not there at the start is not in getCmdLineOpts, so its leaving the
            # file could not be seen later: it takes a restart the first time
            if parameter["settableAtRuntime"] and (name in started_with or not asked.managed):
                reloadable.add(name)
    return values, frozenset(reloadable), data


def _oplog(session: Session) -> str:
    """Its size in MB; the option counts only when the oplog is made, a resize later is live."""
    reply = session.command("listCollections", on="local", filter={"name": "oplog.rs"})
    size = reply["cursor"]["firstBatch"][0]["options"]["size"]
    return str(int(size) >> 20)


def _collections(session: Session, asked: DesiredInstance) -> Iterator[tuple[str, str]]:
    """Collections that the file names, and those where an index that left it may stand."""
    yield from indexes.wanted(asked)
    gone = asked.known - indexes.labels(asked)
    for database in sorted({label.partition(".")[0] for label in gone}):
        for collection, about in session.collections(database).items():
            named = any(label.startswith(f"{database}.{collection}.") for label in gone)
            if named and about["type"] == "collection":
                yield database, collection


def _indexes(
    session: Session, collections: Iterable[Place]
) -> tuple[dict[Place, tuple[FoundIndex, ...]], dict[Place, str]]:
    """Each collection's indexes; and those that have a view's name, or that the server tells
    nothing of, with its reason."""
    there: dict[Place, tuple[FoundIndex, ...]] = {}
    unseen = {}
    for database, collection in collections:
        try:
            there[database, collection] = look.indexes(session.command, database, collection)
        except Refused as error:
            if error.code == NAMESPACE_NOT_FOUND:
                there[database, collection] = ()
            else:
                unseen[database, collection] = error.message
    return there, unseen
