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
    GRANT pg_read_server_files, pg_read_all_data TO maker;
    GRANT hasty TO writer;
    ALTER ROLE reader SET synchronous_commit = off;
    CREATE DATABASE shop;
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
