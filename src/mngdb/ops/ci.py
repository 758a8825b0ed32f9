"""`render ci`: the variables of an app as a CI file names them, secrets by reference alone."""

from __future__ import annotations

from collections.abc import Mapping

from mngdb.errors import UsageError
from mngdb.ops.context import Context
from mngdb.ops.env_check import PLACEHOLDER
from mngdb.ops.variables import variables
from mngdb.secret import Secret


def render(context: Context, kind: str, app: str | None) -> str:
    """The part of a workflow (`github`) or of .gitlab-ci.yml (`gitlab`). Raises UsageError when the
    stack has several apps and none is named."""
    apps = list(context.stack.apps)
    if app is None and len(apps) != 1:
        hint = f"--app APP, one of: {', '.join(apps)}" if apps else "apps: {my-app: {…}}"
        raise UsageError("which app? The file does not have exactly one", hint)
    name = app or apps[0]
    found = variables(context, name, Secret(PLACEHOLDER))
    secret = secrets_of(found)
    return (_github if kind == "github" else _gitlab)(name, secret, found)


def secrets_of(found: Mapping[str, str]) -> list[str]:
    """The names of those variables that hold a secret."""
    return [name for name, value in found.items() if PLACEHOLDER in value]


def _logins(found: dict[str, str]) -> list[str]:
    """Variables with the name of a login: an app has two, which take turns."""
    return [name for name in found if name.endswith(("USER", "USERNAME"))]


def _github(app: str, secret: list[str], found: dict[str, str]) -> str:
    head = [
        f"# .github/workflows/…: the variables of {app}. For each secret, again after a rotation:",
        f"# mngdb env {app} --json | jq -j .NAME | gh secret set NAME",
        f"# and for {', '.join(_logins(found))}, which a rotation may change, too:",
        f"# mngdb env {app} --json | jq -j .NAME | gh variable set NAME",
        "env:",
    ]
    given = [f"  {one}: ${{{{ secrets.{one} }}}}" for one in secret]
    plain = [f"  {one}: ${{{{ vars.{one} }}}}" for one in found if one not in secret]
    return "\n".join([*head, *given, *plain]) + "\n"


def _gitlab(app: str, secret: list[str], found: dict[str, str]) -> str:
    head = [
        f"# .gitlab-ci.yml: the variables of {app}. In Settings > CI/CD > Variables each of these",
        "# is masked and protected: " + ", ".join(secret),
        f"# mngdb env {app} --json | jq -j .NAME | glab variable set NAME --masked --protected",
        f"# After a rotation set them again, and {', '.join(_logins(found))}.",
        "variables:",
    ]
    given = [*secret, *(one for one in found if one not in secret)]
    return "\n".join([*head, *(f"  {one}: ${one}" for one in given)]) + "\n"
