"""MongoDB in its official image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from mngdb import data
from mngdb.container import SECRETS, Container, Exporter, read_secret, secret_path
from mngdb.engines.mongodb import access as logins
from mngdb.engines.mongodb import facts, reconcile, render
from mngdb.model import DesiredInstance
from mngdb.secret import Secret
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import MONGODB

if TYPE_CHECKING:
    from mngdb.engines.mongodb.client import Session

_EXPORTER = "percona/mongodb_exporter:0.43.1"
_EXPORTER_USER = 65535
#: It takes the URL with the secret by its environment or its arguments, never from a file.
_EXPORT = """\
MONGODB_URI=$(cat "$1") && [ -n "$MONGODB_URI" ] || { echo "$1: no secret"; exit 1; }
export MONGODB_URI
exec "${@:2}"
"""
#: What the rules and the dashboards read; `compatible-mode` has the oplog's window.
_COLLECTORS = (
    "--compatible-mode",
    "--collector.diagnosticdata",
    "--collector.replicasetstatus",
    "--collector.dbstats",
    "--collector.topmetrics",
)
#: The image declares volumes there, which nobody would ever remove.
_CONFIGDB = "/data/configdb"
_GB = 1 << 30
#: Stands for a secret in the commands that ready.js sends; it reads the file itself.
_FILE = "secret file: "


def container(asked: DesiredInstance) -> Container:
    """The container of one server. Pure."""
    name = asked.instance.name
    settings = render.settings(asked)
    cache = float(settings["storage.wiredTiger.engineConfig.cacheSizeGB"])
    everybody = [*([MONITOR] if asked.instance.monitored else []), *asked.instance.grants]
    at = asked.instance.spec.port
    options = "" if at == MONGODB.port else f" --port {at}"
    options += f" --tls --tlsCAFile {asked.tls.ca}" if asked.tls else ""
    return Container(
        # connections' stacks, sorts and aggregations are beside the cache; a health check's
        # mongosh takes 150 MB of it
        memory=int(cache * 1.5 * _GB) + _GB,
        processes=int(settings["net.maxIncomingConnections"]) + 256,
        health=read_secret(name, "admin")
        + "HOME=/tmp exec mongosh --nodb --quiet --file /etc/mngdb/ready.js\n",
        logins=("admin", *everybody),
        files={"ready.js": _ready(asked)},
        tmpfs=("/tmp", _CONFIGDB),  # noqa: S108 - the container's own
        interval=10,
        exporter=_exporter(asked) if asked.instance.monitored else None,
        prompts=((f"a prompt of {asked.instance.unit}", f"mongosh{options} -u {logins.ADMIN}"),),
    )


def _exporter(asked: DesiredInstance) -> Exporter:
    secret = f"{SECRETS}/{asked.instance.unit}-exporter"
    program = "/mongodb_exporter"
    at = logins.login(asked, logins.admin(asked), MONITOR)
    return Exporter(
        image=_EXPORTER,
        port=MONGODB.metrics.port,
        user=_EXPORTER_USER,
        environment={},
        secret=Secret(logins.url(asked.given(at))),
        ca=asked.tls.ca if asked.tls else "",
        program=program,
        entrypoint=("bash", "-c", _EXPORT, "start", secret, program, *_COLLECTORS),
        unused=(MONGODB.image.data, _CONFIGDB),
    )


def _ready(asked: DesiredInstance) -> str:
    """The very commands that the first `up` would send, with files' names for secrets."""
    name = asked.instance.name
    commands = _Commands(
        {one.reveal(): _FILE + secret_path(name, login) for login, one in asked.secrets.items()}
    )
    commands.command(
        "createUser",
        logins.ADMIN,
        pwd=asked.secrets["admin"].reveal(),
        roles=["root"],
        mechanisms=["SCRAM-SHA-256"],
    )
    told = replace(asked, also={})
    for step in reconcile.reconcile(told, facts.initial(told)).steps:
        step.run(cast("Session", commands))  # at a first start they only write
    member = {"_id": 0, "host": logins.seeds(logins.admin(asked))}
    text = json.dumps(
        {
            "port": asked.instance.spec.port,
            "tls": f"&tls=true&tlsCAFile={asked.tls.ca}" if asked.tls else "",
            "secret": secret_path(name, "admin"),
            "keyfile": "/etc/mngdb/keyfile",
            "set": {"_id": asked.stack, "members": [member]},
            "commands": commands.found,
        },
        indent=1,
    )
    return data.text(__file__, "ready.js").replace("SECRET", _FILE).replace("ASKED", text, 1)


class _Commands:
    """Stands in for `client.Session` where steps only write."""

    def __init__(self, files: Mapping[str, str]) -> None:
        """`files`: what is written in place of each password."""
        self._files = files
        self.found: list[tuple[str, dict[str, Any]]] = []

    def command(
        self,
        name: str,
        value: Any = 1,
        *,
        on: str = "admin",
        limit: float | None = None,
        **more: Any,
    ) -> None:
        """Write a command down."""
        if "pwd" in more:
            more["pwd"] = self._files[more["pwd"]]
        self.found.append((on, {name: value, **more}))
