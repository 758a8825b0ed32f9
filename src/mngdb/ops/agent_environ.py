"""The environment of the agent: what its work takes, and nothing else that its caller had."""

from __future__ import annotations

import re

from mngdb.identity.home import lent_trust
from mngdb.ops.context import Context

#: Where programs, homes, caches and certificates are; how the interpreter finds its libraries; how
#: docker finds its engine; by which proxy a channel is reached.
_KEPT = re.compile(
    r"PATH|HOME|LANG|LC_[A-Z]+|TZ|TMPDIR|PYTHONPATH|PYTHONHOME|LD_LIBRARY_PATH"
    r"|XDG_[A-Z_]+|MNGDB_(?!SECRET_|LOG$)[A-Z_]+|DOCKER_[A-Z_]+|SSH_AUTH_SOCK"
    r"|SSL_CERT_(?:FILE|DIR)|(?i:(?:https?|no|all)_proxy)"
)


def environment(context: Context) -> dict[str, str]:
    """Besides the above: the variables that the stack's file names and the vault needs, and the
    trust that its caller lent us."""
    named = context.vault.variables(context.known_secrets())
    secret = {name: context.environ[name] for name in named if name in context.environ}
    return kept(context) | secret | lent_trust(context.stack.files)


def kept(context: Context) -> dict[str, str]:
    """The above, and the variables that the stack's file names: none of them is a secret of the
    vault's."""
    return {
        name: value
        for name, value in context.environ.items()
        if name in context.stack.variables or _KEPT.fullmatch(name)
    }
