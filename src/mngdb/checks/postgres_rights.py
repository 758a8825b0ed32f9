"""What PUBLIC, apps and functions may do inside the databases of a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Callable

from mngdb.checks.postgres_inside import nowhere
from mngdb.checks.postgres_settings import RELOAD, among, key, setting, text
from mngdb.facts.postgres import MAINTENANCE, Base, PostgresFacts
from mngdb.findings import Check, Judgement, judged, listed


def _bases(bad: Callable[[Base], bool], fine: str) -> Callable[[PostgresFacts], Judgement]:
    def judge(facts: PostgresFacts) -> Judgement:
        return listed([one.name for one in facts.bases.value if bad(one)], fine)

    return judge


def _idle_limit(facts: PostgresFacts) -> Judgement:
    """The most specific setting wins: role in database, role, database, everybody."""
    name = "idle_in_transaction_session_timeout"
    if not facts.apps:
        found = text(facts, name)
        return judged(found != "0", f"{name} {found}" + "ms" * (found != "0"))
    layers = {(o.role, o.database): o.value for o in facts.overrides.value if o.name == name}
    bad = []
    for app, database in facts.apps.items():
        places = ((app, database), (app, ""), ("", database), ("", ""))
        value = next((layers[at] for at in places if at in layers), None)
        # "0", "0ms", "0min": nothing is left
        if not (text(facts, name) if value is None else value).strip("0msinhd "):
            bad.append(app)
    return listed(bad, "a limit for every app")


def _strings(facts: PostgresFacts) -> Judgement:
    strings, quote = text(facts, "standard_conforming_strings"), text(facts, "backslash_quote")
    good = strings == "on" and quote != "on"
    return judged(good, f"standard_conforming_strings {strings}, backslash_quote {quote}")


_UP = "'mngdb up' revokes it in the databases of the file; elsewhere "
_PRIVILEGES = "postgresql.org: Privileges"
_FUNCTION = "postgresql.org: CREATE FUNCTION"

CHECKS: tuple[Check[PostgresFacts], ...] = (
    Check(
        "postgres.public-connect",
        "nobody connects to a database without a grant",
        "high",
        _bases(
            lambda one: one.public_connect and one.name != MAINTENANCE, "CONNECT is granted by name"
        ),
        "PUBLIC without CONNECT on any database but postgres",
        _UP + "REVOKE CONNECT ON DATABASE NAME FROM PUBLIC",
        ("A2", _PRIVILEGES, "pgdsat 4.3"),
    ),
    Check(
        "postgres.maintenance",
        "nobody can do anything in the maintenance database",
        "medium",
        nowhere("maintenance", "everybody may connect to postgres and do nothing, or not connect"),
        "PUBLIC with CONNECT on postgres at most, without a schema and without large objects",
        "'mngdb up' revokes it; elsewhere REVOKE … FROM PUBLIC in the database postgres",
        ("A2", _PRIVILEGES),
    ),
    Check(
        "postgres.public-temporary",
        "nobody makes temporary tables without a grant",
        "low",
        _bases(lambda one: one.public_temporary, "TEMPORARY is granted by name"),
        "PUBLIC without TEMPORARY on any database",
        _UP + "REVOKE TEMPORARY ON DATABASE NAME FROM PUBLIC",
        ("A2", _PRIVILEGES),
    ),
    Check(
        "postgres.public-create",
        "nobody makes objects in a schema without a grant",
        "high",
        nowhere("public_create", "CREATE is granted by name"),
        "PUBLIC without CREATE on any schema",
        _UP + "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        ("A2", "postgresql.org: Schemas", "pgdsat 4.10"),
    ),
    Check(
        "postgres.public-tables",
        "nobody reads or writes a table without a grant",
        "high",
        nowhere("public_tables", "rights on tables are granted by name"),
        "PUBLIC without any right on any table or view",
        _UP + "REVOKE ALL ON TABLE NAME FROM PUBLIC",
        ("A2", _PRIVILEGES, "pgdsat 4.6"),
    ),
    Check(
        "postgres.public-defaults",
        "tables to come are not open to everybody",
        "medium",
        nowhere("public_defaults", "no default privilege for PUBLIC"),
        "no ALTER DEFAULT PRIVILEGES … TO PUBLIC",
        _UP + "ALTER DEFAULT PRIVILEGES FOR ROLE NAME REVOKE ALL ON TABLES FROM PUBLIC",
        ("A2", "postgresql.org: ALTER DEFAULT PRIVILEGES"),
    ),
    Check(
        "postgres.schema-owner",
        "the schema public belongs to the database's owner",
        "medium",
        nowhere("schema_owner", "pg_database_owner, the owner or a superuser"),
        "pg_database_owner, the owner or a superuser",
        "ALTER SCHEMA public OWNER TO pg_database_owner",
        ("postgresql.org: Schemas", "pgdsat 4.10"),
    ),
    Check(
        "postgres.app-excess",
        "no app can do more than the file gives it",
        "critical",
        nowhere("apps_excess", "readonly reads, readwrite keeps the tables as they are"),
        "has_table_privilege and has_schema_privilege refuse the rest",
        "'mngdb up' revokes what it has itself; what it has by a group, by REVOKE GROUP FROM NAME",
        ("A2", _PRIVILEGES, "pgdsat 4.6"),
    ),
    Check(
        "postgres.app-useful",
        "every app can do what the file gives it",
        "high",
        nowhere("apps_missing", "every table within its access"),
        "has_table_privilege permits it on every table",
        "'mngdb up' grants it",
        ("A2", _PRIVILEGES),
    ),
    Check(
        "postgres.app-idle-limit",
        "an app that forgets a transaction is disconnected",
        "medium",
        _idle_limit,
        "idle_in_transaction_session_timeout above 0",
        "apps: {APP: {postgres: {idle_in_transaction_timeout: 10m}}}, then 'mngdb up'; elsewhere "
        "ALTER SYSTEM SET idle_in_transaction_session_timeout = '10min'" + RELOAD,
        ("A12", "postgresql.org: Client Connection Defaults"),
    ),
    Check(
        "postgres.system-rights",
        "nobody has more rights on the server's own objects than PostgreSQL gives",
        "critical",
        nowhere(
            "system_rights",
            "catalogs, functions, parameters as initdb has them",
            nor=lambda facts: facts.shared_rights.value,
        ),
        "what initdb and extensions grant (pg_init_privs): no verifiers, files or settings more",
        "'mngdb up' takes it from PUBLIC and apps in the databases of the file; elsewhere, in that "
        "database: REVOKE PRIVILEGE ON OBJECT FROM NAME",
        ("A2", _PRIVILEGES, "postgresql.org: pg_init_privs", "pgdsat 4.6"),
    ),
    Check(
        "postgres.grant-option",
        "nobody passes on rights that are another's",
        "medium",
        nowhere(
            "grant_options",
            "owners and administrators alone grant",
            nor=lambda facts: facts.shared_options.value,
        ),
        "no WITH GRANT OPTION, no WITH ADMIN OPTION",
        "'mngdb up' takes it from apps; elsewhere, in that database: REVOKE GRANT OPTION FOR "
        "PRIVILEGE ON OBJECT FROM NAME CASCADE; of a role: REVOKE ADMIN OPTION FOR GROUP FROM NAME",
        ("A2", _PRIVILEGES, "pgdsat 4.6"),
    ),
    Check(
        "postgres.traps",
        "no app's code runs in the sessions of others unasked",
        "high",
        nowhere("traps", "pg_catalog, event triggers and casts are superusers'"),
        "nothing of an app in pg_catalog, on event triggers or on casts of the server's types",
        "DROP what is named, or ALTER … OWNER TO a superuser after reading it",
        (_FUNCTION, "postgresql.org: Event Triggers"),
    ),
    Check(
        "postgres.definer-path",
        "functions with their owner's rights have a search_path of their own",
        "high",
        nowhere("definer_path", "none without a safe one"),
        "SET search_path on each of them: schemas where callers make nothing, and pg_temp last",
        "ALTER ROUTINE NAME SET search_path = pg_catalog, SCHEMA, pg_temp",
        (_FUNCTION, "pgdsat 4.5"),
    ),
    Check(
        "postgres.definer-superuser",
        "nobody borrows a superuser's rights through a function",
        "critical",
        nowhere("definer_super", "none that PUBLIC may call"),
        "no SECURITY DEFINER function of a superuser that PUBLIC may call",
        "REVOKE EXECUTE ON ROUTINE NAME FROM PUBLIC",
        (_FUNCTION, "pgdsat 4.5"),
    ),
    Check(
        "postgres.languages",
        "no language leads out of the database",
        "high",
        nowhere("languages", "trusted languages only"),
        "no untrusted procedural language",
        "DROP LANGUAGE NAME, or take it out of the app's extensions",
        ("postgresql.org: Procedural Languages", "pgdsat 1.8"),
    ),
    Check(
        "postgres.extension-reach",
        "no extension reaches files or other servers unasked",
        "medium",
        nowhere("extensions_reaching", "none but those of the file", but_asked_for=True),
        "no adminpack, file_fdw, dblink, postgres_fdw, untrusted language",
        "DROP EXTENSION NAME, or name it: apps: {APP: {postgres: {extensions: [NAME]}}}",
        ("postgresql.org: Additional Supplied Modules", "pgdsat 1.8"),
    ),
    Check(
        "postgres.extension-version",
        "extensions are as new as the server's programs",
        "low",
        nowhere("extensions_old", "every one as new as its files"),
        "the version that pg_available_extensions has",
        "ALTER EXTENSION NAME UPDATE",
        ("postgresql.org: ALTER EXTENSION", "pgdsat 1.8"),
    ),
    Check(
        "postgres.row-security",
        "row security is on where there are policies",
        "high",
        nowhere("policies_off", "every table with policies applies them"),
        "no table with policies that nobody applies",
        "ALTER TABLE NAME ENABLE ROW LEVEL SECURITY",
        ("postgresql.org: Row Security Policies", "pgdsat 4.7"),
    ),
    Check(
        "postgres.stored-passwords",
        "no password for another server lies in the catalog",
        "high",
        nowhere("stored_passwords", "no user mapping has one"),
        "no password among the options of user mappings",
        "ALTER USER MAPPING … OPTIONS (DROP password); use a passfile or a certificate",
        ("B19", "postgresql.org: postgres_fdw"),
    ),
    Check(
        "postgres.large-objects",
        "large objects have owners",
        "medium",
        setting("lo_compat_privileges", among("off")),
        "lo_compat_privileges off",
        key("lo_compat_privileges: 'off'"),
        ("postgresql.org: Version and Platform Compatibility", "pgdsat 6.5"),
    ),
    Check(
        "postgres.strings",
        "a backslash does not end a string early",
        "medium",
        _strings,
        "standard_conforming_strings on, backslash_quote safe_encoding or off",
        key("standard_conforming_strings: 'on', backslash_quote: safe_encoding"),
        ("postgresql.org: Version and Platform Compatibility", "pgdsat 6.6"),
    ),
)
