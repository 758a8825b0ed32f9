"""What PUBLIC, apps and functions may do inside the databases of a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable

from mngdb.checks.catalogue import checks
from mngdb.checks.postgres.creators import created
from mngdb.checks.postgres.inside import nowhere
from mngdb.checks.postgres.settings import SETTINGS, text
from mngdb.facts.postgres import MAINTENANCE, Base, PostgresFacts
from mngdb.findings import Check, Judgement, judged, listed
from mngdb.words import many


def _bases(bad: Callable[[Base], bool], fine: str) -> Callable[[PostgresFacts], Judgement]:
    def judge(facts: PostgresFacts) -> Judgement:
        own = created(facts)
        found = [one.name for one in facts.bases.value if bad(one)]
        passed = sorted(own & {*found})
        but = f"; {many(len(passed), 'database')} that apps created" if passed else ""
        return listed([one for one in found if one not in own], fine + but)

    return judge


def _idle_limit(facts: PostgresFacts) -> Judgement:
    """The most specific setting wins: role in database, role, database, everybody."""
    name = "idle_in_transaction_session_timeout"
    if not facts.apps:
        found = text(facts, name)
        return judged(found != "0", f"{name} {found}" + "ms" * (found != "0"))
    layers = {(o.role, o.database): o.value for o in facts.overrides.value if o.name == name}
    bad = []
    for login, app in facts.apps.items():
        for database in app.names:
            places = ((login, database), (login, ""), ("", database), ("", ""))
            value = next((layers[at] for at in places if at in layers), None)
            # "0", "0ms", "0min": nothing is left
            if not (text(facts, name) if value is None else value).strip("0msinhd "):
                bad.append(f"{login} in {database}" if len(app.names) > 1 else login)
    return listed(bad, "every app has a limit")


def _strings(facts: PostgresFacts) -> Judgement:
    strings, quote = text(facts, "standard_conforming_strings"), text(facts, "backslash_quote")
    good = strings == "on" and quote != "on"
    return judged(good, f"standard_conforming_strings {strings}, backslash_quote {quote}")


def _paths(facts: PostgresFacts) -> Judgement:
    """What a login sets for itself is its own trouble; a database's path is everybody's."""
    bad = []
    for one in facts.overrides.value:
        path = [schema.strip(' "') for schema in one.value.split(",")]
        everybody = one.role in {"", facts.admin}
        if one.name == "search_path" and everybody and "pg_catalog" in path[1:]:
            bad.append(f"{one.database or 'all databases'}: {one.value}")
    return listed(bad, "none")


CHECKS: tuple[Check[PostgresFacts], ...] = checks(
    __file__,
    {
        "postgres.public-connect": _bases(
            lambda one: one.public_connect and one.name != MAINTENANCE, "CONNECT is granted by name"
        ),
        "postgres.public-temporary": _bases(
            lambda one: one.public_temporary, "TEMPORARY is granted by name"
        ),
        "postgres.app-idle-limit": _idle_limit,
        "postgres.system-rights": nowhere(
            "system_rights",
            "catalogs, functions and parameters have default privileges",
            nor=lambda facts: facts.shared_rights.value,
        ),
        "postgres.grant-option": nowhere(
            "grant_options",
            "only owners and administrators",
            nor=lambda facts: facts.shared_options.value,
        ),
        "postgres.extension-reach": nowhere(
            "extensions_reaching", "only those in the file", but_asked_for=True
        ),
        "postgres.strings": _strings,
        "postgres.search-path": _paths,
    },
    SETTINGS,
)
