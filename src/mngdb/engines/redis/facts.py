"""A Redis server as found. Kept apart from the driver, which is slow to import."""

from __future__ import annotations

import resource
from collections.abc import Mapping

from msgspec import Struct

from mngdb.engines.redis import acl, render
from mngdb.model import DesiredInstance
from mngdb.release import Release


class Facts(Struct, frozen=True):
    """A Redis server as found."""

    settings: Mapping[str, str]
    users: Mapping[str, acl.User]
    release: Release
    open_files: int
    """Files that a server started here may have open (hard limit)."""
    unknown: frozenset[str] = frozenset()
    """Commands and categories of the file that this server does not have."""
    kept: bool = True
    """Whether logins made now outlive a restart of the server."""
    unsaved: bool = False
    """Whether its last snapshot failed, which has it refuse writes. Of a server of ours."""
    acl_file: bool | None = False
    """Whether the server keeps its logins in a file that `ACL SAVE` writes; None: its settings are
    not to be seen."""


def initial(asked: DesiredInstance) -> Facts:
    """The facts of a server without apps. `render` puts their users into its first files; a plan
    names them all the same."""
    own = {acl.ADMIN, acl.DEFAULT} - acl.by_login(asked).keys()
    return Facts(
        settings=render.settings(asked),
        users={name: user for name, user in acl.wanted(asked).items() if name in own},
        release=render.release(asked),
        open_files=open_files(),
    )


def open_files() -> int:
    """The hard limit of open files, which a server started here inherits."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]
