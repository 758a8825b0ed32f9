"""How to run a PostgreSQL server into the ground: one statement for each check."""

from __future__ import annotations

import datetime
import threading
import time
from contextlib import suppress

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.checks.postgres_server import Server

SETTINGS = {
    "listen_addresses": "*",
    "ssl": "on",
    "ssl_ciphers": "ALL:COMPLEMENTOFALL:@SECLEVEL=0",
    "ssl_min_protocol_version": "TLSv1",
    "authentication_timeout": "10min",
    "password_encryption": "md5",
    "lo_compat_privileges": "on",
    "standard_conforming_strings": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "zero_damaged_pages": "on",
    "data_sync_retry": "on",
    "restart_after_crash": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "64MB",
    "autovacuum": "off",
    "autovacuum_vacuum_scale_factor": "0.9",
    "autovacuum_freeze_max_age": "1500000000",
    "effective_cache_size": "8MB",
    "superuser_reserved_connections": "0",
    "max_connections": "25",
    "max_prepared_transactions": "5",
    "deadlock_timeout": "1min",
    "log_line_prefix": "%m ",
    "log_min_messages": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": "-1",
    "log_timezone": "Asia/Seoul",
    "debug_print_parse": "on",
    "logging_collector": "on",
    "log_file_mode": "0644",
    "track_activities": "off",
}
ROLES = """
    CREATE ROLE second LOGIN SUPERUSER PASSWORD 'a-password-that-nobody-has-in-a-list';
    CREATE ROLE maker LOGIN CREATEROLE PASSWORD 'a-password-that-nobody-has-in-a-list';
    CREATE ROLE through LOGIN BYPASSRLS;
    CREATE ROLE reader LOGIN REPLICATION PASSWORD 'changeme' VALID UNTIL '2001-01-01';
    SET password_encryption = 'md5';
    CREATE ROLE writer LOGIN PASSWORD 'a-password-that-nobody-has-in-a-list';
    SET password_encryption = 'scram-sha-256';
    SET scram_iterations = 1;
    CREATE ROLE hasty LOGIN PASSWORD 'a-password-that-nobody-has-in-a-list';
    GRANT pg_read_server_files, pg_read_all_data, pg_signal_backend TO maker;
    GRANT hasty TO through WITH ADMIN OPTION;
    GRANT ALTER SYSTEM ON PARAMETER log_statement TO reader;
    GRANT hasty TO writer;
    ALTER ROLE reader SET synchronous_commit = off;
    CREATE DATABASE shop;
    ALTER DATABASE shop SET search_path = public, pg_catalog;
    CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8';
    UPDATE pg_database SET datcollversion = '0' WHERE datname = 'sorted'
"""
SHOP = """
    GRANT CREATE ON SCHEMA public TO PUBLIC;
    ALTER SCHEMA public OWNER TO maker;
    GRANT USAGE ON SCHEMA public TO reader, writer;
    CREATE TABLE item (id int GENERATED ALWAYS AS IDENTITY, name text);
    GRANT SELECT ON item TO PUBLIC;
    GRANT INSERT ON item TO reader;
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
    CREATE FUNCTION loose() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
    GRANT SELECT ON pg_catalog.pg_authid TO public;
    GRANT EXECUTE ON FUNCTION pg_read_file(text) TO writer;
    GRANT SELECT ON item TO hasty WITH GRANT OPTION;
    CREATE FUNCTION pg_catalog.upper(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
    ALTER FUNCTION pg_catalog.upper(int) OWNER TO writer;
    CREATE LANGUAGE wild HANDLER plpgsql_call_handler;
    CREATE EXTENSION dblink;
    CREATE EXTENSION hstore VERSION '1.4';
    CREATE TABLE guarded (id int);
    CREATE POLICY own ON guarded USING (id = 1);
    CREATE FOREIGN DATA WRAPPER away;
    CREATE SERVER far FOREIGN DATA WRAPPER away;
    CREATE USER MAPPING FOR reader SERVER far OPTIONS (user 'a', password 'hidden-in-the-catalog');
    CREATE INDEX item_name ON item (name);
    CREATE INDEX item_name_again ON item (name);
    CREATE TABLE word (word text COLLATE pg_c_utf8);
    UPDATE pg_collation SET collversion = '0' WHERE collname = 'pg_c_utf8';
    ALTER TABLE item ADD CONSTRAINT named CHECK (name <> '') NOT VALID;
    SELECT setval('item_id_seq', 2000000000);
    CREATE UNLOGGED TABLE gone (id int);
    CREATE TABLE left_out (id int) WITH (autovacuum_enabled = false);
    CREATE TABLE dead AS SELECT generate_series(1, 15000) AS id;
    CREATE TABLE unknown AS SELECT generate_series(1, 15000) AS id;
    DELETE FROM dead;
    INSERT INTO guarded VALUES (1), (1);
    SELECT pg_stat_force_next_flush()
"""
HBA = """\
local all all trust
host all all 127.0.0.1/32 md5
host shop reader 10.0.0.0/8 password
host all all 0.0.0.0/0 scram-sha-256
host all all nonsense
"""
#: What a line before it takes wholly is no finding.
SHADOWED = """\
host all all all reject
host all all 0.0.0.0/0 trust
host shop reader 10.0.0.0/8 password
local all all peer
"""
#: What looks sound, and is not; and beside each what looks unsound, and is.
SUBTLE_HBA = """\
local all all peer map=any
local all all peer map=some
host all +dba 10.0.0.0/8 scram-sha-256
host /^. /. 0.0.0.0/1 scram-sha-256
host all all localhost scram-sha-256
hostssl shop reader 10.0.0.0/8 scram-sha-256
include other.conf
"""
SUBTLE_IDENT = "any /^. postgres\nsome /^(.*)-db$ \\1\nsome root postgres\n"
SUBTLE = """
    CREATE ROLE dba;
    GRANT dba TO second;
    CREATE ROLE climber LOGIN PASSWORD 'a-password-that-nobody-has-in-a-list';
    GRANT second TO climber WITH INHERIT FALSE, SET TRUE;
    CREATE ROLE harmless LOGIN PASSWORD 'a-password-that-nobody-has-in-a-list';
    GRANT second, pg_read_server_files TO harmless WITH INHERIT FALSE, SET FALSE;
    ALTER ROLE reader SET row_security = 'no';
    CREATE ROLE auditor LOGIN PASSWORD 'a-password-that-nobody-has-in-a-list';
    CREATE ROLE keepers;
    GRANT keepers TO auditor WITH INHERIT FALSE, SET TRUE;
    CREATE TABLE kept (id int);
    GRANT DELETE ON kept TO keepers;
    CREATE TABLE part (id int, hint text);
    GRANT SELECT (hint) ON part TO PUBLIC;
    GRANT UPDATE (hint) ON part TO auditor;
    CREATE FUNCTION bare() RETURNS int SECURITY DEFINER SET search_path = public
      LANGUAGE sql AS 'SELECT 1';
    CREATE SCHEMA yard;
    GRANT CREATE ON SCHEMA yard TO auditor;
    CREATE FUNCTION yard(int) RETURNS int SECURITY DEFINER SET search_path = yard, pg_temp
      LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION mine() RETURNS int SECURITY DEFINER SET search_path = "$user", pg_temp
      LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION sound() RETURNS int SECURITY DEFINER SET search_path = public, pg_temp
      LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION sounder() RETURNS int SECURITY DEFINER SET search_path = ''
      LANGUAGE sql AS 'SELECT 1';
    ALTER SYSTEM SET archive_command = '/bin/true';
    SELECT pg_reload_conf()
"""


