"""From asked and found to steps. Pure; the steps run later, on a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

from psycopg import sql
from psycopg.sql import SQL, Identifier, Literal

from mngdb.engines.postgres import changes, client, rights, scram
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.observe import MARK, NEW, Database, Facts, Role
from mngdb.engines.postgres.render import ADMIN, settings
from mngdb.model import Action, Asked, Outcome, Remark, Step
from mngdb.spec.postgres import PostgresGrant

Run = Callable[[Session], None]


def reconcile(asked: Asked, facts: Facts) -> Outcome:
    """What differs, in the order in which it has to be mended."""
    differing = changes.compare(settings(asked), facts.settings) if facts.settings else ()
    remarks: list[Remark] = []
    if not asked.managed:
        remarks = [
            Remark(
                asked.instance.name,
                f"{change.name} is {change.found}, asked for {change.wanted}",
                "the server is not ours: whoever runs it has to change it and restart",
            )
            for change in differing
            if not change.hot
        ]
        differing = tuple(change for change in differing if change.hot)
    if not facts.checksums:
        remarks.append(
            Remark(
                asked.instance.name,
                "data checksums are off",
                "stop the server and run pg_checksums --enable",
            )
        )
    planner = _Planner(asked, facts)
    steps = tuple(planner.steps())
    return Outcome(differing, steps, (*remarks, *planner.remarks))


class _Planner:
    def __init__(self, asked: Asked, facts: Facts) -> None:
        self.asked, self.facts = asked, facts
        self.grants = {a: cast(PostgresGrant, g) for a, g in asked.instance.grants.items()}
        self.remarks: list[Remark] = []
        self.held: set[str] = set()  # apps whose role is not ours to change

    def step(
        self, action: Action, what: str, detail: str, run: Run, destructive: bool = False
    ) -> Step:
        name = self.asked.instance.name
        return Step(name, "postgres", action, what, detail, run, destructive=destructive)

    def steps(self) -> Iterator[Step]:
        if self.asked.managed and not self.facts.admin_password:
            secret = self.asked.secrets["admin"]
            statement = self._password(ADMIN, scram.verifier(secret))
            yield self.step(
                "change",
                f"role {ADMIN}",
                "set the administrator's secret",
                lambda session: session.execute(statement),
            )
        for app in self.grants:
            yield from self.role(app)
        if self.asked.managed:
            for name in ("postgres", "template1"):
                yield from self.closed(name, self.facts.databases[name])
            yield from self.statistics()
        for name in sorted({grant.database for grant in self.grants.values()}):
            yield from self.database(name)
        yield from self.departed()

    # --- roles

    def role(self, app: str) -> Iterator[Step]:
        found, grant = self.facts.roles.get(app), self.grants[app]
        mark = MARK + self.asked.stack
        name, what = Identifier(app), f"role {app}"
        wanted = self._wanted_settings(grant)
        password = (
            scram.verifier(self.asked.secrets[app]) if not found or not found.password else ""
        )
        if found is None:
            yield self.step(
                "create",
                what,
                "login with the secret of the app",
                lambda s: s.execute(
                    SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT {} PASSWORD {}").format(
                        name, Literal(grant.connections), Literal(password)
                    ),
                    SQL("COMMENT ON ROLE {} IS {}").format(name, Literal(mark)),
                    *self._set(app, wanted),
                ),
            )
            return
        adopted = found.mark == mark
        if not adopted and what not in self.asked.allow:
            self.held.add(app)
            yield self.step(
                "change",
                what,
                "take over a role that this stack did not make",
                lambda _: None,
                destructive=True,
            )
            return
        parts: list[tuple[str, sql.Composed]] = []
        if not adopted:
            parts.append(
                (
                    "mark as this stack's",
                    SQL("COMMENT ON ROLE {} IS {}").format(name, Literal(mark)),
                )
            )
        if not found.login:
            parts.append(("may log in again", SQL("ALTER ROLE {} LOGIN").format(name)))
        if password:
            parts.append(("set the secret", self._password(app, password)))
        if found.connections != grant.connections:
            parts.append(
                (
                    f"connection limit {found.connections} → {grant.connections}",
                    SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(
                        name, Literal(grant.connections)
                    ),
                )
            )
        drift = {k: v for k, v in wanted.items() if found.settings.get(k) != (v or None)}
        if drift:
            text = ", ".join(f"{key} = {value or 'default'}" for key, value in drift.items())
            parts += [(text, statement) for statement in self._set(app, drift)]
        if parts:
            statements = [statement for _, statement in parts]
            texts = ", ".join(dict.fromkeys(text for text, _ in parts))
            yield self.step("change", what, texts, lambda s: s.execute(*statements))
        yield from self._excess(app, found)

    def _excess(self, app: str, found: Role) -> Iterator[Step]:
        name, what = Identifier(app), f"role {app}"
        if found.special:
            off = [SQL("NO" + word) for word in found.special]  # type: ignore[arg-type]
            statement = SQL("ALTER ROLE {} {}").format(name, SQL(" ").join(off))
            yield self.step(
                "revoke", what, ", ".join(found.special), lambda s: s.execute(statement)
            )
        if found.member_of:
            groups = SQL(", ").join(Identifier(group) for group in found.member_of)
            leave = SQL("REVOKE {} FROM {}").format(groups, name)
            yield self.step(
                "revoke",
                what,
                "membership of " + ", ".join(found.member_of),
                lambda s: s.execute(leave),
            )

    @staticmethod
    def _wanted_settings(grant: PostgresGrant) -> dict[str, str]:
        """Role settings in milliseconds; '' for the server's default."""
        times = {
            "statement_timeout": grant.statement_timeout,
            "lock_timeout": grant.lock_timeout,
            "idle_in_transaction_session_timeout": grant.idle_in_transaction_timeout,
        }
        return {k: str(int(v.total_seconds() * 1000)) if v else "" for k, v in times.items()}

    @staticmethod
    def _set(app: str, wanted: dict[str, str]) -> list[sql.Composed]:
        return [
            SQL("ALTER ROLE {} SET {} = {}").format(Identifier(app), Identifier(k), Literal(v))
            if v
            else SQL("ALTER ROLE {} RESET {}").format(Identifier(app), Identifier(k))
            for k, v in wanted.items()
        ]

    @staticmethod
    def _password(role: str, verifier: str) -> sql.Composed:
        return SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(role), Literal(verifier))

    # --- databases

    def closed(self, name: str, found: Database) -> Iterator[Step]:
        """CONNECT and TEMPORARY for everybody are taken away."""
        if any(who == "" for who, _ in found.granted):
            statement = SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(name))
            yield self.step(
                "revoke",
                f"database {name}",
                "everybody's right to connect",
                lambda s: s.execute(statement),
            )

    def statistics(self) -> Iterator[Step]:
        """pg_stat_statements, whose library the settings load."""
        if self.facts.statistics:
            return
        statement = SQL("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").format()
        yield self.step(
            "create",
            "extension pg_stat_statements",
            "in the database postgres",
            lambda s: s.execute(statement),
        )

    def database(self, name: str) -> Iterator[Step]:
        users = {a: g for a, g in self.grants.items() if g.database == name and a not in self.held}
        owner = next((app for app, grant in users.items() if grant.access == "owner"), None)
        found, what = self.facts.databases.get(name), f"database {name}"
        if found is None:
            make = SQL("CREATE DATABASE {}").format(Identifier(name))
            if owner:
                make += SQL(" OWNER {}").format(Identifier(owner))
            yield self.step(
                "create", what, f"owned by {owner or 'the administrator'}", lambda s: s.alone(make)
            )
            found = Database(owner or ADMIN, NEW.granted, NEW.inside)
        elif owner and found.owner != owner:
            hand = SQL("ALTER DATABASE {} OWNER TO {}").format(Identifier(name), Identifier(owner))
            yield self.step(
                "grant", what, f"owner {found.owner} → {owner}", lambda s: s.execute(hand)
            )
        elif owner is None and found.owner in self.grants:
            back = SQL("ALTER DATABASE {} OWNER TO CURRENT_USER").format(Identifier(name))
            yield self.step(
                "revoke", what, f"no longer owned by {found.owner}", lambda s: s.execute(back)
            )
        yield from self.closed(name, found)
        ours = {app: role for app, role in self.facts.roles.items() if app not in self.held}
        yield from rights.steps(self.step, name, owner, users, found, ours)

    # --- logins whose app left the file

    def departed(self) -> Iterator[Step]:
        for name, role in self.facts.roles.items():
            if name in self.grants or role.mark != MARK + self.asked.stack:
                continue
            owned = [d for d, found in self.facts.databases.items() if found.owner == name]
            what = f"role {name}"
            if "*" in self.asked.allow or what in self.asked.allow:
                databases = sorted(d for d, found in self.facts.databases.items() if found.inside)
                yield self.step(
                    "drop",
                    what,
                    "its app left the file; its databases stay",
                    lambda s, n=name, d=databases: _drop(s, n, d),
                    destructive=True,
                )
                continue
            if role.login:
                yield self.step(
                    "revoke",
                    what,
                    "its app left the file: it may not log in",
                    lambda s, n=name: _shut(s, n),
                )
            kept = f" and owns {', '.join(owned)}" if owned else ""
            self.remarks.append(
                Remark(
                    self.asked.instance.name,
                    f"the role {name} has no app in the file{kept}; it cannot log in",
                    "'mngdb up --prune' drops the login, never a database",
                )
            )


def _shut(session: Session, name: str) -> None:
    """End a login: no password, no login, no session left."""
    session.execute(SQL("ALTER ROLE {} NOLOGIN PASSWORD NULL").format(Identifier(name)))
    session.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", name)


def _drop(session: Session, name: str, databases: list[str]) -> None:
    """Drop a login; what it owns goes to the administrator, so that nothing is lost."""
    _shut(session, name)
    role = Identifier(name)
    statements = [
        SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(role),
        SQL("DROP OWNED BY {}").format(role),
    ]
    for database in dict.fromkeys([*databases, session.main.info.dbname]):
        with session.inside(database) as connection:
            client.execute(connection, *statements)
    session.execute(SQL("DROP ROLE {}").format(role))
