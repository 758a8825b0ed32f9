"""A server that others made, as the file can say it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mngdb.engines.redis import acl
from mngdb.engines.redis.client import RefusedError, Session
from mngdb.engines.redis.look import Look, look, told
from mngdb.engines.redis.release import release
from mngdb.errors import UnobservableError
from mngdb.facts.found import FoundApp, FoundServer, made_by
from mngdb.words import numbers

_READ, _WRITE = "%R~", "%W~"


def found(session: Session) -> FoundServer:
    """Users and settings. What the login may not ask is a note. Raises UnobservableError where not
    even the version is told."""
    seen = look(session, "server")
    info = seen.info.found
    server = release(info) if info is not None else None
    notes = [] if server else [f"the version could not be seen: {seen.info.missing}"]
    keys: dict[str, Any] = {}
    if server and numbers(server.version):
        keys["version"] = server.version.partition(".")[0]
        if server.product != "Redis":
            keys["server"] = server.product.lower()
    keys |= _settings(seen, notes)
    apps: list[FoundApp] = []
    users = seen.users.found
    if users is None:
        notes.append(
            f"the logins could not be seen: {seen.users.missing}; give {session.access.user} "
            "+acl|list and +acl|cat, and run it again"
        )
    for user in users or ():
        if user.name == acl.DEFAULT:
            notes += _default(user, session)
        elif user.name != session.access.user:
            apps.append(_app(session, user))
    marks = frozenset(user.mark for user in users or () if user.mark)
    return FoundServer(tuple(apps), keys, tuple(notes), marks)


def _settings(seen: Look, notes: list[str]) -> Iterator[tuple[str, Any]]:
    values = seen.settings.found
    if values is None:
        notes.append(f"the settings could not be seen: {seen.settings.missing}")
        return
    if "maxmemory-policy" in values:
        yield "eviction", values["maxmemory-policy"]
    memory = _number(values, "maxmemory", notes)
    clients = _number(values, "maxclients", notes)
    if memory:
        yield "memory", f"{memory >> 20}mb"
    elif memory == 0:
        notes.append("mend: maxmemory is 0, so that it takes all memory before it evicts")
    if "appendonly" in values:
        yield "appendonly", values["appendonly"] == "yes"
    if clients is not None:
        yield "max_clients", clients
    if values.get("aclfile") == "":
        notes.append(
            "mend: there is no aclfile, so that logins which are made now are lost at a restart"
        )


def _number(values: Mapping[str, str], name: str, notes: list[str]) -> int | None:
    """A setting; None: it is not told, or a proxy answers in its own way, which is a note."""
    value = values.get(name)
    if value is not None and re.fullmatch(r"\d{1,20}", value, re.ASCII):
        return int(value)
    if value is not None:
        notes.append(f"{name} could not be read: the server's answer is not a number")
    return None


def _default(user: acl.User, session: Session) -> Iterator[str]:
    """What everybody may do who names no user."""
    if not user.on:
        return
    if "nopass" in user.flags:
        yield "mend: the login default needs no password: everybody who reaches the port has it"
    elif session.access.user == acl.DEFAULT:
        yield (
            "every client logs in by the one password of the login default (requirepass), with all "
            "rights: no app can be told from another. Give each a line under apps, and switch it"
        )
    else:
        rules = " ".join((*sorted(user.keys), *sorted(user.channels), user.commands))
        yield f"login default (clients that name none): {rules}; it stays as it is"


def _app(session: Session, user: acl.User) -> FoundApp:
    notes = [f"commands: {user.commands}"]
    if user.mark:
        return FoundApp(user.name, None, (made_by(user.mark),))
    if not user.on:
        return FoundApp(user.name, None, ("it is disabled (off)",))
    if "nopass" in user.flags:
        notes.append("mend: it needs no password")
    if user.selectors:
        selectors = ", ".join(f"({one})" for one in sorted(user.selectors))
        return FoundApp(user.name, None, (f"the file has no selectors: {selectors}", *notes))
    signs = {key: key.partition("~")[0] + "~" for key in user.keys}
    if _WRITE in signs.values() or len({*signs.values()}) > 1:
        rules = " ".join(sorted(user.keys))
        return FoundApp(
            user.name, None, (f"rights differ by key: {rules}; the file has one for all", *notes)
        )
    if not signs:
        return FoundApp(user.name, None, ("it has no keys", *notes))
    keys = sorted(key.removeprefix(sign) for key, sign in signs.items())
    right: dict[str, Any] = {"keys": keys[0] if len(keys) == 1 else keys}
    channels = sorted(one.removeprefix("&") for one in user.channels)
    if channels != keys:
        right["channels"] = channels
    try:
        writes = _writes(session, user)
    except UnobservableError as error:
        writes = True
        notes.append(f"whether it may write could not be seen: {error.message}")
    if _READ in signs.values() or not writes:
        right["access"] = "readonly"
    return FoundApp(user.name, right, tuple(notes))


def _writes(session: Session, user: acl.User) -> bool:
    """Whether its commands let it change a key. Raises UnobservableError."""
    if user.commands.startswith("+@all") or "+@write" in user.commands.split():
        return True
    names = told(_asked(session, "ACL", "CAT"), "ACL CAT")
    answers = session.ask_all([["ACL", "CAT", name] for name in names])
    pairs = zip(names, answers, strict=True)
    categories = {name: frozenset(told(one, "ACL CAT")) for name, one in pairs}
    return bool(acl.permitted(user.commands, categories) & categories["write"])


def _asked(session: Session, *command: str) -> Any:
    try:
        return session.ask(*command)
    except RefusedError as error:
        return error