def subtle(server: Server) -> None:
    """The last stage, in a database of its own."""
    server.sql("DROP DATABASE shop", "CREATE DATABASE subtle")
    server.write("pg_hba.conf", "host all all 127.0.0.1/32 trust\n")  # stays in force
    server.sql(*SUBTLE.split(";"), database="subtle")
    server.until("SELECT current_setting('archive_command') = '/bin/true'")
    server.write("pg_hba.conf", SUBTLE_HBA)
    server.write("other.conf", "host all all nonsense\n")
    server.write("pg_ident.conf", SUBTLE_IDENT)


def content(server: Server) -> None:
    """Roles, databases and what is in them; then the settings, for the next start."""
    with server.connect() as connection:
        for one in ROLES.split(";"):
            connection.execute(one)
    server.sql(*SHOP.split(";"), database="shop")
    with server.connect("shop") as connection, suppress(psycopg.errors.UniqueViolation):
        connection.execute("CREATE UNIQUE INDEX CONCURRENTLY half ON guarded (id)")
    _deadlocks(server, 2)
    _certificate(server)
    server.sql(*(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in SETTINGS.items()))


def _deadlocks(server: Server, count: int) -> None:
    """Two sessions that lock the same two things the other way round."""
    for _ in range(count):
        with server.connect() as one, server.connect() as other:
            for session, lock in ((one, 1), (other, 2)):
                session.execute("SET deadlock_timeout = '20ms'")
                session.execute("BEGIN")
                session.execute(f"SELECT pg_advisory_xact_lock({lock})")

            def cross(session: psycopg.Connection[object], lock: int) -> None:
                with suppress(psycopg.errors.DeadlockDetected):
                    session.execute(f"SELECT pg_advisory_xact_lock({lock})")
                session.execute("ROLLBACK")

            crossing = threading.Thread(target=cross, args=(other, 1))
            crossing.start()
            time.sleep(0.01)
            cross(one, 2)
            crossing.join()


def _certificate(server: Server) -> None:
    """A certificate of its own, for five days."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=5))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    server.write("server.crt", made.public_bytes(pem))
    plain = serialization.NoEncryption()
    server.write("server.key", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def age(server: Server, xid: int) -> None:
    """As if a billion transactions had gone by: on the stopped server."""
    segment = server.data / "pg_xact" / f"{xid >> 20:04X}"
    segment.write_bytes(bytes(1 << 18))
    server.own(segment)
    server.tool("pg_resetwal", f"--next-transaction-id={xid}", f"--pgdata={server.data}")
