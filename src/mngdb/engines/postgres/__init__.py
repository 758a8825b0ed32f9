"""PostgreSQL: what it needs, how it is looked at, how it is changed.

The driver is imported when a session is opened, not when this package is.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from mngdb.container import Container
from mngdb.engines.postgres import access as logins
from mngdb.engines.postgres import render
from mngdb.engines.postgres.available import need_extensions
from mngdb.engines.postgres.container import PLACE, container
from mngdb.engines.protocol import Engine, Scraper
from mngdb.model import Access, Asked, Change, Outcome, ShellCommand, Unit, Vitals
from mngdb.spec.agent import MONITOR
from mngdb.spec.base import EngineName
from mngdb.spec.postgres import PostgresGrant
from mngdb.spec.stack import Instance

if TYPE_CHECKING:
    from mngdb.engines.postgres.client import Session
    from mngdb.engines.postgres.facts import Facts
    from mngdb.facts.postgres import PostgresFacts

_REQUIRE_AUTH = "PGREQUIREAUTH"


class PostgresEngine:
    """The engine `postgres`."""

    name: EngineName = "postgres"
    title = "PostgreSQL"
    stop_signal: int = signal.SIGINT  # "fast": sessions are ended, a checkpoint is written
    metric = "pg"

    def secrets(self, asked: Instance) -> Iterable[str]:
        return ()

    def render(self, asked: Asked) -> Unit:
        need_extensions(asked)
        return render.unit(asked)

    def settings(self, asked: Asked) -> Mapping[str, str]:
        return render.settings(asked)

    place = PLACE

    def container(self, asked: Asked, unit: Unit, *, first: bool = False) -> Container:
        return container(asked, unit, first=first)

    def rights(self, asked: Asked) -> list[str]:
        lines = [
            f"pg_hba.conf: {line}" for line in render.hba(asked).splitlines() if line[0] != "#"
        ]
        return lines if asked.managed else []

    def admin(self, asked: Asked) -> Access:
        require = {logins.REQUIRE_AUTH: logins.REQUIRED}
        return asked.access(render.ADMIN, "postgres", **require)

    def external(self, asked: Asked, url: str) -> Access:
        return logins.external(asked, url)

    def unverified(self, access: Access) -> str:
        return logins.unverified(access)

    def login(self, asked: Asked, at: Access, app: str) -> Access:
        # drivers of apps that are not made of libpq refuse the parameter, or hand it to the server
        options = {k: v for k, v in at.options.items() if k != logins.REQUIRE_AUTH}
        at = replace(at, user=app, password=asked.secrets[app], options=options)
        if app == MONITOR:
            return at
        return replace(at, database=cast(PostgresGrant, asked.instance.grants[app]).database)

    def connect(self, access: Access, timeout: float = 10.0) -> AbstractContextManager[Session]:
        from mngdb.engines.postgres import client

        return client.session(access, timeout)

    def warm(self) -> None:
        from mngdb.engines.postgres import client  # noqa: F401

    @contextmanager
    def bootstrap(self, asked: Asked, deadline: float) -> Iterator[Session]:
        """Over the socket: its owner needs no password, so a lost secret can be mended. A tunnel
        ends at the server's TCP port, where everybody needs one, and TLS where it is on."""
        from mngdb.engines.postgres import client

        access = self.admin(asked)
        if asked.site is None:
            raise ValueError("a server that somebody else runs is not bootstrapped")
        inside = access
        if not asked.tunnel:
            inside = replace(access, password=None, socket=asked.site.run, tls=False)
        with client.wait(inside, deadline, 5) as session:
            yield session

    def observe(self, session: Session, asked: Asked) -> Facts:
        from mngdb.engines.postgres import observe

        return observe.observe(session, asked)

    def inspect(self, session: Session, asked: Asked) -> PostgresFacts:
        from mngdb.engines.postgres import inspect

        return inspect.inspect(session, asked)

    def recovery(self, lines: Sequence[str]) -> str:
        """What its log tells of a start that takes long."""
        from mngdb.engines.postgres.recovery import recovery

        return recovery(lines)

    def blank(self, asked: Asked) -> Facts:
        from mngdb.engines.postgres import observe

        return observe.blank(asked)

    def reconcile(self, asked: Asked, facts: Facts) -> Outcome:
        from mngdb.engines.postgres import reconcile

        return reconcile.reconcile(asked, facts)

    def unmarked(self, asked: Asked) -> frozenset[str]:
        return frozenset()

    def apply(self, session: Session, changes: Sequence[Change]) -> None:
        from mngdb.engines.postgres import apply

        apply.apply(session, changes)

    def vitals(self, session: Session) -> Vitals:
        version, uptime = session.rows(
            "SELECT current_setting('server_version'), "
            "extract(epoch FROM now() - pg_postmaster_start_time())::float8"
        )[0]
        return Vitals(version.split()[0], max(0.0, uptime), self.title)

    def metrics(self, session: Session, asked: Asked) -> Scraper:
        from mngdb.engines.postgres import monitor
        from mngdb.engines.postgres.metrics import Metrics

        return Metrics(session, monitor.databases(asked))

    def url(self, access: Access) -> str:
        return logins.url(access)

    def env(self, access: Access, prefix: str, grant: PostgresGrant) -> Mapping[str, str]:
        found = {
            "URL": self.url(access),
            "HOST": access.host,
            "PORT": str(access.port),
            "USER": access.user,
            "PASSWORD": access.password.reveal() if access.password else "",
            "DATABASE": grant.database,
            "SSLMODE": logins.sslmode(access),
        }
        if access.ca:
            found["SSLROOTCERT"] = access.ca
        # libpq's own variable: what is made of libpq gives no password to an impostor
        require = {_REQUIRE_AUTH: logins.REQUIRED}
        return {f"{prefix}_{name}": value for name, value in found.items()} | require

    def shell(self, access: Access, folder: str | None) -> ShellCommand:
        env = {
            "PGHOST": access.socket or access.host,
            "PGPORT": str(access.port),
            "PGUSER": access.user,
            "PGDATABASE": access.database,
            "PGAPPNAME": "mngdb shell",
        }
        if access.password:
            env |= {"PGPASSWORD": access.password.reveal(), _REQUIRE_AUTH: logins.REQUIRED}
        if access.tls:
            env |= {"PGSSLMODE": logins.sslmode(access), "PGSSLROOTCERT": access.ca or "system"}
        elif "sslmode" in access.options:
            env["PGSSLMODE"] = access.options["sslmode"]  # psql's own default encrypts if it can
        own = ((f"{folder}/psql", ()),) if folder else ()
        return ShellCommand(
            (*own, ("psql", ()), ("pgcli", ())), env, "install postgresql-client (it has psql)"
        )

    def diagnose(self, access: Access, grant: PostgresGrant) -> str | None:
        from mngdb.engines.postgres import diagnose

        return diagnose.diagnose(access, grant)


ENGINE: Engine[Session, Facts] = PostgresEngine()
