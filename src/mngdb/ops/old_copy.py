"""What is not done by an old copy of the secrets, which stands in for a vault that cannot be asked:
no server is given passwords that it does not have. They may have been changed since."""

from __future__ import annotations

from mngdb.errors import MngdbError, SecretError
from mngdb.model import DesiredInstance
from mngdb.ops.context import Context
from mngdb.ops.rotate.note import entries

#: Seconds for a login.
_LOGIN = 10.0
_HINT = "run the same command when the vault can be asked again"


def check(context: Context, asked: DesiredInstance) -> None:
    """Raises SecretError where an instance would be given other passwords by an old copy: apps
    that have the right ones would be refused."""
    if not context.vault.stands_in:
        return
    instance, engine = asked.instance, context.engine(asked.instance)
    if any(one.instance == instance.name for one in entries(context.stack.state).values()):
        raise SecretError(
            f"{instance.name}: its passwords are being rotated, and a copy of the secrets does not "
            "have both",
            _HINT,
        )
    for app in instance.grants:
        try:
            with context.reach(instance), engine.connect(context.login(asked, app), _LOGIN):
                pass
        except MngdbError as error:
            if getattr(error, "kind", "") == "auth":
                raise SecretError(
                    f"{instance.unit} refuses the password of {app} in the copy of the secrets, "
                    "which is not changed: the copy may be older",
                    _HINT,
                ) from None
            return  # it does not run, say
