"""Servers as teams have them before mngdb: a PostgreSQL as the official image makes it with twenty
roles, nested groups and default privileges; a Redis with an ACL file, or with requirepass alone; a
MongoDB with built-in roles, and logins in several databases."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymongo
import redis

from mngdb.targets.local import programs
from tests.checks.mongods import started
from tests.checks.postgres_server import PASSWORD, Server, stock
from tests.conftest import free_port
from tests.live.scrapes import until

#: Of every login below.
SECRET = "a-password-that-others-chose"
_PEOPLE = [f"person{number}" for number in range(1, 11)]
_ROLES = f"""
CREATE ROLE shop LOGIN PASSWORD '{SECRET}';
CREATE DATABASE shop OWNER shop;
CREATE DATABASE shop_test OWNER shop;
ALTER ROLE shop CREATEDB;
CREATE ROLE grafana LOGIN PASSWORD '{SECRET}';
CREATE DATABASE grafana;
GRANT ALL PRIVILEGES ON DATABASE grafana TO grafana;
CREATE ROLE readers NOLOGIN;
CREATE ROLE writers NOLOGIN IN ROLE readers;
CREATE ROLE auditors NOLOGIN IN ROLE writers;
CREATE ROLE report LOGIN PASSWORD '{SECRET}';
ALTER ROLE report SET statement_timeout = '90s';
ALTER ROLE report SET lock_timeout = 1500;
ALTER ROLE report SET idle_in_transaction_session_timeout = '1.5h';
ALTER ROLE report SET search_path = sales, public;
ALTER ROLE report SET app.token = 'hidden-by-us';
ALTER ROLE report IN DATABASE shop SET statement_timeout = '5s';
CREATE ROLE worker LOGIN PASSWORD '{SECRET}' IN ROLE writers;
CREATE ROLE partial LOGIN PASSWORD '{SECRET}';
CREATE ROLE "Clerk 2" LOGIN PASSWORD '{SECRET}' CREATEDB;
CREATE ROLE boss LOGIN SUPERUSER PASSWORD '{SECRET}';
CREATE ROLE standby LOGIN REPLICATION PASSWORD '{SECRET}';
CREATE ROLE weak LOGIN PASSWORD '{SECRET}';
{"".join(f"CREATE ROLE {name} LOGIN PASSWORD '{SECRET}' IN ROLE auditors;" for name in _PEOPLE)}
"""
_INSIDE = """
CREATE EXTENSION pg_trgm;
CREATE TABLE customer (id serial PRIMARY KEY, name text);
CREATE TABLE invoice (id serial PRIMARY KEY, customer int REFERENCES customer);
GRANT SELECT ON ALL TABLES IN SCHEMA public TO readers, report;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO writers;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO writers;
GRANT SELECT ON customer TO partial;
ALTER DEFAULT PRIVILEGES FOR ROLE shop IN SCHEMA public GRANT SELECT ON TABLES TO readers;
ALTER DEFAULT PRIVILEGES FOR ROLE shop GRANT ALL ON TABLES TO writers WITH GRANT OPTION;
"""
#: Everything that says who may do what, and who is who.
_DUMP = """
SELECT 'role ' || rolname, to_jsonb(a) - 'oid' FROM pg_authid a
UNION ALL SELECT concat_ws(' ', 'member', roleid, member, grantor), to_jsonb(m) - 'oid'
  FROM pg_auth_members m
UNION ALL SELECT 'database ' || datname, jsonb_build_object('owner', datdba, 'acl', datacl,
  'open', datallowconn, 'limit', datconnlimit) FROM pg_database
UNION ALL SELECT concat_ws(' ', 'setting', setdatabase, setrole), to_jsonb(setconfig)
  FROM pg_db_role_setting
UNION ALL SELECT concat_ws(' ', 'comment', objoid, classoid), to_jsonb(description)
  FROM pg_shdescription
UNION ALL SELECT concat_ws(' ', 'relation', oid, relname),
  jsonb_build_object('owner', relowner, 'acl', relacl) FROM pg_class
UNION ALL SELECT 'schema ' || nspname, jsonb_build_object('owner', nspowner, 'acl', nspacl)
  FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
UNION ALL SELECT concat_ws(' ', 'default', defaclrole, defaclnamespace, defaclobjtype),
  jsonb_build_object('acl', defaclacl) FROM pg_default_acl
"""
ACL = f"""\
user default off
user admin on >{SECRET} ~* &* +@all
user shop on >{SECRET} ~shop:* &shop:* +@all -@dangerous
user cache on >{SECRET} ~cache:* ~tmp:* resetchannels +@read +@write +@connection
user report on >{SECRET} %R~shop:* resetchannels +@read +@connection
user mixed on >{SECRET} ~own:* %R~shop:* +@all
user selected on >{SECRET} ~s:* +@read (~t:* +@write)
user gone off >{SECRET} ~gone:* +@all
user weak on >{SECRET} +ping +info
"""


@dataclass
class Team:
    """A server, how its administrator comes in, and everything that may not change."""

    url: str
    """Without a password."""
    password: str

    def rights(self) -> dict[str, Any]:
        """All logins, rights and owners by names, with the verifiers of passwords."""
        raise NotImplementedError

    def enter(self, login: str, password: str = SECRET) -> Any:
        """Log in as an app does. Raises the driver's error."""
        raise NotImplementedError


