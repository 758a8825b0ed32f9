"""A database or a table, brought from a restored server back into the live one."""

from __future__ import annotations

import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace
from psycopg import sql

from mngdb.engines.postgres import hands, making, part_around, part_table, superusers_own, transfer
from mngdb.engines.postgres.client import Session, execute, rows
from mngdb.engines.postgres.part_table import quoted
from mngdb.errors import ConnectError, MngdbError, StepError, UsageError
from mngdb.model import DesiredInstance
from mngdb.part import Agree, Brought, Part, Took
from mngdb.spec.postgres import PostgresGrant
from mngdb.spec.several import named as names

#: What a database is called until it is whole.
_BUILDING = "mngdb_restoring_"
_SERVERS_OWN = frozenset({"postgres", "template0", "template1"})
_THERE = "SELECT 1 FROM pg_database WHERE datname = %s"
#: Left by killed commands: nobody is in them.
_LEFT = """
SELECT datname FROM pg_database d WHERE starts_with(datname, %s) AND NOT EXISTS (
    SELECT FROM pg_stat_activity WHERE datid = d.oid AND backend_type = 'client backend')
"""
_TABLES = """
SELECT count(*), pg_database_size(current_database()) FROM pg_class c
JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
"""
_RELATION = """
SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE nspname = %s AND relname = %s
"""
_OURS = "the administrator owns it, as no app of the file does"
_WORD = re.compile(r'"((?:[^"]|"")+)"|([^."]+)')
_PLAIN = re.compile(r"\w+")


class _Address(Struct, frozen=True):
    """Where a table is."""

    database: str
    schema: str
    table: str

    @property
    def text(self) -> str:
        """As people write it."""
        words = (self.database, self.schema, self.table)
        return ".".join(one if _PLAIN.fullmatch(one) else quoted(one) for one in words)


def named(session: Session, asked: DesiredInstance, part: Part) -> str:
    """See Backup.named."""
    if part.kind == "database":
        if part.text in _SERVERS_OWN:
            raise UsageError(f"{part.text} is the server's own database: restore beside instead")
        return part_table.name(part, part.text, lambda it: bool(session.rows(_THERE, it)))
    at = _address(session, asked, part.text)
    try:
        with session.inside(at.database) as inside:
            taken = part_table.name(
                part, at.table, lambda it: bool(rows(inside, _RELATION, at.schema, it))
            )
    except ConnectError as error:
        if error.kind != "database":
            raise
        raise UsageError(
            f"the live server has no database {at.database} that the table could go into: "
            f"{error.message}",
            f"--database {at.database} brings back all of it",
        ) from None
    return replace(at, table=taken).text


def bring(
    source: Session,
    target: Session,
    asked: DesiredInstance,
    part: Part,
    agree: Agree,
    took: Took,
) -> Brought:
    """See Backup.bring."""
    _roll_back_prepared(source)
    if part.kind == "database":
        return _database(source, target, asked, part, agree, took)
    at = _address(target, asked, part.text)
    wanted = _words(part.renamed)[-1]
    with transfer.inside(target, at.database) as live:
        used = part_table.used(live, part.suffix)
        with transfer.inside(source, at.database) as inside:
            table = part_table.find(inside, at.schema, at.table, wanted, part.suffix, used)
            copy = wanted != at.table
            around = part_around.look(inside, live, at.schema, wanted, copy=copy)
    plan = Brought(
        name=part.renamed,
        counts={"rows": table.rows, "bytes": table.size},
        notes=(*table.notes, *around.notes),
    )
    agree(plan)
    with (
        tempfile.TemporaryDirectory() as folder,
        transfer.inside(target, at.database) as now,
    ):
        dump = transfer.of_server(asked, at.database, Path(folder), table.options)
        owners = dump.owners(hands.roles(source))
        heir = hands.owner(target, at.database)
        with (
            making.making(target, dump, owners, heir, hands.owning(now)) as work,
            making.lent(now, [at.schema], work.owners),
        ):
            count = work.content(at.database, took, table.rows, around.parents)
        try:
            transfer.execute(now, dump.rights(whole=False))
            for one in around.published:
                execute(now, one.joins)
        except BaseException:
            whole = sql.Identifier(at.schema, wanted)
            execute(now, sql.SQL("DROP TABLE {}").format(whole))
            raise
    return replace(plan, counts={**plan.counts, "rows": count})


