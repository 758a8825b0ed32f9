"""From a mongod that was just started to an administrator's session.

No localhost exception is needed: the key file is the password of `__system`, the account that
members of a replica set use among themselves. It makes the replica set and the administrator where
they are missing, and repairs them where they are not as the file and the vault say. On servers
that are not ours there is no key file, and none of this happens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from bson import Int64

from mngdb import stopping
from mngdb.engines.mongodb import access as logins
from mngdb.engines.mongodb.client import (
    ALREADY_INITIALIZED,
    NOT_YET_INITIALIZED,
    STALE_TERM,
    Refused,
    Session,
    connect,
)
from mngdb.engines.mongodb.elections import lost_primary
from mngdb.errors import ConnectError, StepError, UnobservableError
from mngdb.model import Access, DesiredInstance

#: Seconds between two looks. A single node is primary about 30 ms after it was initiated.
_PAUSE = 0.005
#: Seconds that one login may take.
_LOGIN = 5.0
#: Seconds. A configuration's version has 31 bits: no clock in seconds fits for long.
_MINUTE = 60
_STREAMS = (
    "consumers of change streams have to begin anew: the server may refuse their resume tokens, or "
    "report what is in the restored data again"
)


@contextmanager
def bootstrap(asked: DesiredInstance, deadline: float) -> Iterator[Session]:
    """The administrator's session on a server that is primary and sound.

    `deadline` is a time.monotonic() value; past it: ConnectError, `down`, `starting` or `primary`.
    """
    logins.secret_of(asked, logins.ADMIN)
    access = logins.admin(asked)
    try:
        with ExitStack() as stack:
            session = _login(stack, access, deadline)
            alone = asked.instance.filling
            if session is None or not _sound(session, access, alone=alone):
                with ExitStack() as repair:
                    system = _login(repair, logins.system(asked), deadline)
                    if system is None:
                        raise _wrong_key(access)
                    if not alone:
                        _primary(system, asked.stack, access, deadline)
                    _administrator(system, asked)
            if session is None:
                session = stack.enter_context(connect(access, _LOGIN))
            yield session
    except Refused as error:
        raise UnobservableError(f"{asked.instance.name}: {error.message}") from None


def supersede(asked: DesiredInstance, deadline: float) -> tuple[str, ...]:
    """See Backup.supersede. Drivers go by the set's term, older ones by the version of its
    configuration, and refuse for ever what is lower than they have seen. Both are raised to the
    clock, which no count of elections and changes comes up to. The election also brings the cluster
    time past theirs, which they show signed with a key that this server may not have.

    https://github.com/mongodb/specifications: server-discovery-and-monitoring.md, electionId
    """
    try:
        with ExitStack() as stack:
            session = _login(stack, logins.system(asked), deadline)
            if session is None:
                raise _wrong_key(logins.admin(asked))
            _raise(session, time.time())
            _primary(session, asked.stack, logins.admin(asked), deadline)
    except Refused as error:
        raise StepError(
            f"MongoDB did not raise its term: {error.message}",
            "restart the apps: their drivers may take this server for an outdated one",
        ) from None
    return (_STREAMS,)


def _raise(session: Session, now: float) -> None:
    config: dict[str, Any] = session.command("replSetGetConfig")["config"]
    config["version"] = max(config["version"] + 1, int(now / _MINUTE))
    session.command("replSetReconfig", config)
    try:
        # as a member that knows of a later election asks
        session.command("find", "oplog.rs", on="local", term=Int64(now), singleBatch=True)
    except Refused as error:
        if error.code != STALE_TERM:
            raise
        session.command("replSetStepUp")  # alone as it is, it would wait ten seconds for others


def _login(stack: ExitStack, access: Access, deadline: float) -> Session | None:
    """A session, as soon as the server listens; None when it refuses the login."""
    while True:
        try:
            return stack.enter_context(connect(access, _LOGIN))
        except ConnectError as error:
            if error.kind == "auth":
                return None
            if error.kind not in ("down", "starting", "limit"):
                raise
            _wait(deadline, error)


def _wait(deadline: float, cause: ConnectError) -> None:
    if time.monotonic() >= deadline:
        raise cause
    stopping.sleep(_PAUSE)


def _wrong_key(access: Access) -> ConnectError:
    return ConnectError(
        f"{logins.seeds(access)} accepts neither the admin password nor the key file",
        "it is running with an earlier key file: 'mngdb down', then 'mngdb up'",
        "auth",
    )


def _sound(session: Session, access: Access, *, alone: bool) -> bool:
    hello = session.command("hello")
    named = alone or hello.get("me") == logins.seeds(access)
    if not hello.get("isWritablePrimary") or not named:
        return False
    info = session.command("connectionStatus")["authInfo"]
    return {"role": "root", "db": logins.USERS_IN} in info["authenticatedUserRoles"]


def _primary(session: Session, name: str, access: Access, deadline: float) -> None:
    """Make or repair the set of one node, and wait until the node is primary."""
    host = logins.seeds(access)
    while True:
        try:
            hello = session.command("hello")
            if hello.get("isWritablePrimary") and hello.get("me") == host:
                return
            _configure(session, name, host)
            _wait(deadline, lost_primary(session))
        except ConnectError as error:
            # a node that changes its state closes its connections
            _wait(deadline, error)


def _configure(session: Session, name: str, host: str) -> None:
    try:
        config: dict[str, Any] = session.command("replSetGetConfig")["config"]
    except Refused as error:
        if error.code != NOT_YET_INITIALIZED:
            raise
        _initiate(session, name, host)
        return
    members = config["members"]
    if len(members) == 1 and members[0]["host"] != host:
        # the port or address in the file changed: the node does not find itself in its own set
        members[0]["host"] = host
        config["version"] += 1
        session.command("replSetReconfig", config, force=True)


def _initiate(session: Session, name: str, host: str) -> None:
    config = {"_id": name, "members": [{"_id": 0, "host": host}]}
    try:
        session.command("replSetInitiate", config)
    except Refused as error:
        # it has a configuration, and is still reading it
        if error.code != ALREADY_INITIALIZED:
            raise


def _administrator(session: Session, asked: DesiredInstance) -> None:
    exists = session.command("usersInfo", logins.ADMIN)["users"]
    session.command(
        "updateUser" if exists else "createUser",
        logins.ADMIN,
        pwd=logins.secret_of(asked, logins.ADMIN).reveal(),
        roles=["root"],
        mechanisms=["SCRAM-SHA-256"],
    )
