"""A database, or a part of one, is made in a server from a dump, by whom `hands` says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import LiteralString

from msgspec import Struct
from psycopg.sql import SQL, Composable, Identifier

from mngdb.engines.postgres import hands, part_around, transfer
from mngdb.engines.postgres.client import Connection, Session, execute, rows
from mngdb.engines.postgres.render import RESTORER
from mngdb.errors import MngdbError, StepError, UsageError
from mngdb.part import Took
from mngdb.words import many

#: Schemas in which apps can be, and whether their owners are none that the maker is a member of.
_SCHEMAS = """
SELECT nspname::text, nspowner::regrole::text, NOT pg_has_role(%s, nspowner, 'USAGE')
FROM pg_namespace n
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND NOT EXISTS (
  SELECT FROM pg_depend
  WHERE classid = 'pg_namespace'::regclass AND objid = n.oid AND deptype = 'e')
"""
#: User mappings have passwords in them.
_SILENT: LiteralString = """
SELECT set_config('log_statement', 'none', false) FROM pg_roles
WHERE rolname = current_user AND rolsuper
"""
_OWNER: LiteralString = "ALTER SCHEMA {} OWNER TO {}"
_MAY = "SELECT has_schema_privilege(%s::name, oid, 'CREATE') FROM pg_namespace WHERE nspname = %s"
_LEND: LiteralString = "GRANT CREATE ON SCHEMA {} TO {}"
_TAKE: LiteralString = "REVOKE CREATE ON SCHEMA {} FROM {}"


class Making(Struct, frozen=True):
    """Who makes it: `maker`, which is the administrator where nobody else has a part in that
    database (`owners` is None then). `owners` own what is theirs from the beginning; the rest is
    the maker's, until the `heir` gets it."""

    target: Session
    maker: Session
    dump: transfer.Dump
    owners: frozenset[str] | None = None
    heir: str | None = None

    def content(
        self,
        database: str,
        took: Took,
        wanted: int | None = None,
        parents: Sequence[tuple[str, str]] = (),
    ) -> int:
        """Bring all but frame and rights, or nothing; how many rows it were. `parents`: tables that
        are there already, to which foreign keys lead. Raises StepError."""
        with transfer.inside(self.maker, database) as connection, transfer.whole(connection):
            for script in self.dump.scripts("pre-data", self.owners):
                transfer.execute(connection, script)
            # beside rows, there are large objects in it
            options = ["--no-owner"] if self.heir is not None else []
            count = self.dump.data(connection, took, *options)
            if wanted not in {None, count}:
                raise StepError(f"{many(wanted or 0, 'row')} were to be brought, but {count} came")
            ends = part_around.unforce(connection, parents)
            for script in self.dump.scripts("post-data", self.owners):
                transfer.execute(connection, script)
            if ends:
                execute(connection, *ends)
        if self.heir is not None:
            hand_over = SQL("REASSIGN OWNED BY {} TO {}")
            names = map(Identifier, (RESTORER, self.heir))
            with transfer.inside(self.target, database) as connection:
                execute(connection, hand_over.format(*names))
        return count


@contextmanager
def making(
    target: Session,
    dump: transfer.Dump,
    owners: Collection[str],
    heir: str,
    beside: Collection[str] = (),
) -> Iterator[Making]:
    """In the block, somebody is there to make it: `owners` own something in it, those `beside`
    something that is there already, the `heir` the database. Raises StepError, UsageError."""
    who = hands.owners(target, {*owners, *beside, heir})
    plain = who.plain & {*owners, heir}
    if not who.others:
        yield Making(target, target, dump)
        return
    inherits = heir in plain
    if not inherits and dump.foreign(plain):
        raise UsageError(
            f"superusers own some of it, and so does somebody else, but the database is {heir}'s: "
            "code of the one would run with the rights of the other",
            "restore it beside, and copy what you need",
        )
    with hands.restorer(target, sorted(plain)) as maker:
        yield Making(target, maker, dump, plain - {heir}, heir if inherits else None)


def database(
    target: Session,
    dump: transfer.Dump,
    name: str,
    roles: Sequence[str],
    took: Took,
    *,
    aside: bool = False,
) -> int:
    """Make the whole database of a dump, which calls it `name`; how many rows it were. `roles` are
    all that its source had; `aside`: the administrator owns it in the end. Raises MngdbError;
    nothing of it is there then."""
    heir = dump.owner(roles)
    try:
        with making(target, dump, dump.owners(roles), heir) as work:
            try:
                count = _filled(work, name, took)
                give(target, name, None if aside else heir)
            except BaseException:
                with suppress(MngdbError):  # before its owner goes
                    drop(target, name)
                raise
        with transfer.inside(target, name) as connection:
            transfer.execute(connection, dump.rights(whole=True))
        for statement in dump.properties():
            transfer.execute(target.changing(), statement)
    except BaseException:
        with suppress(MngdbError):  # the next command removes it
            drop(target, name)
        raise
    return count


def drop(target: Session, name: str) -> None:
    """Drop a database, if there is one of this name. Raises StepError."""
    execute(target.changing(), SQL("DROP DATABASE IF EXISTS {}").format(Identifier(name)))


def give(target: Session, name: str, owner: str | None) -> None:
    """Give a database to somebody; None: take it, as `up` would. Raises StepError."""
    to = Identifier(owner) if owner is not None else SQL("CURRENT_USER")
    execute(target.changing(), SQL("ALTER DATABASE {} OWNER TO {}").format(Identifier(name), to))


def _filled(work: Making, name: str, took: Took) -> int:
    transfer.execute(work.target.changing(), work.dump.created())
    if work.owners is not None:
        give(work.target, name, RESTORER)
    with transfer.inside(work.target, name) as connection:
        execute(connection, SQL(_SILENT).format())
        transfer.execute(connection, work.dump.frame())
        with _opened(connection, work.owners):
            return work.content(name, took)


@contextmanager
def _opened(connection: Connection, owners: frozenset[str] | None) -> Iterator[None]:
    """In the block, who makes the content of a new database, and who shall own some of it, may do
    so in every schema: the rights come last."""
    schemas = rows(connection, _SCHEMAS, RESTORER) if owners is not None else []
    owned = [(schema, SQL(owner)) for schema, owner, closed in schemas if closed]
    _schemas(connection, _OWNER, [(schema, Identifier(RESTORER)) for schema, _ in owned])
    with lent(connection, [schema for schema, *_ in schemas], owners):
        yield
    _schemas(connection, _OWNER, owned)


@contextmanager
def lent(
    connection: Connection, schemas: Sequence[str], owners: frozenset[str] | None
) -> Iterator[None]:
    """In the block, `owners` may have something made for them in these schemas, also where that is
    long over. Raises StepError."""
    lacking = [
        (schema, Identifier(one))
        for schema in schemas
        for one in sorted(owners or ())
        if rows(connection, _MAY, one, schema) == [(False,)]
    ]
    _schemas(connection, _LEND, lacking)
    try:
        yield
    finally:
        _schemas(connection, _TAKE, lacking)


def _schemas(
    connection: Connection, text: LiteralString, words: Sequence[tuple[str, Composable]]
) -> None:
    for schema, role in words:
        execute(connection, SQL(text).format(Identifier(schema), role))
