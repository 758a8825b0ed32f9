"""Settings that a person gave an app's role, `ALTER ROLE shop SET search_path = …`: PostgreSQL
takes those of the login, so that the second login of the app has to have them, too."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from psycopg.sql import SQL, Composed, Identifier, Literal

from mngdb.engines.postgres.facts import Carried

#: What is set for the second login alone, to become the first; and libraries, for whoever knows the
#: old password may name one that there is not: no session would begin, and the rotation not end.
_OWN = {"role", "session_authorization", "local_preload_libraries"}
#: Lists of names, each of which PostgreSQL keeps in quotes where it needs them (pg_dump's
#: variable_is_guc_list_quote). Any other list is one text.
_LISTS = {
    *("search_path", "session_preload_libraries", "shared_preload_libraries"),
    *("temp_tablespaces", "unix_socket_directories"),
}
_SET, _RESET = SQL("SET {} = {}"), SQL("RESET {}")
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^,\s]+)')


def differing(
    login: str, owner: Collection[Carried], found: Collection[Carried], managed: Collection[str]
) -> Iterator[tuple[str, Composed]]:
    """What gives `login` the settings of the role that it becomes, in words and as statements;
    `managed` are settings that the file decides."""

    def chosen(every: Collection[Carried]) -> set[Carried]:
        names = _OWN | {*managed}
        return {one for one in every if one.name not in (_OWN if one.database else names)}

    wanted, there = chosen(owner), chosen(found)
    kept = {(one.name, one.database) for one in wanted}
    for one in sorted(there - wanted):
        if (one.name, one.database) not in kept:
            yield f"{one.name} = default", _alter(login, one, _RESET.format(Identifier(one.name)))
    for one in sorted(wanted - there):
        value = SQL(", ").join(Literal(part) for part in _parts(one))
        change = _SET.format(Identifier(one.name), value)
        # without the value, which may be secret: some keep keys in settings of their own
        yield f"{one.name} as the first login has it", _alter(login, one, change)


def _alter(login: str, one: Carried, change: Composed) -> Composed:
    where = SQL(" IN DATABASE {}").format(Identifier(one.database)) if one.database else SQL("")
    return SQL("ALTER ROLE {}{} {}").format(Identifier(login), where, change)


def _parts(one: Carried) -> list[str]:
    """The value as SET takes it."""
    if one.name not in _LISTS:
        return [one.value]
    found = [quoted.replace('""', '"') or plain for quoted, plain in _NAME.findall(one.value)]
    return found or [""]
