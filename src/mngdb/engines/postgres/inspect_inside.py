"""What is asked in one database. The server counts: an answer is a number and ten names, however
many tables there are."""
# ruff: noqa: S608 - queries are put together from what stands in this file

from __future__ import annotations

from typing import Any

from mngdb.engines.postgres import inspect_rights, maintenance
from mngdb.engines.postgres.batch import ask_each
from mngdb.engines.postgres.inspect_queries import may_be
from mngdb.engines.postgres.system_rights import INITIAL
from mngdb.facts.postgres import Inside, Some
from mngdb.findings import Seen

_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
#: Owners put what they like into extensions of theirs (ALTER EXTENSION … ADD): what an extension
#: brought is the superuser's who installed it, or on whose behalf it was.
_NO_MEMBER = (
    "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{table}'::regclass AND e.objid = {oid} "
    "AND e.deptype = 'e' AND EXISTS (SELECT FROM pg_roles o WHERE o.oid = {owner} AND o.rolsuper))"
)


def _alone(table: str, oid: str) -> str:
    """What belongs to no extension."""
    alias = oid.partition(".")[0]
    owner = {"pg_proc": "proowner", "pg_class": "relowner"}[table]
    text = _NO_MEMBER.replace("{table}", table).replace("{oid}", oid)
    return text.replace("{owner}", f"{alias}.{owner}")


_RELATION = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
_NAME = "format('%I.%I', n.nspname, c.relname)"
_FUNCTION = f"""
    SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_roles o ON o.oid = p.proowner
    WHERE p.prosecdef AND p.oid >= {INITIAL} AND (NOT o.rolsuper OR {_alone("pg_proc", "p.oid")})
"""

