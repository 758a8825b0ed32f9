"""What is asked of a server as a whole. Every query is one that cannot change a thing; each is
refused, or not, by itself.

https://www.postgresql.org/docs/current/monitoring-stats.html and …/views.html
"""
# ruff: noqa: S608 - queries are put together from what stands in this file

from __future__ import annotations

from collections.abc import Mapping

from mngdb.engines.postgres import inspect_rights
from mngdb.engines.postgres.client import NAME
from mngdb.engines.postgres.look import SETTINGS, SPECIAL

#: Groups that reach files, programs, everybody's rows, statements or sessions.
#: https://www.postgresql.org/docs/current/predefined-roles.html
GROUPS = (
    *("pg_read_server_files", "pg_write_server_files", "pg_execute_server_program"),
    *("pg_read_all_data", "pg_write_all_data", "pg_maintain", "pg_create_subscription"),
    *("pg_signal_backend", "pg_signal_autovacuum_worker", "pg_checkpoint"),
    *("pg_use_reserved_connections", "pg_monitor", "pg_read_all_stats", "pg_read_all_settings"),
)

_STATS = "pg_has_role('pg_read_all_stats', 'USAGE')"
_SERVER = f"""
    SELECT current_user AS login, pg_is_in_recovery() AS replica,
           pg_has_role('pg_read_all_settings', 'USAGE') AS sees_settings, {_STATS} AS sees_stats,
           EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements') AS statements,
           (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum'))
             AS synchronous,
           (SELECT array_agg(application_name) FROM pg_stat_replication
            WHERE sync_state IN ('sync', 'quorum')) AS standbys,
           (SELECT max(extract(epoch FROM now() - query_start)) FROM pg_stat_activity
            WHERE wait_event = 'SyncRep') AS waited
"""
_ACTIVITY = """
    SELECT count(*) AS clients,
           count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS idle_in_transaction,
           (SELECT coalesce(max(age), 0) FROM (
              SELECT max(age(backend_xmin)) FROM pg_stat_activity UNION ALL
              SELECT max(greatest(age(xmin), age(catalog_xmin))) FROM pg_replication_slots UNION ALL
              SELECT max(age(transaction)) FROM pg_prepared_xacts) h (age)) AS horizon
    FROM pg_stat_activity WHERE backend_type = 'client backend'
"""
#: Who else is in as our login: a person, or a program that has its password.
_SHARED = f"""
    SELECT DISTINCT concat_ws(' from ', coalesce(nullif(application_name, ''), 'a client'),
                              coalesce(host(client_addr), 'this host')) AS one
    FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND usename = current_user
          AND application_name <> '{NAME}' ORDER BY 1 LIMIT 100
"""
_OVERRIDES = """
    SELECT coalesce(d.datname, '') AS database, coalesce(r.rolname, '') AS role, one AS setting
    FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = s.setdatabase
         LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) one LIMIT 10000
"""
#: A login that nobody has: what fits it fits everybody.
_NOBODY = "mngdbnobody"
#: Lines mean users by name, as members, by a pattern. Superusers count as members of nothing but
#: what they were made members of.
_HBA = """
    WITH RECURSIVE held (member, roleid) AS (
      SELECT oid, oid FROM pg_roles WHERE rolsuper
      UNION SELECT h.member, m.roleid FROM held h JOIN pg_auth_members m ON m.member = h.roleid)
    SELECT line_number AS line, type AS kind, address, netmask AS mask, auth_method AS method,
           error, {file} AS file,
           substring(array_to_string(options, ' ') from '(?:^| )map=([^ ]+)') AS map,
           ARRAY(SELECT {plain} FROM unnest(database) one) AS databases,
           ARRAY(SELECT {plain} FROM unnest(user_name) one) AS users,
           ARRAY(SELECT DISTINCT s.rolname::text FROM held h JOIN pg_roles s ON s.oid = h.member
                 JOIN pg_roles g ON g.oid = h.roleid, unnest(user_name) one
                 WHERE one = 'all' OR one = s.rolname OR one = '+' || g.rolname OR {fits})
             AS superusers
    FROM pg_hba_file_rules LIMIT 5000
"""
_FITS = "CASE WHEN one LIKE '/%' THEN {who} ~ substr(one, 2) ELSE false END"
#: A role named by \\1 is a part of the account's name.
_MAPS = f"""
    SELECT DISTINCT map_name AS name FROM pg_ident_file_mappings
    WHERE error IS NULL AND position(chr(92) || '1' IN pg_username) = 0
      AND CASE WHEN sys_name LIKE '/%' THEN '{_NOBODY}' ~ substr(sys_name, 2) ELSE false END
"""
_FILES = """
    SELECT f.path FROM (
      SELECT setting AS path FROM pg_settings
      WHERE name IN ('config_file', 'hba_file', 'ident_file')
      UNION ALL SELECT setting || '/postgresql.auto.conf' FROM pg_settings
      WHERE name = 'data_directory') f, pg_stat_file(f.path, true) s
    WHERE s.modification > pg_conf_load_time()
"""
# what only waits for a restart "could not be applied" as well; a value that is no value cannot wait
_WRONG = """
    SELECT coalesce(f.name, '?') AS name, f.sourceline AS line, f.error FROM pg_file_settings f
    LEFT JOIN pg_settings s ON lower(s.name) = lower(f.name)
    WHERE f.error IS NOT NULL AND NOT (f.error = 'setting could not be applied'
      AND s.context = 'postmaster' AND (s.vartype NOT IN ('integer', 'real')
        OR f.setting ~ '^-?[0-9.]+ *(B|kB|MB|GB|TB|us|ms|s|min|h|d)?$')) LIMIT 20
"""
_ROLES = f"""
    SELECT r.rolname AS name, r.oid = 10 AS bootstrap, {SPECIAL} AS special,
           EXISTS (SELECT FROM pg_database d WHERE d.datdba = r.oid) AS owns,
           m.groups, m.becomes
    FROM pg_roles r, LATERAL (
      SELECT coalesce(array_agg(g.rolname::text) FILTER (WHERE NOT g.rolsuper), '{{}}') AS groups,
             coalesce(array_agg(g.rolname::text) FILTER (WHERE g.rolsuper), '{{}}') AS becomes
      FROM pg_roles g WHERE (g.rolsuper OR g.rolname = ANY('{{{",".join(GROUPS)}}}'))
        AND NOT r.rolsuper AND pg_has_role(r.oid, g.oid, '{{how}}')) m
    WHERE r.rolname !~ '^pg_' AND (r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR
      r.rolreplication OR r.rolbypassrls OR m.groups <> '{{}}' OR m.becomes <> '{{}}')
    ORDER BY 1 LIMIT 1000
"""
#: Never leaves the engine: the facts hold what kind it is, no more.
_LOGINS = """
    SELECT rolname AS name, rolpassword AS stored,
           CASE WHEN isfinite(rolvaliduntil) THEN
             extract(epoch FROM rolvaliduntil - now()) / 86400 END AS days
    FROM pg_authid WHERE rolcanlogin ORDER BY rolsuper DESC, 1 LIMIT 10000
"""
#: Whoever owns a database may call it a template, or have it take no connections, so that nobody
#: looks into it: the server's own templates are a superuser's.
_CLOSED = """
    SELECT d.datname AS name FROM pg_database d JOIN pg_roles o ON o.oid = d.datdba
    WHERE NOT d.datallowconn AND NOT o.rolsuper ORDER BY 1 LIMIT 10000
"""
_BASES = """
    SELECT d.datname AS name, o.rolname AS owner, d.datistemplate AND o.rolsuper AS template,
           has_database_privilege('public', d.oid, 'CONNECT') AS public_connect,
           has_database_privilege('public', d.oid, 'TEMPORARY') AS public_temporary,
           age(d.datfrozenxid) AS xid_age, mxid_age(d.datminmxid) AS multixact_age,
           coalesce(s.checksum_failures, 0) AS checksum_failures, s.deadlocks,
           CASE WHEN {actual} <> d.datcollversion
             THEN d.datcollversion || ', now ' || {actual} ELSE '' END AS collation_mismatch,
           extract(epoch FROM now() - coalesce(s.stats_reset, pg_postmaster_start_time())) / 86400
             AS days
    FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid
         JOIN pg_roles o ON o.oid = d.datdba
    WHERE d.datallowconn ORDER BY 1 LIMIT 10000
"""
#: On a replica, those that it copies from its primary are never read: they wait for a failover.
_SLOTS = """
    SELECT slot_name || CASE WHEN restart_lsn IS NULL THEN '' ELSE ' ('
             || pg_size_pretty(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery()
               THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn))
             || ')' END AS one
    FROM pg_replication_slots WHERE NOT active {kept} ORDER BY 1 LIMIT 20
"""
_PREPARED = """
    SELECT format('%s in %s', gid, database) AS one FROM pg_prepared_xacts
    WHERE prepared < now() - interval '10 minutes' OR age(transaction) > 1000000 LIMIT 20
"""
_CHECKPOINTS = "SELECT num_timed AS timed, num_requested AS asked FROM pg_stat_checkpointer"
_CHECKPOINTS_16 = (
    "SELECT checkpoints_timed AS timed, checkpoints_req AS asked FROM pg_stat_bgwriter"
)
_ARCHIVER = """
    SELECT archived_count AS archived, failed_count AS failed, last_failed_wal AS wal,
           coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) AS failing
    FROM pg_stat_archiver
"""
#: Since the oldest segment that is still there was full; no row where none was yet.
_WAL_RATE = """
    WITH log AS (
      SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
              ELSE pg_current_wal_lsn() END) - '0/0'::pg_lsn AS here
    ), segment AS (
      SELECT modification, ('x' || substr(name, 9, 8))::bit(32)::bigint * 4294967296
             + (('x' || substr(name, 17, 8))::bit(32)::bigint + 1) * size AS ending
      FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
    )
    SELECT ((here - ending) / greatest(extract(epoch FROM now() - modification), 1))::float8 AS rate
    FROM segment, log WHERE ending <= here ORDER BY ending LIMIT 1
"""