def _roll_back_prepared(source: Session) -> None:
    """Of a restored server that only gives: nobody sees what they did, and their locks hold up
    whoever reads."""
    for gid, database in source.rows("SELECT gid, database FROM pg_prepared_xacts"):
        with source.inside(database) as inside:
            execute(inside, sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))


def _database(
    source: Session,
    target: Session,
    asked: DesiredInstance,
    part: Part,
    agree: Agree,
    took: Took,
) -> Brought:
    if not source.rows(_THERE, part.text):
        raise UsageError(f"there was no database {part.text} at that moment")
    building = f"{_BUILDING}{secrets.token_hex(4)}"
    _rename(source, part.text, building)  # pg_dump then writes this name wherever it says its own
    with tempfile.TemporaryDirectory() as folder:
        roles = hands.roles(source)
        with transfer.inside(source, building) as inside:
            ((tables, size),) = rows(inside, _TABLES)
            notes = superusers_own.subscriptions(inside)
            apart = superusers_own.Apart()
            if hands.owners(target, hands.owning(inside) & {*hands.roles(target)}).others:
                apart = superusers_own.set_apart(inside)
        aside = part.renamed != part.text and not any(
            one.covers(part.renamed) for one in asked.instance.granted(PostgresGrant).values()
        )
        if aside:
            notes = (_OURS, *notes)
        plan = Brought(
            name=part.renamed,
            counts={"tables": tables, "bytes": size},
            notes=(*notes, *apart.notes),
        )
        agree(plan)
        hands.alone(target)  # who is in a database keeps it from being removed
        _tidy(target)
        dump = transfer.of_server(asked, building, Path(folder))
        dump.above(apart.casts)
        count = making.database(target, dump, building, roles, took, aside=aside)
    try:
        _rename(target, building, part.renamed)
    except BaseException:
        with suppress(MngdbError):  # the next command removes it
            making.drop(target, building)
        raise
    return replace(plan, counts={**plan.counts, "rows": count})


def _tidy(target: Session) -> None:
    """Remove what killed commands left."""
    for (name,) in target.rows(_LEFT, _BUILDING):
        with suppress(StepError):  # somebody went in just now
            making.drop(target, name)


def _rename(session: Session, old: str, new: str) -> None:
    names = map(sql.Identifier, (old, new))
    execute(session.changing(), sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))


def _words(text: str) -> list[str]:
    return [one.replace('""', '"') or other for one, other in _WORD.findall(text)]


def _address(session: Session, asked: DesiredInstance, text: str) -> _Address:
    """What [DB.][SCHEMA.]TABLE means: of two names the first is a database where the live server
    has one called so. Raises UsageError."""
    words = _words(text)
    if not 1 <= len(words) <= 3 or not all(words):
        raise UsageError(f"{text!r} is not a table", "--table [DATABASE.][SCHEMA.]TABLE")
    *places, table = words
    if len(places) == 2:
        return _Address(places[0], places[1], table)
    if places and session.rows(_THERE, places[0]):
        return _Address(places[0], "public", table)
    schema = places[0] if places else "public"
    known = sorted(names(asked.instance.granted(PostgresGrant).values()))
    if len(known) != 1:
        named = f"; the file names {', '.join(known)}" if known else ""
        # one of them may have it now, and another one have had it
        having = [one for one in known if _has(session, one, schema, table)] or ["DATABASE"]
        raise UsageError(
            f"say in which database {text} is{named}",
            " or ".join(f"--table {one}.{schema}.{table}" for one in having),
        )
    return _Address(known[0], schema, table)


def _has(session: Session, database: str, schema: str, table: str) -> bool:
    try:
        with session.inside(database) as inside:
            return bool(rows(inside, _RELATION, schema, table))
    except ConnectError:
        return False
