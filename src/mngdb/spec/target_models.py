"""What the file says of each target, by its key."""

from __future__ import annotations

from mngdb.spec.atlas import Atlas
from mngdb.spec.compose import Compose
from mngdb.spec.strict import Model


class External(Model):
    """A server that mngdb does not run: it is never started or restarted."""

    url: str
    """Address and administrator of the server, without the password:
    `postgresql://admin@db.example:5432/postgres`. The password is the secret `NAME_admin`."""


class Local(Model):
    """Processes on this machine."""

    data: str | None = None
    """Folder for the servers' data. Default: `servers` in the stack's own directory, which is
    outside of the project (docs/state.md)."""
    account: str | None = None
    """Account that all servers run as if root starts them. Default: one for each engine
    (`mngdb-postgres`, `mngdb-redis`, `mngdb-mongodb`), created if missing, so that a compromised
    server cannot read the files of the others."""


#: One line a target. The file takes those that are here when `mngdb.spec.target` is imported.
TARGETS: dict[str, type[Model]] = {
    "local": Local,
    "compose": Compose,
    "external": External,
    "atlas": Atlas,
}