#: Question to a query of names; `{how}` is inspect_queries.may_be.
QUESTIONS: dict[str, str] = {
    "public_create": f"""
        SELECT n.nspname FROM pg_namespace n
        WHERE {_OURS} AND has_schema_privilege('public', n.oid, 'CREATE')""",
    # what everybody may do in the database that everybody may enter
    "maintenance": f"""
        SELECT one FROM (
          SELECT word || ' on the database' FROM unnest('{{CREATE,TEMPORARY}}'::text[]) word
          WHERE has_database_privilege('public', current_database(), word)
          UNION ALL {maintenance.REACH}) m (one)
        WHERE current_database() = '{maintenance.NAME}'
          AND has_database_privilege('public', current_database(), 'CONNECT')""",
    "schema_owner": """
        SELECT r.rolname FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
        JOIN pg_database d ON d.datname = current_database()
        WHERE n.nspname = 'public' AND NOT r.rolsuper AND r.oid <> d.datdba
          AND r.rolname <> 'pg_database_owner'""",
    "public_tables": f"""
        SELECT {_NAME} FROM {_RELATION} WHERE c.relacl IS NOT NULL AND {_OURS}
          AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_alone("pg_class", "c.oid")}
          AND EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee = 0)
        UNION SELECT {_NAME} || '.' || quote_ident(t.attname) FROM pg_attribute t
        JOIN {_RELATION} ON c.oid = t.attrelid WHERE t.attacl IS NOT NULL AND {_OURS}
          AND {_alone("pg_class", "c.oid")}
          AND EXISTS (SELECT FROM aclexplode(t.attacl) a WHERE a.grantee = 0)""",
    "public_defaults": """
        SELECT DISTINCT r.rolname FROM pg_default_acl d JOIN pg_roles r ON r.oid = d.defaclrole,
          aclexplode(d.defaclacl) a
        WHERE a.grantee = 0 AND d.defaclobjtype IN ('r', 'S', 'n')""",
    # what the caller makes in a schema of the path can stand in for what the function means; his
    # temporary tables come first unless pg_temp is named last
    "definer_path": f"""{_FUNCTION} AND NOT EXISTS (
        SELECT FROM unnest(p.proconfig) o, string_to_array(
          translate(substr(o, 13), ' "', ''), ',') path WHERE o LIKE 'search_path=%'
          AND '$user' <> ALL(path) AND 'pg_temp' <> ALL(path[1:cardinality(path) - 1])
          AND ('pg_temp' = ANY(path) OR path <@ '{{pg_catalog}}')
          AND NOT EXISTS (
            SELECT FROM pg_namespace s
            CROSS JOIN aclexplode(coalesce(s.nspacl, acldefault('n', s.nspowner))) a
            JOIN pg_database d ON d.datname = current_database()
            LEFT JOIN pg_roles g ON g.oid = a.grantee
            LEFT JOIN pg_roles w ON w.oid
              = CASE g.rolname WHEN 'pg_database_owner' THEN d.datdba ELSE a.grantee END
            WHERE s.nspname = ANY(path) AND a.privilege_type = 'CREATE' AND (a.grantee = 0
              OR NOT w.rolsuper AND NOT pg_has_role(w.oid, p.proowner, 'MEMBER')
                AND has_function_privilege(w.oid, p.oid, 'EXECUTE'))))""",
    "definer_super": f"""{_FUNCTION} AND has_function_privilege('public', p.oid, 'EXECUTE')
        AND EXISTS (SELECT FROM pg_roles r WHERE r.oid = p.proowner AND r.rolsuper)""",
    # marked as trusted or not, it is its handler that leads out
    "languages": """
        SELECT l.lanname FROM pg_language l LEFT JOIN pg_proc h ON h.oid = l.lanplcallfoid
        WHERE l.lanispl AND NOT l.lanpltrusted OR l.lanpltrusted AND (NOT l.lanispl
          AND l.lanname <> 'sql' OR h.probin ~ 'plpython|plsh' OR h.prosrc ~ '^pl(perl|tcl)u_')""",
    **inspect_rights.QUESTIONS,
    # they reach files, programs or other servers
    "extensions_reaching": """
        SELECT extname FROM pg_extension e WHERE extname IN
          ('adminpack', 'dblink', 'plpython3u', 'plperlu', 'pltclu', 'plsh', 'http', 'pg_net')
          OR EXISTS (SELECT FROM pg_depend d WHERE d.refobjid = e.oid AND d.deptype = 'e'
            AND d.classid = 'pg_foreign_data_wrapper'::regclass)""",
    "extensions_old": """
        SELECT format('%s %s, there is %s', e.extname, e.extversion, a.default_version)
        FROM pg_extension e JOIN pg_available_extensions a ON a.name = e.extname
        WHERE a.default_version <> e.extversion""",
    "policies_off": f"""
        SELECT {_NAME} FROM {_RELATION} WHERE NOT c.relrowsecurity
          AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)""",
    "stored_passwords": """
        SELECT format('%s on %s', u.usename, u.srvname) FROM pg_user_mappings u,
          unnest(u.umoptions) o WHERE o LIKE 'password=%'""",
    "mappings_hidden": """
        SELECT format('%s on %s', u.usename, u.srvname) FROM pg_user_mappings u
        WHERE u.umoptions IS NULL AND current_setting('is_superuser') = 'off'""",
    "indexes_invalid": f"""
        SELECT {_NAME} FROM pg_index i JOIN {_RELATION} ON c.oid = i.indexrelid
        WHERE NOT (i.indisvalid AND i.indisready) AND {_OURS} AND NOT EXISTS
          (SELECT FROM pg_stat_progress_create_index s WHERE s.index_relid = c.oid)""",
    "indexes_twice": f"""
        SELECT min({_NAME}) || ' and ' || max({_NAME}) FROM pg_index i
        JOIN {_RELATION} ON c.oid = i.indexrelid WHERE {_OURS} AND NOT c.relispartition
        GROUP BY i.indrelid, c.relam, i.indkey::text, i.indclass::text, i.indcollation::text,
          i.indoption::text, i.indisunique, i.indimmediate,
          to_jsonb(i) ->> 'indnullsnotdistinct', pg_get_expr(i.indexprs, i.indrelid),
          pg_get_expr(i.indpred, i.indrelid), c.reloptions HAVING count(*) > 1""",
    # a database tells the version of its own collation alone; `C` and the like have none
    "collations_changed": """
        SELECT format('%I.%I: %s, now %s', n.nspname, l.collname, l.collversion,
                      pg_collation_actual_version(l.oid))
        FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace
        WHERE l.collversion <> pg_collation_actual_version(l.oid)
          AND (EXISTS (SELECT FROM pg_attribute a WHERE a.attcollation = l.oid AND a.attnum > 0
                       AND NOT a.attisdropped)
            OR EXISTS (SELECT FROM pg_index i WHERE l.oid = ANY(i.indcollation)))""",
    "constraints_unchecked": f"""
        SELECT format('%s on %s', k.conname, {_NAME}) FROM pg_constraint k
        JOIN {_RELATION} ON c.oid = k.conrelid WHERE NOT k.convalidated AND {_OURS}""",
    "unlogged": f"""
        SELECT {_NAME} FROM {_RELATION}
        WHERE c.relpersistence = 'u' AND c.relkind = 'r' AND {_OURS}""",
    "vacuum_off": f"""
        SELECT {_NAME} FROM {_RELATION} WHERE c.relkind IN ('r', 'm') AND {_OURS}
          AND c.reloptions && '{{autovacuum_enabled=false,autovacuum_enabled=off}}'""",
    # vacuum comes at a fifth (autovacuum_vacuum_scale_factor): at half it does not keep up
    "dead_rows": """
        SELECT format('%I.%I (%s dead)', schemaname, relname, n_dead_tup)
        FROM pg_stat_user_tables WHERE n_dead_tup > 10000 AND n_dead_tup > 0.5 * n_live_tup""",
    "never_analyzed": """
        SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables
        WHERE n_live_tup > 10000 AND coalesce(last_analyze, last_autoanalyze) IS NULL""",
    # an identity or serial column ends with its own type, whatever its sequence can count to
    # each sequence is opened, once (OFFSET 0), which takes a while; a bigint cannot run out
    "sequences_full": f"""
        SELECT format('%s (%s %%)', q.name, round(100.0 * q.last / q.most)) FROM (
          SELECT {_NAME} AS name, CASE WHEN has_sequence_privilege(c.oid, 'SELECT,USAGE')
                   THEN pg_sequence_last_value(c.oid::regclass) END AS last,
                 least(s.seqmax, CASE a.atttypid WHEN 'int2'::regtype THEN 32767
                   WHEN 'int4'::regtype THEN 2147483647 END) AS most
          FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
            AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
            AND d.refobjsubid > 0
          LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
          WHERE NOT s.seqcycle AND s.seqincrement > 0 AND (s.seqmax < 1::bigint << 40
            OR a.atttypid IN ('int2'::regtype, 'int4'::regtype)) OFFSET 0) q
        WHERE q.last > 0.8 * q.most""",
}
#: What apps may beyond, and not, of what their access says; `{apps}` is rows of name and access.
#: `{how}` is inspect_queries.may_be: what a role does not inherit is there to be taken.
_APPS = "FROM (VALUES {apps}) x (app, access) JOIN pg_roles me ON me.rolname = x.app"
_TAKES = f"""
    {_APPS} JOIN pg_roles r ON r.oid = me.oid OR (NOT me.rolsuper AND pg_has_role(me.oid, r.oid,
      '{{how}}') AND NOT pg_has_role(me.oid, r.oid, 'USAGE'))
"""
_AS = "CASE WHEN r.oid <> me.oid THEN ' by SET ROLE ' || r.rolname ELSE '' END"
_TABLES = f"""
    {_RELATION} WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_OURS}
      AND {_alone("pg_class", "c.oid")}
"""
_EXCESS = f"""
    SELECT format('%s on %s', x.app, {_NAME}) || {_AS} {_TAKES}, {_TABLES}
      AND x.access <> 'owner' AND (has_table_privilege(r.oid, c.oid, CASE x.access WHEN 'readonly'
            THEN 'INSERT,UPDATE,DELETE,TRUNCATE,TRIGGER' ELSE 'TRUNCATE,TRIGGER' END)
        OR x.access = 'readonly' AND has_any_column_privilege(r.oid, c.oid, 'INSERT,UPDATE'))
    UNION ALL
    SELECT format('%s in schema %I', x.app, n.nspname) || {_AS} {_TAKES}, pg_namespace n
    WHERE {_OURS} AND x.access <> 'owner' AND has_schema_privilege(r.oid, n.oid, 'CREATE')
    UNION ALL
    SELECT x.app || ' may make schemas' || {_AS} {_TAKES}
    WHERE x.access <> 'owner' AND has_database_privilege(r.oid, current_database(), 'CREATE')
"""
_MISSING = f"""
    SELECT format('%s on %s', x.app, {_NAME}) {_APPS}, {_TABLES}
      AND c.relkind IN ('r', 'p') AND NOT (has_table_privilege(me.oid, c.oid, 'SELECT')
        AND has_schema_privilege(me.oid, n.oid, 'USAGE') AND (x.access = 'readonly'
          OR has_table_privilege(me.oid, c.oid, 'INSERT') AND
             has_table_privilege(me.oid, c.oid, 'UPDATE') AND
             has_table_privilege(me.oid, c.oid, 'DELETE')))
"""


