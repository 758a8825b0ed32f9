"""Redis in its official image."""

from __future__ import annotations

import json

from mngdb.container import SECRETS, Container, Exporter, read_secret
from mngdb.engines.redis import acl, render
from mngdb.model import DesiredInstance
from mngdb.secret import Secret
from mngdb.spec.agent import MONITOR
from mngdb.spec.engine_info import REDIS

_EXPORTER = "oliver006/redis_exporter:v1.80.1"
_EXPORTER_USER = 59000
#: Beside the data there are buffers of clients and of the log, and during a snapshot or a rewrite
#: of the log the pages that apps write meanwhile stand twice.
_HEAD_ROOM = 1.5
_LEAST_ROOM = 128 << 20


def container(asked: DesiredInstance) -> Container:
    """The container of one server. Pure."""
    spec = render.spec_of(asked)
    limit = int(render.settings(asked)["maxmemory"])
    login = f"redis-cli -e --no-auth-warning -h 127.0.0.1 -p {spec.port} --user {acl.ADMIN}"
    tls = f" --tls --cacert {asked.tls.ca}" if asked.tls else ""
    login += tls
    client = f"redis-cli{'' if spec.port == REDIS.port else f' -p {spec.port}'}{tls}"
    # without a name, the administrator's password is enough, unless an app is meant by none
    as_admin = f" --user {acl.ADMIN}" if acl.DEFAULT in acl.by_login(asked) else ""
    return Container(
        memory=max(int(limit * _HEAD_ROOM), limit + _LEAST_ROOM),
        processes=128,
        # PING alone answers while nothing can be read, and redis-cli ends well on most errors
        health=read_secret(asked.instance.name, "admin")
        # by standard input: an environment can be looked into
        + f"printf '%s\\n' \"$secret\" | {login} --askpass dbsize\n",
        exporter=_exporter(asked) if asked.instance.monitored else None,
        prompts=(
            (f"a prompt of {asked.instance.unit}", f"{client} --user {acl.ADMIN} --askpass"),
            ("does it live", f'{client}{as_admin} -a "$(cat {{secret}})" ping'),
        ),
    )


def _exporter(asked: DesiredInstance) -> Exporter:
    unit, secret = asked.instance.unit, asked.secrets[MONITOR]
    ca = asked.tls.ca if asked.tls else ""
    address = f"{'rediss' if ca else 'redis'}://{asked.host}:{asked.instance.spec.port}"
    passwords = {address.replace("//", f"//{MONITOR}@"): secret.reveal()}
    return Exporter(
        image=_EXPORTER,
        port=REDIS.metrics.port,
        user=_EXPORTER_USER,
        environment={
            "REDIS_ADDR": address,
            "REDIS_USER": MONITOR,
            "REDIS_PASSWORD_FILE": f"{SECRETS}/{unit}-exporter",
            # the names of clients are nobody's metrics
            "REDIS_EXPORTER_SET_CLIENT_NAME": "false",
            **({"REDIS_EXPORTER_TLS_CA_CERT_FILE": ca} if ca else {}),
        },
        secret=Secret(json.dumps(passwords)),
        ca=ca,
    )