def queries(version: int) -> dict[str, str]:
    """Name to query, for a server of this version (170010)."""
    actual = "pg_database_collation_actual_version(d.oid)" if version >= 150000 else "NULL"
    bases = _BASES.replace("{actual}", actual)
    if version < 150000:
        bases = bases.replace("d.datcollversion", "NULL")
    hba = {"{file}": "NULL", "{plain}": "one", "{fits}": "false"}
    if version >= 160000:
        hba["{file}"] = "nullif(file_name, current_setting('hba_file'))"
        anybody = _FITS.replace("{who}", f"'{_NOBODY}'")
        hba["{plain}"] = f"CASE WHEN {anybody} THEN 'all' ELSE one END"
        hba["{fits}"] = _FITS.replace("{who}", "s.rolname")
    how = may_be(version)
    return {
        "settings": SETTINGS,  # first of all: what comes next changes some of this session
        "first guard": "SET default_transaction_read_only = on",
        "second guard": "SET statement_timeout = '5s'",
        "server": _SERVER,
        "activity": _ACTIVITY,
        "shared login": _SHARED,
        "overrides": _OVERRIDES,
        "hba": _filled(_HBA, hba),
        "maps": _MAPS if version >= 150000 else "SELECT '' AS name WHERE false",
        "files": _FILES,
        "wrong": _WRONG,
        "roles": _ROLES.replace("{how}", how),
        "logins": _LOGINS,
        "bases": bases,
        "closed": _CLOSED,
        "slots": _SLOTS.replace("{kept}", "AND NOT synced" if version >= 170000 else ""),
        "prepared": _PREPARED,
        "checkpoints": _CHECKPOINTS if version >= 170000 else _CHECKPOINTS_16,
        "archiver": _ARCHIVER,
        "wal rate": _WAL_RATE,
        "reach": _REACH.replace("{how}", how),
        "shared": inspect_rights.shared_rights(version).replace("{how}", how),
        "options": inspect_rights.shared_options(version).replace("{how}", how),
    }


def may_be(version: int) -> str:
    """What pg_has_role is asked: whether a role has another's rights, can take them by SET ROLE, or
    can give itself what it lacks for that."""
    return "USAGE,SET,USAGE WITH ADMIN OPTION" if version >= 160000 else "MEMBER"


def _filled(text: str, words: Mapping[str, str]) -> str:
    for name, word in words.items():
        text = text.replace(name, word)
    return text


#: Needs the names of the file's apps.
_REACH = """
    SELECT r.rolname AS app,
           ARRAY(SELECT d.datname::text FROM pg_database d
                 WHERE d.datallowconn AND has_database_privilege(r.oid, d.oid, 'CONNECT'))
             AS databases,
           ARRAY(SELECT o.rolname::text FROM pg_roles o WHERE o.oid <> r.oid
                 AND (o.rolcanlogin OR o.rolsuper) AND pg_has_role(r.oid, o.oid, '{how}'))
             AS logins
    FROM pg_roles r WHERE r.rolname = ANY({apps})
"""
