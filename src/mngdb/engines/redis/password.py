"""Another password for the administrator.

https://redis.io/docs/latest/commands/acl-setuser/
"""

from __future__ import annotations

from mngdb.engines.redis import acl
from mngdb.engines.redis.client import Session
from mngdb.engines.redis.look import pairs
from mngdb.errors import StepError
from mngdb.secret import Secret


def change(session: Session, secret: Secret) -> None:
    """The login of the session takes it from now on; so does the one without a name, where it took
    the same password. Raises StepError where a restart of the server would bring the old one
    back."""
    access = session.access
    acl_file = pairs(session.ask("CONFIG", "GET", "aclfile")).get("aclfile")
    if not acl_file:
        raise StepError(
            "the server has no ACL file: a restart would bring the old password back",
            "set 'aclfile' on the server",
        )
    users = {one.name: one for one in map(acl.parse, session.ask("ACL", "LIST"))}
    own = users[access.user].passwords
    for name in {access.user, acl.DEFAULT}:
        if name == access.user or users[name].passwords & own:
            session.ask("ACL", "SETUSER", name, "resetpass", f"#{acl.sha256(secret)}")
    if access.proof is None:  # on a server of ours the target writes the file
        session.ask("ACL", "SAVE")