@dataclass
class Postgres(Team):
    """As `docker run postgres` makes it."""

    server: Server

    def connect(self, user: str, database: str, password: str) -> psycopg.Connection[Any]:
        at = f"host=127.0.0.1 port={self.server.port} user={user} dbname={database}"
        return psycopg.connect(at, password=password, autocommit=True)

    def sql(self, statement: str, database: str = "postgres") -> Any:
        with self.connect("postgres", database, self.password) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def rights(self) -> dict[str, Any]:
        names = [name for (name,) in self.sql("SELECT datname FROM pg_database WHERE datallowconn")]
        return {f"{name}: {what}": value for name in names for what, value in self.sql(_DUMP, name)}

    def enter(self, login: str, password: str = SECRET) -> Any:
        with self.connect(login, "shop", password) as connection:
            return connection.execute("SELECT current_user").fetchone()


@dataclass
class Redis(Team):
    """With an ACL file; without one, with requirepass alone."""

    port: int

    def client(self, user: str, password: str) -> redis.Redis:
        return redis.Redis(port=self.port, username=user, password=password, socket_timeout=60)

    def rights(self) -> dict[str, Any]:
        user = self.url.partition("://")[2].partition("@")[0]
        with self.client(user, self.password) as admin:
            logins = {str(line).split(" ")[1]: line for line in admin.acl_list()}
            return {**logins, "settings": admin.config_get("*")}

    def enter(self, login: str, password: str = SECRET) -> Any:
        with self.client(login, password) as client:
            return client.execute_command("ACL", "WHOAMI") if login == "admin" else client.ping()


@dataclass
class Mongo(Team):
    """With authorization, by somebody who followed a tutorial."""

    port: int

    def client(self, user: str, password: str, source: str = "admin") -> Any:
        at = f"mongodb://{user}:{password}@127.0.0.1:{self.port}/{source}?directConnection=true"
        return pymongo.MongoClient(at)

    def rights(self) -> dict[str, Any]:
        with self.client("admin", self.password) as client:
            users = client.admin.command("usersInfo", {"forAllDBs": True}, showCredentials=True)
            roles = client.admin.command("rolesInfo", 1, showPrivileges=True)
            indexes = {
                f"{name}.{one}": client[name][one].index_information()
                for name in client.list_database_names()
                for one in client[name].list_collection_names()
                if name not in {"admin", "config", "local"}
            }
            every = [*users["users"], *roles["roles"]]
            return {one["_id"]: {k: str(v) for k, v in one.items()} for one in every} | indexes

    def enter(self, login: str, password: str = SECRET) -> Any:
        with self.client(login, password) as client:
            return client.admin.command("ping")


@contextmanager
def postgres() -> Iterator[Postgres]:
    """The server with its roles; who reaches it gives a password (SCRAM)."""
    with stock() as found:
        hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        found.write("pg_hba.conf", hba)
        at = f"postgresql://postgres@127.0.0.1:{found.port}/postgres"
        team = Postgres(at, PASSWORD, found)
        team.sql("SELECT pg_reload_conf()")
        for statement in filter(str.strip, _ROLES.split(";")):
            team.sql(statement)
        with team.connect("shop", "shop", SECRET) as connection:
            connection.execute(_INSIDE)
        team.sql("CREATE SCHEMA own AUTHORIZATION grafana", "grafana")
        yield team


@contextmanager
def a_redis(folder: Path, *, acl: bool) -> Iterator[Redis]:
    """The server, with nothing on its disk."""
    port = free_port()
    program = programs.find("redis", "8", None, None)
    argv = [program.server, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    argv += ["--dir", str(folder)]
    if acl:
        (folder / "users.acl").write_text(ACL)
        argv += ["--aclfile", str(folder / "users.acl")]
    else:
        (folder / "redis.conf").write_text(f"requirepass {SECRET}\n")
        argv.insert(1, str(folder / "redis.conf"))
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    user = "admin" if acl else "default"
    try:
        team = Redis(f"redis://{user}@127.0.0.1:{port}", SECRET, port)
        until(lambda: _answers(team, user))
        yield team
    finally:
        process.terminate()
        process.wait(60)


def _answers(team: Redis, user: str) -> bool:
    try:
        return bool(team.enter(user))
    except redis.ConnectionError:
        return False


@contextmanager
def mongo() -> Iterator[Mongo]:
    """The server with its logins."""
    with started("--auth", "--bind_ip", "127.0.0.1") as found:
        found.run("createUser", "admin", pwd=SECRET, roles=["root"])
        at = f"mongodb://admin@127.0.0.1:{found.port}/?directConnection=true"
        team = Mongo(at, SECRET, found.port)
        with team.client("admin", SECRET) as client:
            admin = client.admin
            read = {"db": "chat", "role": "read"}
            write = {"db": "chat", "role": "readWrite"}
            one = {"resource": {"db": "chat", "collection": "rooms"}, "actions": ["find"]}
            admin.command("createRole", "rooms", privileges=[one], roles=[])
            admin.command("createRole", "nested", privileges=[], roles=[write])
            for name, roles in (
                ("chat", [write]),
                ("report", [read]),
                ("nested", ["nested"]),
                ("several", [write, {"db": "shop", "role": "dbOwner"}]),
                ("rooms", ["rooms"]),
                ("keeper", ["userAdminAnyDatabase"]),
                ("weak", []),
            ):
                admin.command("createUser", name, pwd=SECRET, roles=roles)
            client.shop.command("createUser", "shop", pwd=SECRET, roles=["readWrite"])
            client.chat.users.create_index("username", unique=True)
            client.chat.tokens.create_index("expiresAt", expireAfterSeconds=0)
            client.chat.messages.create_index([("room", 1), ("at", -1)], name="by_room")
            client.chat.messages.create_index(
                "text", collation={"locale": "ko"}, partialFilterExpression={"size": {"$gt": 5}}
            )
        yield team
