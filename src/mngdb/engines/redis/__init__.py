"""Redis: what it needs, how it is looked at, how it is changed.

The driver is imported when a session is opened, not when this package is.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from mngdb.container import Container
from mngdb.dial import stays_here
from mngdb.engines.protocol import Engine, Scraper
from mngdb.engines.redis import acl, render
from mngdb.engines.redis.container import PLACE, container
from mngdb.engines.redis.facts import Facts, blank
from mngdb.engines.redis.reconcile import reconcile
from mngdb.errors import StepError, UsageError
from mngdb.model import Access, Asked, Change, Outcome, ShellCommand, Unit, Vitals
from mngdb.spec.base import EngineName
from mngdb.spec.redis import RedisGrant
from mngdb.spec.stack import Instance

if TYPE_CHECKING:
    from mngdb.engines.redis.client import Session
    from mngdb.facts.redis import RedisFacts

#: Seconds between two looks at a rewrite of the log.
_POLL = 0.02


class RedisEngine:
    """The engine `redis`."""

    name: EngineName = "redis"
    title = "Redis"
    stop_signal: int = signal.SIGTERM
    metric = "redis"

    def secrets(self, asked: Instance) -> Iterable[str]:
        return ()

    def render(self, asked: Asked) -> Unit:
        return render.unit(asked)

    def settings(self, asked: Asked) -> Mapping[str, str]:
        return render.settings(asked)

    place = PLACE

    def container(self, asked: Asked, unit: Unit, *, first: bool = False) -> Container:
        return container(asked)

    def rights(self, asked: Asked) -> list[str]:
        return [
            f"user {user.name}: {' '.join(rule for rule in user.rules() if rule[0] != '#')}"
            for user in acl.wanted(asked).values()
        ]

    def admin(self, asked: Asked) -> Access:
        return asked.access(acl.ADMIN, "0")

    def external(self, asked: Asked, url: str) -> Access:
        name = asked.instance.name
        hint = "write redis://admin@host:6379 or rediss://admin@host:6379?ssl_ca_certs=/path/ca.pem"
        try:
            parts = urlsplit(url)
            port = parts.port or 6379
        except ValueError as error:
            raise UsageError(f"{name}: the url is wrong: {error}", hint) from None
        if parts.password is not None:
            raise UsageError(
                f"{name}: the url holds a password",
                f"leave it out; the secret {name}_admin is where it belongs",
            )
        database = parts.path.strip("/") or "0"
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        ca = query.pop("ssl_ca_certs", None)
        if (
            parts.scheme not in {"redis", "rediss"}
            or not parts.hostname
            or not database.isdecimal()
            or query
            or (ca and parts.scheme == "redis")
        ):
            raise UsageError(f"{name}: {url!r} is no Redis URL that mngdb takes", hint)
        return Access(
            engine="redis",
            host=parts.hostname,
            port=port,
            user=unquote(parts.username or acl.DEFAULT),
            password=asked.secrets.get(acl.ADMIN),
            database=database,
            tls=parts.scheme == "rediss",
            ca=ca,
            instance=name,
        )

    def unverified(self, access: Access) -> str:
        if access.proof or access.tls or stays_here(access):
            return ""
        return (
            "redis:// is not encrypted: who is on the way reads the passwords of the administrator "
            "and of every app, and reads and changes every key"
        )

    def login(self, asked: Asked, at: Access, app: str) -> Access:
        return replace(at, user=app, password=asked.secrets[app])

    def connect(self, access: Access, timeout: float = 10.0) -> AbstractContextManager[Session]:
        from mngdb.engines.redis import client

        return client.connect(access, timeout)

    def warm(self) -> None:
        from mngdb.engines.redis import client  # noqa: F401

    def bootstrap(self, asked: Asked, deadline: float) -> AbstractContextManager[Session]:
        from mngdb.engines.redis import client

        # the ACL file made the administrator before the server took its first connection
        return client.wait(self.admin(asked), deadline)

    def observe(self, session: Session, asked: Asked) -> Facts:
        from mngdb.engines.redis.observe import observe

        return observe(session, asked)

    def inspect(self, session: Session, asked: Asked) -> RedisFacts:
        from mngdb.engines.redis import inspect

        return inspect.inspect(session, asked)

    def recovery(self, lines: Sequence[str]) -> str:
        """It answers from the first moment, and says itself how far it is (`client.connect`)."""
        return ""

    def blank(self, asked: Asked) -> Facts:
        return blank(asked)

    def reconcile(self, asked: Asked, facts: Facts) -> Outcome:
        return reconcile(asked, facts)

    def unmarked(self, asked: Asked) -> frozenset[str]:
        return frozenset()

    def apply(self, session: Session, changes: Sequence[Change]) -> None:
        """One CONFIG SET for all, so that all or none hold. Raises StepError.

        Waits until a log that is switched on is whole: before that, a restart would lose the data.
        """
        if not changes:
            return
        words = [word for change in changes for word in (change.name, change.wanted)]
        session.ask("CONFIG", "SET", *words)
        if any(c.name == "appendonly" and c.wanted == "yes" for c in changes):
            _wait_for_log(session)

    def vitals(self, session: Session) -> Vitals:
        from mngdb.engines.redis.observe import vitals

        return vitals(session)

    def metrics(self, session: Session, asked: Asked) -> Scraper:
        from mngdb.engines.redis.metrics import Metrics

        return Metrics(session)

    def url(self, access: Access) -> str:
        query = ""
        if access.tls:
            # the names are redis-py's; other clients leave them alone
            ca = f"&ssl_ca_certs={quote(access.ca, safe='')}" if access.ca else ""
            query = f"?ssl_cert_reqs=required{ca}"
        return _plain_url(access) + query

    def env(self, access: Access, prefix: str, grant: RedisGrant) -> Mapping[str, str]:
        found = {
            "URL": self.url(access),
            "HOST": access.host,
            "PORT": str(access.port),
            "USER": access.user,
            "PASSWORD": access.password.reveal() if access.password else "",
            "DB": access.database or "0",
            "TLS": "true" if access.tls else "false",
        }
        if access.ca:
            found["CA"] = access.ca
        head = grant.keys[0].removesuffix("*")
        if head and head != grant.keys[0] and not set(head) & set("*?"):
            found["KEY_PREFIX"] = head
        return {f"{prefix}_{name}": value for name, value in found.items()}

    def shell(self, access: Access, folder: str | None) -> ShellCommand:
        from mngdb.engines.redis import once

        arguments = ["-h", access.host, "-p", str(access.port), "-n", access.database or "0"]
        arguments += ["--user", access.user]
        if access.tls:
            arguments += ["--tls", *(["--cacert", access.ca] if access.ca else [])]
        clients = ("redis-cli", "valkey-cli")
        names = [*(f"{folder}/{name}" for name in clients if folder), *clients]
        programs = [(name, tuple(arguments)) for name in names]
        secret = access.password.reveal() if access.password else ""
        env = {"REDISCLI_AUTH": secret} if secret else {}
        if not access.tls:
            # iredis reads the whole URL from here; it cannot be told of a CA
            programs.append(("iredis", ()))
            env["IREDIS_URL"] = _plain_url(access)
        # without any of them, one command at a time
        programs.append((sys.executable, ("-P", "-m", "mngdb.engines.redis.once")))
        env |= once.environment(access)
        return ShellCommand(
            programs=tuple(programs),
            env=env,
            install=once.INSTALL,
        )

    def diagnose(self, access: Access, grant: RedisGrant) -> str | None:
        from mngdb.engines.redis.diagnose import diagnose

        return diagnose(access, grant)


def _plain_url(access: Access) -> str:
    host = f"[{access.host}]" if ":" in access.host else access.host
    login = ""
    if access.password is not None:
        login = f"{quote(access.user, safe='')}:{quote(access.password.reveal(), safe='')}@"
    scheme = "rediss" if access.tls else "redis"
    return f"{scheme}://{login}{host}:{access.port}/{access.database or '0'}"


def _wait_for_log(session: Session) -> None:
    from mngdb.engines.redis.observe import parse_info

    while True:
        info: dict[str, Any] = parse_info(session.ask("INFO", "persistence"))
        busy = info["aof_rewrite_in_progress"] == "1" or info["aof_rewrite_scheduled"] == "1"
        if not busy:
            break
        time.sleep(_POLL)
    if info["aof_last_bgrewrite_status"] != "ok":
        raise StepError(
            "Redis could not write its log (AOF)", "is the disk full? its log names the error"
        )


ENGINE: Engine[Session, Facts] = RedisEngine()