def look(connection: Any, apps: str, timeout: float) -> Inside:
    """All questions in one round trip. `apps` is SQL: the rows of the file's apps here, each with
    its access; '' where there are none. `timeout` in seconds. Raises ConnectError."""
    how = may_be(connection.info.server_version)
    # before the others: of these the last is the slowest
    more = {"apps_excess": _EXCESS, "apps_missing": _MISSING} if apps else {}
    asked = {
        name: _counted(text.replace("{apps}", apps).replace("{how}", how))
        for name, text in {**more, **QUESTIONS}.items()
    }
    answers = ask_each(connection, asked, timeout)
    found = {name: _some(answer) for name, answer in answers.items()}
    hidden = found.pop("mappings_hidden")
    if hidden.missing is None and hidden.value.count:
        found["stored_passwords"] = Seen(missing="the options of user mappings are not shown to us")
    return found


def _counted(names: str) -> str:
    return (
        "SELECT count(*) AS count, coalesce((array_agg(one::text ORDER BY one))[1:10], '{}') "
        f"AS first FROM ({names}) x (one)"
    )


def _some(answer: Seen[list[Any]]) -> Seen[Some]:
    if answer.missing is not None:
        return Seen(missing=answer.missing)
    (row,) = answer.value
    return Seen(Some(row["count"], tuple(row["first"])))
