"""From asked and found to steps. Pure; the steps run later, on a session."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec.structs import replace
from psycopg.sql import SQL, Composed, Identifier

from mngdb.engines import logins
from mngdb.engines.postgres import (
    belonging,
    changes,
    commits,
    departed,
    entry,
    handover,
    maintenance,
    monitor,
    outsiders,
    rights,
    roles,
    slots,
    system_rights,
)
from mngdb.engines.postgres.available import need_available
from mngdb.engines.postgres.client import Session
from mngdb.engines.postgres.facts import MARK, NEW, Carried, Database, Facts, Granted
from mngdb.engines.postgres.render import ADMIN, slot
from mngdb.errors import StepError
from mngdb.model import Action, DesiredInstance, Notice, Outcome, Step, about
from mngdb.release import Release
from mngdb.secret import SECOND, app_of
from mngdb.spec.agent import MONITOR
from mngdb.spec.postgres import PostgresGrant
from mngdb.words import many

Run = Callable[[Session], None]


def reconcile(asked: DesiredInstance, facts: Facts) -> Outcome[Session]:
    """What differs, in the order in which it has to be mended. Raises UsageError."""
    need_available(asked, facts)
    differing = changes.differing(asked, facts)
    notices: list[Notice] = []
    if not asked.managed:
        notices = [
            Notice(
                asked.instance.name,
                f"{change.name} is {change.found}, the file asks for {change.wanted}",
                "the server is external: ask its operator to change it",
            )
            for change in differing
            if not (change.reloadable and facts.superuser)
        ]
        differing = tuple(change for change in differing if change.reloadable and facts.superuser)
    if asked.instance.archived and not facts.replicates:
        notices.append(
            Notice(
                asked.instance.name,
                f"{facts.admin} has no right to read the write-ahead log: there will be no backup",
                "ask its operator for REPLICATION; or set 'logical: only', for pg_dump alone",
            )
        )
    if not facts.checksums:
        notices.append(
            Notice(
                asked.instance.name,
                "data checksums are off",
                f"{'' if asked.managed else 'ask its operator to '}stop the server and run "
                "pg_checksums --enable",
            )
        )
    planner = _Planner(asked, facts)
    steps = tuple(planner.steps())
    release = Release.of("PostgreSQL", facts.version)
    return Outcome(differing, steps, (*notices, *planner.notices), release)


class _Planner:
    def __init__(self, asked: DesiredInstance, facts: Facts) -> None:
        self.asked, self.facts = asked, facts
        self.comment = MARK + asked.mark
        self.grants = asked.instance.granted(PostgresGrant)
        self.users = belonging.Users(self.grants)
        self.notices: list[Notice] = []
        self.held: set[str] = set()  # apps whose role is not ours to change
        self.adopt = asked.instance.adopt
        self.kept: set[str] = set()  # those whose role stays as it is, and may be given rights

    def step(
        self, action: Action, what: str, detail: str, run: Run, destructive: bool = False
    ) -> Step[Session]:
        name, kind = self.asked.instance.name, what.partition(" ")[0]
        return Step(name, "postgres", action, what, detail, run, destructive=destructive, kind=kind)

    def destructive(self, action: Action, what: str, detail: str, run: Run) -> Step[Session]:
        return self.step(action, what, detail, run, destructive=True)

    def statement(
        self, action: Action, what: str, detail: str, *statements: Composed
    ) -> Step[Session]:
        return self.step(action, what, detail, lambda session: session.execute(*statements))

    def notice(self, text: str, hint: str) -> None:
        self.notices.append(Notice(self.asked.instance.name, text, hint))

    def allowed(self, what: str) -> bool:
        return what in self.asked.allow

    def steps(self) -> Iterator[Step[Session]]:
        yield from self.commits()
        if self.asked.managed and not self.facts.admin_password:
            password = roles.password(ADMIN, self.asked.secrets["admin"])
            yield self.statement(
                "change", f"role {ADMIN}", "set the administrator's secret", password
            )
        for app in self.grants:
            yield from about(self.logins(app), app)
        if self.asked.managed:
            yield from maintenance.steps(
                self.step, self.own(maintenance.NAME), self.facts.maintenance
            )
            yield from self.closed("template1", self.own("template1"))
            if not self.facts.statistics:
                yield self.statement(
                    "create",
                    "extension pg_stat_statements",
                    "in the database postgres",
                    SQL(
                        "SET LOCAL search_path = public; "
                        "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"
                    ).format(),
                )
        yield from (entry.let_in(self.statement, one) for one in self.facts.lockouts)
        names = self.users.names(self.facts.databases)
        for name in names if self.facts.entered else ():
            yield from about(self.database(name), self.users.first(name))
        for app, grant in self.grants.items() if not self.facts.entered else ():
            for name in grant.names:
                yield from about(self.entrance(app, name), app)
        yield from monitor.steps(self.step, self.asked, self.facts)
        for name in monitor.shut_out(self.asked, self.facts):
            self.notice(
                f"the login monitor cannot connect to {name}, so its metrics are missing",
                f"those who run the server: GRANT CONNECT ON DATABASE {name} TO monitor",
            )
        for name, found in self.facts.databases.items():
            if name not in names:
                yield from self.left(name, found)
        yield from departed.steps(self.asked, self.facts, self.step, self.notices)
        if self.facts.slot and not self.asked.instance.archived:
            name = slot(self.asked)
            what, text = f"replication slot {name}", "the log is no longer archived"
            yield self.step("drop", what, text, lambda session: slots.drop(session, name))
        if self.facts.main not in names:
            yield from self.system(self.facts.main, self.facts.system)
        yield from outsiders.steps(self.destructive, self.asked, self.facts)
        self.notices += outsiders.notices(self.asked, self.facts)
        self.unnamed()
        if self.asked.managed:
            for text, hint in outsiders.options(self.facts, self.ours):
                self.notice(text, hint)

    def commits(self) -> Iterator[Step[Session]]:
        """Where they wait for the store, and who has it written has died, they are set free, or
        people are told."""
        mode, followed = self.asked.instance.recovery_point, self.facts.followed
        if mode == "stream" or not self.facts.settings:
            return
        why = "the agent does not follow the log"
        if mode == "sync" and self.facts.awaited and not followed:
            free = commits.PostgresCommits().free
            run: Run = lambda session: free(session, self.asked)  # noqa: E731
            yield self.step("change", "commits", f"no longer wait for the store: {why}", run)
        elif mode == "sync" and not self.facts.awaited:
            text = "commits do not wait for the store yet: the agent has them wait"
            self.notice(f"{text} once it has written the log there", "mngdb status")
        elif mode == "strict" and not followed:
            self.notice(f"commits wait for the store, and {why} yet", "mngdb status")

    def unnamed(self) -> None:
        """Databases of apps that were given another one, or that were removed and pruned."""
        found = belonging.unused(self.grants, self.users, self.facts)
        if found:
            names = ", ".join(f"{name} ({size})" for name, size in found)
            drop = f'DROP DATABASE "{found[0][0]}"'
            self.notice(
                f"no app in the file uses the database {names}: the data is kept, metrics of its "
                "tables are not collected",
                f"to remove it with its data: mngdb shell {self.asked.instance.name} -- -c "
                f"{shlex.quote(drop)}",
            )

    @property
    def ours(self) -> frozenset[str]:
        """Every role of this stack, and '' for PUBLIC on a server of ours."""
        mine = {self.facts.admin, MONITOR, *self.facts.roles, *self.grants} - self.held
        return frozenset(mine | ({""} if self.asked.managed else set()))

    def system(self, name: str, found: Sequence[Granted]) -> Iterator[Step[Session]]:
        """Rights on the server's own objects, as seen from the database `name`, are revoked."""
        if not self.facts.superuser:
            return
        for role, words, statements in system_rights.extras(found, self.ours):
            if statements:
                detail = f"{role or 'PUBLIC'}: {words}"
                run = rights.within(name, *statements)
                yield self.step("revoke", f"database {name}", detail, run)

    # --- roles

    def logins(self, app: str) -> Iterator[Step[Session]]:
        """The role that owns what the app makes, and the second login, which becomes that role."""
        opened, second = self.asked.logins(app), app + SECOND
        there, secret, grant = self.facts.roles.get(second), opened.get(app), self.grants[app]
        exposed = there is not None and there.login
        first = [*self.role(app, roles.Wanted(self.comment, secret, grant, exposed=exposed))]
        if app in self.held or not (second in opened or there):
            yield from first
            return
        like = self.carried(app)
        wanted = roles.Wanted(
            self.comment, opened.get(second), grant, owner=app, owns=secret, like=like
        )
        other = [*self.role(second, wanted)]
        # one is open before the other is closed
        closing = app in self.facts.roles and app not in opened
        yield from [*other, *first] if closing else [*first, *other]

    def carried(self, app: str) -> tuple[Carried, ...] | None:
        """The settings of an app's role; None: they are not ours to give another one."""
        if not self.facts.superuser:
            return None
        found = self.facts.roles.get(app)
        return found.carried if found else ()

    def role(self, name: str, wanted: roles.Wanted) -> Iterator[Step[Session]]:
        found = self.facts.roles.get(name)
        if found is None:
            yield roles.create(self.step, name, wanted, self.facts.superuser)
            return
        login = roles.login_of(self.asked, name, found)
        if logins.needs_consent(self.asked, login, owning=True):
            (self.kept if self.adopt else self.held).add(name)
            yield logins.take_over(self.asked, login)
            if self.adopt and found.password is False and name not in self.asked.unknown:
                self.notices.append(logins.other_password(self.asked, name))
            return
        if found.password is None and wanted.secret is not None:
            self.notice(
                f"cannot check whether the secret of {name} matches the role's",
                "the server does not accept this address; try from the app itself",
            )
        comment = MARK + logins.mark(self.asked, login)
        yield from roles.mend(self.step, name, replace(wanted, comment=comment), found)

    # --- databases

    def own(self, name: str) -> Database:
        """A database that every server of ours has. Raises StepError where it is missing."""
        found = self.facts.databases.get(name)
        if found is None:
            raise StepError(
                f"the server has no database {name}, which every one has that mngdb made",
                f"if somebody dropped it: CREATE DATABASE {name}; if not, the data is not the "
                "stack's own",
            )
        return found

    def using(self, name: str) -> dict[str, PostgresGrant]:
        """The apps of a database whose logins are taken over by now."""
        return {app: one for app, one in self.users.of(name).items() if app not in self.held}

    def closed(
        self, name: str, found: Database, *, passing: bool = False
    ) -> Iterator[Step[Session]]:
        """CONNECT and TEMPORARY for everybody are taken away. `passing`: the database may be gone
        by then."""
        if any(who == "" for who, _ in found.granted):
            statement = SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(name))
            if passing:
                statement = entry.if_there(statement)
            users = self.users.of(name)
            text = f"PUBLIC's right to connect{outsiders.locked_out(found, users)}"
            yield self.statement("revoke", f"database {name}", text, statement)

    def shut(self, name: str, found: Database) -> Iterator[Step[Session]]:
        """A database of a login of this stack, which no app gets, is closed to everybody else."""
        if found.owner in self.facts.roles.keys() - self.held and not self.adopt:
            yield from self.closed(name, found, passing=True)

    def database(self, name: str) -> Iterator[Step[Session]]:
        users = self.using(name)
        if not users:
            return
        owner = next((app for app, grant in users.items() if grant.access == "owner"), None)
        found, what = self.facts.databases.get(name), f"database {name}"
        if owner and found and belonging.elses(self.grants[owner], owner, name, found, self.facts):
            self.notice(
                f"the database {name} of {found.owner} is named like those of {owner}, which "
                "does not get it",
                f"name it under 'databases' of {owner}, or choose another beginning there",
            )
            yield from self.shut(name, found)
            return
        if self.adopt and found is not None and not self.allowed(what):
            yield from self.adopted(name, owner, users, found)
            return
        if found is None:
            yield self.make(name, owner)
            granted = frozenset() if self.adopt else NEW.granted
            found = Database(owner or self.facts.admin, granted, NEW.inside)
        elif owner and self.foreign(found) and not self.allowed(what):
            yield self.step(
                "change",
                what,
                f"take over a database of {found.owner}, with what {found.owner} created in it",
                lambda _: None,
                destructive=True,
            )
            return
        mended = tuple(self.reachable(name, found))
        yield from mended
        if owner and found.owner != owner:
            # neither the database nor what is in it changes hands until somebody agreed
            code = self.code(found, owner)
            if code and not self.allowed(what):
                text = f"owner {found.owner} → {owner}{code}"
                yield self.destructive("grant", what, text, lambda _: None)
                return
            if mended and found.inside is None:
                return  # what is in it shows once it is reachable
        yield from self.owned(name, owner, found)
        mine = self.asked.managed or owner or found.owner in {self.facts.admin, *self.facts.roles}
        if mine:
            yield from self.closed(name, found)
        if found.unseen:
            if not mended:
                yield entry.unseen(self.step, what, found.unseen)
            return
        ours = self.facts.roles.keys() - self.held
        yield from rights.steps(self.step, name, owner, users, found, ours, everybody=bool(mine))
        if found.inside:
            also = self.facts.system if name == self.facts.main else ()
            yield from self.system(name, (*found.inside.system, *also))

    def adopted(
        self, name: str, owner: str | None, users: Mapping[str, PostgresGrant], found: Database
    ) -> Iterator[Step[Session]]:
        """A database that others made: who lacks a right is given it, the rest stays."""
        what = f"database {name}"
        if owner and found.owner != owner:
            text = f"owner {found.owner} → {owner}"
            yield self.destructive("grant", what, text, lambda _: None)  # `database`, once allowed
        yield from (replace(step, destructive=True) for step in self.reachable(name, found))
        yield from (replace(step, destructive=True) for step in self.closed(name, found))
        if found.inside is None:
            if found.open and "no right to connect" not in found.unseen:
                yield entry.unseen(self.step, what, found.unseen)
            elif found.open:
                self.notice(
                    f"the {what} cannot be inspected, so its rights stay: {found.unseen}",
                    f"ask its operator to let {self.facts.admin} connect to it",
                )
            return
        levels = found.inside.levels
        lacking = {
            app: grant
            for app, grant in users.items()
            if app != owner
            and not (app in self.kept and app in levels and levels[app].enough(grant.access))
        }
        ours = self.facts.roles.keys() - self.kept - self.held - users.keys()
        for step in rights.steps(self.step, name, None, lacking, found, ours, everybody=True):
            theirs = step.detail.partition(":")[0] in self.kept
            yield logins.mended(step) if theirs else step
        yield from self.system(name, found.inside.system)

    def code(self, found: Database, owner: str) -> str:
        """What other roles of this stack wrote in a database that `owner` gets, in words."""
        inside = found.inside
        own = {owner, owner + SECOND}
        writers = sorted(set(inside.owners) & set(self.facts.roles) - own) if inside else ()
        texts = (rights.foreign_code(inside, writer, owner) for writer in writers)
        return next(filter(None, texts), "")

    def reachable(self, name: str, found: Database) -> Iterator[Step[Session]]:
        ours = self.asked.managed or found.owner in self.facts.roles
        return entry.reachable(self.statement, name, found, ours=ours)

    def entrance(self, app: str, name: str) -> Iterator[Step[Session]]:
        """What keeps an app from its database, for a look at the logins alone."""
        found = self.facts.databases.get(name)
        if found is not None and app not in self.held and not self.foreign(found):
            resets = (
                entry.let_in(self.statement, o)
                for o in self.facts.lockouts
                if (o.database, o.role) == (name, "")
            )
            rights_on = rights.connecting(self.step, name, app, self.grants[app].access, found)
            for step in (*self.reachable(name, found), *resets, *rights_on):
                yield replace(step, object=f"role {app}")

    def make(self, name: str, owner: str | None) -> Step[Session]:
        # template0: nobody is ever connected to it, which would make the copy fail
        ours = self.asked.managed
        template = SQL(" TEMPLATE template0") if ours else SQL("")
        whose = SQL(" OWNER {}").format(Identifier(owner)) if owner else SQL("")
        statement = SQL("CREATE DATABASE {}{}{}").format(Identifier(name), template, whose)
        close = SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(name))

        def run(session: Session) -> None:
            if ours:
                session.copy(name, statement)
            else:
                session.alone(statement)
            if self.adopt:  # nothing is revoked there later
                session.execute(close)

        text = f"owned by {owner or 'the administrator'}"
        return self.step("create", f"database {name}", text, run)

    def owned(self, name: str, owner: str | None, found: Database) -> Iterator[Step[Session]]:
        what = f"database {name}"
        if owner and found.owner == self.facts.admin:
            text = f"owner {found.owner} → {owner}, with what {found.owner} created in it"
            yield self.step("grant", what, text, handover.from_admin(name, owner))
        elif owner and found.owner != owner:
            text = f"owner {found.owner} → {owner}"
            yield self.disowned("grant", name, text, found, owner)
        elif (
            owner is None and found.owner in self.grants and not belonging.maker(self.grants, found)
        ):
            text = f"no longer owned by {found.owner}; its data is kept"
            yield self.disowned("revoke", name, text, found, self.facts.admin)
        if owner and found.owner != self.facts.admin:
            yield from self.usable(name, owner, found)

    def usable(self, name: str, owner: str, found: Database) -> Iterator[Step[Session]]:
        """Tables that the app which owns the database may not work with: restored by the
        administrator, as a rule."""
        refused, what = found.inside.refused if found.inside else {}, f"database {name}"
        admin = self.facts.admin
        if refused.get(admin):
            text = f"what {admin} created in it → {owner}, who has no rights on it"
            yield self.step("grant", what, text, handover.from_admin(name, owner))
        if refused.get(owner):
            text = f"{owner}: its rights on {many(refused[owner], 'table')} of its own"
            yield self.step("grant", what, text, handover.own_rights(name, owner))
        for text, hint in outsiders.refused(name, owner, found, self.ours):
            self.notice(text, hint)

    def disowned(
        self, action: Action, name: str, text: str, found: Database, owner: str
    ) -> Step[Session]:
        statements, before, place = [handover.owned_by(name, owner)], found.owner, None
        if before not in self.facts.roles:
            return self.statement(action, f"database {name}", text, *statements)
        users = self.using(name)
        if stays := rights.keeping(name, app_of(before), users):
            statements.append(stays.connecting)
            if found.inside:
                statements.append(stays.entering)
                place = name
        run: Run = lambda session: handover.take(  # noqa: E731
            session, before, *statements, database=place, ends=None
        )
        return self.step(action, f"database {name}", text, run)

    def left(self, name: str, found: Database) -> Iterator[Step[Session]]:
        """A database that the file does not name is closed to the apps that the file has, but for
        the app that made it."""
        apps = [app for app in self.facts.roles if app in self.grants and app not in self.held]
        maker = belonging.maker(self.grants, found)
        if maker in apps:
            if found.owner != maker:
                text = f"owner {found.owner} → {maker}"
                yield self.disowned("grant", name, text, found, maker)
            if not found.open:
                yield entry.opened(self.statement, name)
            yield from self.closed(name, found, passing=True)
        elif found.owner in apps:
            yield from self.owned(name, None, found)
        else:
            yield from self.shut(name, found)
        for app in apps:
            yield from rights.left(self.step, name, app, found)

    def foreign(self, found: Database) -> bool:
        """Whether a database belongs to somebody else, on a server that is not ours."""
        return not self.asked.managed and found.owner not in self.facts.roles
