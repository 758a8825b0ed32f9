"""What is read in the servers' logs of refusals: names, and no values."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from mngdb.engines.mongodb import denied as mongodb
from mngdb.engines.mongodb import refusals as mongodb_log
from mngdb.engines.postgres import available
from mngdb.engines.postgres import denied as postgres
from mngdb.engines.postgres import refusals as postgres_log
from mngdb.engines.postgres.render import PREFIX
from mngdb.engines.redis import denied as redis
from mngdb.errors import UnobservableError, UsageError
from mngdb.facts.denied import (
    NO_LINE,
    PERMITTED,
    WITHDRAWN,
    Denials,
    Denied,
    Evidence,
    Probe,
    key_shape,
    shape,
    tells,
    told,
)
from mngdb.model import DesiredInstance
from mngdb.ops import denied as ops
from mngdb.spec.mongodb import MongodbGrant
from mngdb.spec.postgres import PostgresGrant
from tests.unit.spec import stack

AT = "2026-11-30 05:30:44.554 KST [7]"
MONGO_AT = datetime(2026, 11, 30, 5, 31, 18, 202000, UTC).timestamp()


def always(_app: str, _age: float) -> bool:
    """Whether a refusal is still of concern."""
    return True


def asked(name: str, **grants: object) -> DesiredInstance:
    instance = SimpleNamespace(name=name, granted=lambda _: grants, contained=False, tls=False)
    found = SimpleNamespace(instance=instance, managed=True, site=None, version="17")
    found.unknown, found.logins = frozenset(), lambda app: [app]
    return cast("DesiredInstance", found)


def _session(line: str) -> str:
    """A line with the ID of its session, where it is one's."""
    return re.sub(r"^(?=[0-9A-Z]{5} )", f"{'6a4b1234.1f':<30} ", line)


def written(*lines: str) -> bytes:
    """A log of these."""
    return "".join(f"{AT} {_session(line)}\n" for line in lines).encode()


def of_postgres(*lines: str, probes: Sequence[Probe] = ()) -> dict[str, Denied]:
    grants = {
        "shop": PostgresGrant(database="shop"),
        "report": PostgresGrant(database="shop", access="readonly"),
        "batch": PostgresGrant(database="lone", access="readwrite"),
    }
    session: Any = SimpleNamespace(rows=lambda _: [("Asia/Seoul", PREFIX, ["shop", "lone", "new"])])
    wanted = asked("postgres", **grants)
    found = postgres.look(session, wanted, Evidence(iter([written(*lines)]), always, probes)).found
    return {one.what: one for one in found}


def test_a_refusal_of_tomorrow_is_told_as_that_and_of_no_concern() -> None:
    """The clock was ahead, and was set back: no refusal is just now until then."""
    line = "42501 shop@shop\tapp\tERROR:  permission denied for table t"
    tomorrow = f"{datetime.now(ZoneInfo('Asia/Seoul')) + timedelta(days=1):%Y-%m-%d %H:%M:%S}"
    log = written(line).decode().replace(AT[:19], tomorrow).encode()
    session: Any = SimpleNamespace(rows=lambda _: [("Asia/Seoul", PREFIX, ["shop"])])
    wanted = asked("postgres", shop=PostgresGrant(database="shop"))
    (found,) = postgres.look(session, wanted, Evidence(iter([log]), always)).found
    assert found.over
    assert told([found]).endswith("(1 time, at a time still to come: the clock was ahead)")
    (now,) = of_postgres(line).values()
    assert not now.over
    assert told([now]).endswith(" ago)")


def test_the_statement_gives_its_first_word_alone() -> None:
    found = of_postgres(
        "42501 shop@shop\tapp 1\tERROR:  permission denied for table pg_authid",
        "42501 shop@shop\tapp 1\tSTATEMENT:  select 'secret' from pg_authid",
        "42501 report.2@shop\tapp\tERROR:  permission denied for table t",
        "42501 report.2@shop\tapp\tSTATEMENT:  secret-word that is no statement",
    )
    assert list(found) == [
        "SELECT on the table 'pg_authid' (42501)",
        "access on the table 't' (42501)",
    ]
    assert [one.app for one in found.values()] == ["shop", "report"]
    assert "secret" not in str(found)


def test_what_apps_raise_themselves_and_our_own_is_left_out() -> None:
    assert not of_postgres(
        "42501 shop@shop\tapp\tERROR:  permission denied for the card 4111",
        "42P01 shop@shop\tapp\tERROR:  relation does not exist",
        "42501 monitor@shop\tmngdb\tERROR:  permission denied for table t",
        '28P01 shop@shop\tapp\tERROR:  password authentication failed for user "shop"',
        "a line of several",
        "",
    )


def test_the_line_of_the_file() -> None:
    found = of_postgres(
        "42501 batch@lone\tapp\tERROR:  must be owner of table t",
        "42501 report@shop\tapp\tERROR:  permission denied for schema public at character 14",
        "42501 report@shop\tapp\tSTATEMENT:  CREATE TABLE t ()",
        "28000 batch@new\t[unknown]\tFATAL:  no pg_hba.conf entry for x",
        "42501 shop@shop\tapp\tERROR:  permission denied to create database",
        '42501 batch@shop\t[unknown]\tFATAL:  permission denied for database "shop"',
        '42501 shop@shop\tapp\tERROR:  permission denied to create extension "a"',
        '0A000 shop@shop\tapp\tERROR:  extension "b" is not available',
    )
    assert "at character" not in str(found)
    remedies = [one.remedy for one in found.values()]
    assert remedies[0] == "apps.batch.postgres.access: owner"
    assert remedies[1] == "shop owns the database and has to do it, or grant it"
    assert remedies[2] == 'apps.batch.postgres.databases: ["lone", "new"]'
    line = "apps.shop.postgres: {database: shop, create_databases: true"
    assert remedies[3] == f'{line}, extensions: ["a", "b"]}}'
    assert remedies[4] == "'shop' is the database of shop: it is for that app alone"
    assert remedies[5] == f'{line}, extensions: ["a"]}}'
    assert remedies[6] == (
        "the server does not have the extension b (docs/servers.md#extensions): install the "
        "package with it and set 'binaries: {postgres: /usr/lib/postgresql/17/bin}', then "
        f'{line}, extensions: ["a", "b"]}}'
    )


def test_how_a_server_gets_extensions_that_it_lacks() -> None:
    def found(*names: str, tls: bool = False, has: Sequence[str] = ()) -> list[Denied]:
        wanted = asked("postgres", shop=PostgresGrant(database="shop", extensions=[*has]))
        cast("Any", wanted.instance).tls = tls
        session: Any = SimpleNamespace(rows=lambda _: [("Asia/Seoul", PREFIX, ["shop"])])
        text = '0A000 shop@shop\tapp\tERROR:  extension "{}" is not available'
        log = written(*(text.format(name) for name in names))
        return list(postgres.look(session, wanted, Evidence(iter([log]), always)).found)

    (vector,) = found("vector")
    assert "install postgresql-17-pgvector (Debian, PGDG) and set 'binaries: " in vector.remedy
    assert "'version: 18' (pip install 'mngdb[postgres18]'), then apps.shop." in vector.remedy
    (with_tls,) = found("vector", tls=True)
    assert "postgresql-17-pgvector" in with_tls.remedy
    assert "18" not in with_tls.remedy  # that has no TLS
    (uuid,) = found("uuid-ossp")
    assert uuid.remedy.endswith("]; or call gen_random_uuid(), which needs no extension")
    assert len({one.remedy for one in found("vector", "uuid-ossp")}) == 1
    # what the file asks for is told as the app's own work tells it
    there = found("vector", has=["vector"])
    assert there[0].remedy.endswith("; or remove it from 'extensions'")
    assert tells(there, available.lacks("vector"))
    assert not tells(there, available.lacks("vect"))


@pytest.mark.parametrize(("names", "said", "unsaid"), [
    (["pg_trgn"], "write 'pg_trgm' in place of 'pg_trgn'", "install"),
    (["pgvector"], "write 'vector' in place of 'pgvector'", "install"),
    (["uuid", "vector"], "'version: 18'", "or remove it from the file; write"),
    (["pglogical"], "install the package with it", "write"),
])  # fmt: skip
def test_a_mistyped_extension_is_told_with_the_one_that_is_meant(
    names: list[str], said: str, unsaid: str
) -> None:
    wanted = asked("postgres", shop=PostgresGrant(database="shop", extensions=names))
    cast("Any", wanted.instance).tls = False
    facts: Any = SimpleNamespace(databases={}, unavailable=frozenset(names))
    with pytest.raises(UsageError) as caught:
        available.need_available(wanted, facts)
    assert said in (caught.value.hint or "")
    assert unsaid not in (caught.value.hint or "")


def test_a_session_that_was_idle_for_too_long_is_told_as_a_warning() -> None:
    line = "25P03 shop@shop\tapp\tFATAL:  terminating connection due to idle-in-transaction timeout"
    (one,) = of_postgres(line).values()
    assert one.mild
    assert one.remedy.startswith("apps.shop.postgres.idle_in_transaction_timeout: ")


def test_what_a_server_without_room_refused_is_told_as_a_warning() -> None:
    full = 'could not extend file "base/5/16389": No space left on device'
    found = of_postgres(
        '53300 shop@shop\t[unknown]\tFATAL:  too many connections for role "shop"',
        "53300 shop@shop\t[unknown]\tFATAL:  sorry, too many clients already",
        "53300 shop@shop\t[unknown]\tFATAL:  remaining connection slots are reserved for roles "
        "with the SUPERUSER attribute",
        '3D000 shop@shopp\t[unknown]\tFATAL:  database "shopp" does not exist',
        f"53100 shop@shop\tapp\tERROR:  {full}",
        "53100 shop@shop\tapp\tSTATEMENT:  INSERT INTO t VALUES ('secret-word')",
        "53200 shop@shop\tapp\tERROR:  out of memory",
        '3D000 shop@shop\tapp\tERROR:  database "shopp" does not exist',
        '53100 shop@shop\tapp\tERROR:  could not resize shared memory segment "/PostgreSQL.1" to 9 '
        "bytes: No space left on device",
    )
    assert list(found) == [
        "a connection to 'shop': too many connections for role (53300)",
        "a connection to 'shop': too many clients (53300)",
        "a connection to 'shop': remaining connection slots are reserved (53300)",
        "a login to 'shopp': no such database (3D000)",
        "INSERT: No space left on device (53100)",
        "a statement: out of memory (53200)",
    ]
    assert all(one.mild for one in found.values())
    remedies = [one.remedy for one in found.values()]
    assert "mngdb connections postgres" in remedies[0]
    assert "'shopp', which does not exist; the app's is 'shop': 'mngdb env shop'" in remedies[3]
    assert "host.disk-free" in remedies[4]
    assert "mngdb memory postgres" in remedies[5]


def test_a_mistyped_database_is_offered_in_no_line() -> None:
    login = "28000 shop@{}\t[unknown]\tFATAL:  no pg_hba.conf entry for x"
    create = "42501 shop@shop\tapp\tERROR:  permission denied to create database"
    found = [one.remedy for one in of_postgres(login.format("shopp"), create).values()]
    typo, line = found
    assert typo.endswith(
        "which does not exist; the app's is 'shop': 'mngdb env shop' prints its URL"
    )
    assert line == "apps.shop.postgres: {database: shop, create_databases: true}"
    # another name, that the app was not about to make, is no wish either
    (other,) = of_postgres(login.format("metrics")).values()
    assert other.remedy.startswith("the client asks for the database 'metrics', which does not")
    assert other.remedy.endswith("a new one has to be in apps.shop.postgres.databases")
    lines = [one.remedy for one in of_postgres(login.format("metrics"), create).values()]
    assert all('databases: ["shop", "metrics"]' in one for one in lines)
    # one that is there
    (there,) = of_postgres(login.format("new")).values()
    assert there.remedy == 'apps.shop.postgres: {database: shop, databases: ["shop", "new"]}'
    (others,) = of_postgres(login.format("lone")).values()
    assert others.remedy == "'lone' is the database of batch: it is for that app alone"


def of_mongodb(
    asked: DesiredInstance, lines: Sequence[str], probes: Sequence[Probe] = ()
) -> tuple[Denied, ...]:
    written = iter(["\n".join([*lines, ""]).encode()])
    there = {"databases": [{"name": name} for name in ("admin", "shop", "shops")]}
    session: Any = SimpleNamespace(command=lambda _, **__: there)
    return mongodb.look(session, asked, Evidence(written, always, probes)).found


def mongo(number: int, connection: str, **attr: Any) -> str:
    when = {"$date": "2026-11-30T05:31:18.202+00:00"}
    return json.dumps(
        {"t": when, "c": "ACCESS", "id": number, "ctx": connection, "attr": attr},
        separators=(",", ":"),
    )


def test_mongodb_tells_the_command_and_its_collection() -> None:
    error = 'not authorized on other to execute command { find: "c", filter: { name: "secret" } }'
    lines = [
        mongo(51800, "conn1", doc={"application": {"name": "mngdb"}}),
        mongo(5286306, "conn1", user="shop"),
        mongo(20436, "conn1", error={"errmsg": error}),
        mongo(20249, "conn1", principalName="shop"),
        mongo(20250, "conn2", principalName="shop"),
        mongo(20436, "conn2", error={"errmsg": error}),
        mongo(20436, "conn2", error={"errmsg": error}),
        mongo(20249, "conn3", principalName="shop", speculative=True),
        mongo(20249, "conn3", principalName="shop", speculative=False),
        '{"c":"ACCESS", cut off',
    ]
    grants = asked("mongodb", shop=MongodbGrant(database="shop"))
    found = of_mongodb(grants, lines, [Probe("shop", MONGO_AT, MONGO_AT)])
    assert [(one.login, one.what, one.times, one.mild) for one in found] == [
        ("shop", "find on 'other.c'", 2, False),
        ("shop", "a login", 1, True),
    ]
    assert [one.times for one in of_mongodb(grants, lines)] == [3, 2]
    assert found[0].remedy == ('apps.shop.mongodb: {database: shop, databases: ["shop", "other"]}')
    assert "secret" not in str(found)


def test_of_mongodbs_log_only_lines_of_refused_connections_are_read() -> None:
    signed_in = mongo(20250, "conn1", principalName="shop")
    refused = mongo(
        20436, "conn1", error={"errmsg": "not authorized on x to execute command { a: 1"}
    )
    later = refused.replace('"ctx"', '"svc":"S","ctx"')  # as of version 8
    # an app's values in another line, made to look like a refusal
    forged = mongo(51803, "conn2", command={"id": 20436, "ctx": "conn3"})
    others = [mongo(20250, f"conn{n}", principalName="mail") for n in (10, 11, 2)]
    connections = set[bytes]()
    for one in (refused, later):
        piece = "\n".join([signed_in, *others, forged, one]).encode()
        found = mongodb_log.relevant(piece, connections)
        assert [line for line in found if line != forged] == [signed_in, one]
        assert [one.login for one in mongodb_log.Reader().refusals(found)] == ["shop"]


def test_a_mistyped_database_of_mongodb_is_offered_in_no_line() -> None:
    error = 'not authorized on {} to execute command {{ insert: "c"'
    lines = [
        mongo(5286306, "conn1", user="shop"),
        *(
            mongo(20436, "conn1", error={"errmsg": error.format(name)})
            for name in ("shopp", "shops", "other")
        ),
    ]
    found = of_mongodb(asked("mongodb", shop=MongodbGrant(database="shop")), lines)
    remedies = {one.what: one.remedy for one in found}
    line = 'apps.shop.mongodb: {database: shop, databases: ["shop", "shops", "other"]}'
    assert remedies.pop("insert on 'shopp.c'").endswith(
        "which does not exist; the app's is 'shop': 'mngdb env shop' prints its URL"
    )
    assert {*remedies.values()} == {line}, "shops is there; a first write would make other"


def test_a_connection_with_a_login_that_a_rotation_withdrew_in_mongodb() -> None:
    lines = [
        mongo(5286306, "conn1", user="shop"),
        *(
            mongo(20436, "conn1", error={"errmsg": f"not authorized on {what}"})
            for what in ('shop to execute command { find: "c"', "shop to execute command { ping: 1")
        ),
    ]
    for logins, withdrawn in ((["shop"], False), (["shop.2"], True), (["shop", "shop.2"], False)):
        wanted: Any = asked("mongodb", shop=MongodbGrant(database="shop"))
        wanted.logins = lambda _, logins=logins: logins
        remedies = {one.remedy for one in of_mongodb(wanted, lines)}
        assert (remedies == {WITHDRAWN.format(app="shop")}) is withdrawn
        assert (PERMITTED in remedies) is not withdrawn


def test_no_right_of_the_file_covers_system_collections_of_mongodb() -> None:
    error = "not authorized on shop to execute command { drop: %s }"
    lines = [
        mongo(5286306, "conn1", user="shop"),
        *(
            mongo(20436, "conn1", error={"errmsg": error % f'"{name}"'})
            for name in ("orders", "system.views")
        ),
    ]
    found = of_mongodb(asked("mongodb", shop=MongodbGrant(database="shop")), lines)
    remedies = {one.what: one.remedy for one in found}
    assert remedies == {
        "drop on 'shop.orders'": PERMITTED,
        "drop on 'shop.system.views'": f"{NO_LINE} drop on 'shop.system.views'",
    }


def test_what_a_shell_asks_of_everybody_is_no_refusal_of_the_app() -> None:
    def lines(program: str, collection: str) -> list[str]:
        asks = f'not authorized on admin to execute command {{ aggregate: "{collection}", x: 1 }}'
        return [
            mongo(51800, "conn1", doc={"application": {"name": program}}),
            mongo(5286306, "conn1", user="shop"),
            mongo(20436, "conn1", error={"errmsg": asks}),
            mongo(
                20436,
                "conn1",
                error={"errmsg": "not authorized on admin to execute command { hostInfo: 1 }"},
            ),
        ]

    def told(program: str, collection: str) -> int:
        grants = asked("mongodb", shop=MongodbGrant(database="shop"))
        return len(of_mongodb(grants, lines(program, collection)))

    assert told("mongosh 2.5.8", "atlascli") == 0
    assert told("mongosh 2.5.8", "system.users") == 1
    assert told("shop", "atlascli") == 2


def of_redis(apps: str, *refused: tuple[str, str, str]) -> str:
    """What helps the app `a` that was refused these: reason, command and object."""
    keys = "count", "reason", "context", "object", "username", "age-seconds", "client-info"
    entries = [
        dict(zip(keys, (1, reason, "toplevel", name, "a", "1", f"id=3 cmd={command}"), strict=True))
        for reason, command, name in refused
    ]
    instance = stack(f"redis: {{}}\napps: {apps}").instances["redis"]
    session: Any = SimpleNamespace(ask_all=lambda _: [entries])
    wanted = cast("DesiredInstance", SimpleNamespace(instance=instance))
    found = redis.look(session, wanted, Evidence(None, always))
    return "; ".join(dict.fromkeys(one.remedy for one in found.found))


def test_a_client_that_asks_for_a_cluster_is_told_of_a_single_server() -> None:
    refused = ("command", "cluster|shards", "cluster|shards"), ("command", "object", "object|freq")
    cluster, line = sorted(of_redis("{a: {redis: 'a:*'}}", *refused).split("\n"), reverse=True)
    assert "single server" in cluster
    assert "cluster|" not in line
    assert "+object|freq" in line


def test_nothing_of_others_is_advised_in_redis() -> None:
    both = "{a: {redis: 'a:*'}, b: {redis: {keys: 'b:*', channels: ['b:*', 'news:eu:*']}}}"
    assert of_redis(both, ("key", "get", "free:1")) == 'apps.a.redis.keys: ["a:*", "free:*"]'
    for reason, command, name, said in (
        ("key", "get", "*", "no line of the file permits '*': "),
        ("key", "get", "c*:1", "no line of the file permits 'c*:1': "),
        ("channel", "publish", "c?", "no line of the file permits 'c?': "),
        ("key", "get", "9f86d081884c7d65", "'*' would be keys of every app"),
        ("key", "get", "b:1", "'b:*' has keys of b"),
        ("channel", "psubscribe", "*", "'*' would be channels of every app"),
        ("channel", "psubscribe", "n*", "'n*' has channels of b"),
        ("channel", "publish", "b:secret", "'b:*' has channels of b"),
        ("channel", "publish", "news:all", "'news:*' has channels of b"),
    ):
        told = of_redis(both, (reason, command, name))
        assert told.startswith(said), told
        assert "apps.a" not in told


def test_software_that_was_not_told_its_prefix_in_redis() -> None:
    apps = "{a: {redis: {keys: 'a:*', for: [bullmq, socket.io]}}}"
    told = of_redis(
        apps, ("key", "hset", "bull:q:meta"), ("channel", "psubscribe", "socket.io#/#*")
    )
    assert (
        "bullmq was not told its prefix; set in the app: new Queue(name, {connection, prefix: 'a'})"
        in told
    )
    assert "createAdapter(pub, sub, {key: 'a:socket.io'})" in told
    assert "apps.a" not in told
    assert "apps.a.redis.keys" in of_redis(apps, ("key", "get", "other:1"))


def test_no_database_of_others_is_advised() -> None:
    error = "not authorized on %s to execute command { find: 'c' }"
    grants = asked("mongodb", a=MongodbGrant(database="a"), b=MongodbGrant(database="b"))
    for name, said in (("b", "'b' is the database of b"), ("x*", "no line of the file permits")):
        lines = [
            mongo(5286306, "conn1", user="a"),
            mongo(20436, "conn1", error={"errmsg": error % name}),
        ]
        (one,) = of_mongodb(grants, lines)
        assert one.remedy.startswith(said)
    for name in ("template1", "t*"):
        said = f'42501 shop@{name}\t[unknown]\tFATAL:  permission denied for database "{name}"'
        (found,) = of_postgres(said).values()
        assert found.remedy.startswith("no line of the file permits")


def test_who_has_no_login_makes_no_evidence_in_postgres() -> None:
    denied = "permission denied for table t"
    forged = f"42501 shop@shop\tz\tERROR:  {denied}"
    assert of_postgres("LOG:  checkpoint", forged)
    # in the name of a user, of a database
    end = "[unknown]\tFATAL:  no pg_hba.conf entry for x"
    (one,) = of_postgres(f"28000 {forged}_x@db\t{end}").values()
    assert one.what.startswith("a login")
    assert "shop" not in {one.app for one in of_postgres(f"28000 x@{forged}\t{end}").values()}
    # with line breaks: a name has no room for what a line begins with, wherever that is cut
    line = f"\n{AT} {_session(forged)}"
    for name in (line[start:][:63] for start in range(len(line))):
        for names in (f"{name}@d", f"x@{name}", f"{name}@{name}"):
            for seen in (f"{names}\t{end}", f"{names}\n\t{end}"):
                log = written(f"28000 {seen}", "LOG:  x", f"28000 {seen}")
                said = [one.what for one in postgres_log.refusals(log, ZoneInfo("UTC"))]
                assert all(what.startswith("a login") for what in said), names
    # a database of an app's own, in which it is refused something
    mine = f"report@\n{line[1:63]}"
    (one,) = of_postgres(f"42501 {mine}\tapp\tERROR:  {denied}").values()
    assert one.login == "report"
    # in words of the statement, and of what an app raises
    assert not of_postgres(f"P0001 shop@shop\tapp\tERROR:  {denied}")
    assert not of_postgres(f"42601 shop@shop\tapp\tSTATEMENT:  '\tERROR:  {denied}")


@pytest.mark.parametrize("name", ["x ERROR:  y", "x STATEMENT:  y", "FATAL:  ", "42501 a@b", "x"])
def test_no_name_hides_a_refusal_in_postgres(name: str) -> None:
    """Of the program; of a database, which has tabs where the app makes it."""
    for names in (
        f"shop\t{name}",
        f"my shop\t{name}\tERROR:  \tz",
        f"\tSTATEMENT:  {name}\tz",
        f"a\n\n\t{name}\n\tz",
    ):
        denied = f"42501 shop@{names}\tERROR:  permission denied for"
        found = of_postgres(
            f"{denied} view v at character 9",
            f"42501 shop@{names}\tSTATEMENT:  select '\tERROR:  permission denied for table t'",
            f"{denied} table a@b",
        )
        assert [(one.login, one.times) for one in found.values()] == [("shop", 1)] * 2
        assert "on the view 'v'" in str(found)
        assert "on the table 'a@b'" in str(found)


def test_a_log_whose_lines_begin_in_another_way_is_not_visible() -> None:
    session: Any = SimpleNamespace(rows=lambda _: [("UTC", "%m [%p] %q%u@%d %a ", [])])
    with pytest.raises(UnobservableError, match="log_line_prefix"):
        postgres.look(session, asked("postgres"), Evidence(iter([b""]), always))


def test_postgres_log_of_every_detail_is_read() -> None:
    assert of_postgres("42501 shop@shop\tx\tERROR:  42501: permission denied for table t")


def test_the_name_of_mngdb_hides_what_no_probe_was_refused_in_postgres() -> None:
    moment = datetime(2026, 11, 29, 20, 30, 44, 554000, UTC).timestamp()
    line = "42501 shop@shop\tmngdb\tERROR:  permission denied for table t"
    login = '28P01 shop@shop\t[unknown]\tFATAL:  password authentication failed for user "shop"'
    for app, begun, hidden in (
        ("shop", moment - 0.5, True),
        ("shop", moment - 60.0, False),
        ("report", moment - 0.5, False),
    ):
        found = of_postgres(line, login, probes=[Probe(app, begun, begun + 1.0)])
        assert bool(found) is not hidden
    assert of_postgres(
        "42501 shop@shop\tapp\tERROR:  permission denied for table t",
        probes=[Probe("shop", moment - 0.5, moment + 0.5)],
    )


def test_the_name_of_mngdb_hides_no_login_that_mngdb_has_not() -> None:
    (one,) = of_postgres("42501 ghost@shop\tmngdb\tERROR:  permission denied for table t").values()
    assert one.login == "ghost"
    ours: dict[str, Any] = {"doc": {"application": {"name": "mngdb"}}}
    error = {"errmsg": "not authorized on admin to execute command { find: 'c' }"}
    lines = [
        mongo(51800, "conn1", **ours),
        mongo(20249, "conn1", principalName="ghost"),
        mongo(51800, "conn2", **ours),
        mongo(5286306, "conn2", user="other"),
        mongo(20436, "conn2", error=error),
    ]
    grants = asked("mongodb", shop=MongodbGrant(database="shop"))
    found = of_mongodb(grants, lines)
    assert {one.login for one in found} == {"ghost", "other"}


@pytest.mark.parametrize("name", ["conn7", 'x","id":20436,"ctx":"conn1"', "mngdb", "\n\u2028"])
def test_no_name_forges_or_hides_a_refusal_in_mongodb(name: str) -> None:
    lines = [
        mongo(51800, "conn1", doc={"application": {"name": name}}),
        mongo(5286306, "conn1", user="shop"),
        mongo(20436, "conn1", error={"errmsg": "not authorized on x to execute command { find: 1"}),
        mongo(5286307, "conn9", user=name),
    ]
    found = of_mongodb(asked("mongodb", shop=MongodbGrant(database="shop")), lines)
    assert [(one.login, one.what) for one in found] == [("shop", "find on 'x'"), (name, "a login")]


def test_logins_of_mngdb_are_no_apps_that_the_file_lacks() -> None:
    line = '28P01 %s@postgres\t[unknown]\tFATAL:  password authentication failed for user "x"'
    (own,), (other,) = (of_postgres(line % who).values() for who in ("monitor", "ghost"))
    assert "of mngdb's own" in own.remedy
    assert other.remedy == "the file has no such app"


def test_refusals_are_read_as_a_log_grows() -> None:
    follower = mongodb_log.Follower()
    assert not follower.read(f"{mongo(5286306, 'conn1', user='shop')}\n".encode())
    error = {"errmsg": "not authorized on other to execute command { find: 'c' }"}
    denied, login = mongo(20436, "conn1", error=error), mongo(5286307, "conn2", user="ghost")
    found = follower.read(f"{denied}\n{login}\n{login}\n".encode())
    assert [(one.login, one.kind) for one in found] == [("shop", "access"), ("ghost", "login")]
    lines = [
        "42501 shop@shop\tapp\tERROR:  permission denied for table t",
        '28P01 shop@shop\t[unknown]\tFATAL:  password authentication failed for user "shop"',
        "57P05 shop@shop\tapp\tFATAL:  terminating connection due to idle-session timeout",
        '53300 shop@shop\t[unknown]\tFATAL:  too many connections for role "shop"',
    ]
    read = postgres_log.Reader("Asia/Seoul").read(written(*lines))
    assert [(one.login, one.kind) for one in read] == [("shop", "access"), ("shop", "login")]


def test_ids_are_not_told() -> None:
    assert [
        shape(name)
        for name in (
            "sess:kq83hsvb2ks92lsq72hs6dfs",
            "bull:mail:1",
            "user:48151623",
            "cache:9f86d081884c7d65",
            "__keyevent@0__:*",
            "Hunter2-Hunter2-Hunter2",
        )
    ] == ["sess:*", "bull:mail:1", "user:*", "cache:*", "__keyevent@0__:*", "*"]
    told = {
        "SINGLETONLOCK_9f86d081884c7d659a2feaa0c55ad015": "SINGLETONLOCK_*",
        "qo_proj.tasks.mail_to-7": "qo_proj.tasks.mail_to-7",
        "qo_proj.tasks.mail_to-48151623": "qo_proj.tasks.mail_to-*",
        "report_2026-11-30_daily_total": "report_*",
        "session_a8Fk2LmQ9xYz3B": "session_*",
        # of an ID that has such characters of its own, nothing is told
        "kQ8-3hs_vb2ks92lsq72hs6dfs": "*",
        "sess:kQ8-3hs_vb2ks92lsq72hs6dfs": "sess:*",
    }
    assert {name: key_shape(name) for name in told} == told


def concern(state: Path, *ages: float, app: str = "monitor") -> object:
    """Whether what an app was refused so many seconds ago is still of concern."""
    context: Any = SimpleNamespace(
        stack=SimpleNamespace(state=state), target=lambda _: SimpleNamespace(servers=None)
    )
    engine: Any = SimpleNamespace(
        denied=lambda *given: Denials(tuple(given[2].recent(app, age) for age in ages))
    )
    instance: Any = SimpleNamespace(name="pg", grants={}, unit="pg")
    wanted = cast("Any", SimpleNamespace(instance=instance))
    return [*ops.look(context, engine, None, wanted).found]


def test_a_log_that_only_its_owner_may_read_is_not_visible(tmp_path: Path) -> None:
    class Closed:
        def lost(self) -> str:
            return ""

        def back(self) -> Iterator[bytes]:
            raise PermissionError(errno.EACCES, "Permission denied", "server.log")

    context: Any = SimpleNamespace(
        stack=SimpleNamespace(state=tmp_path),
        target=lambda _: SimpleNamespace(servers=SimpleNamespace(log=lambda _: Closed())),
    )
    engine: Any = SimpleNamespace(denied=lambda *given: [*given[2].log])
    instance: Any = SimpleNamespace(name="pg", grants={}, unit="pg")
    wanted = cast("Any", SimpleNamespace(instance=instance))
    with pytest.raises(UnobservableError, match="Permission denied"):
        ops.look(context, engine, None, wanted)


def changed(state: Path, what: str, ago: float, app: str = "") -> None:
    """Something was changed so many seconds ago."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    step = {"instance": "pg", "result": "done", "object": what, "time": at.isoformat(), "app": app}
    (state / "audit.log").write_text(json.dumps(step) + "\n")


def test_what_an_app_was_refused_before_its_last_change_is_no_news(tmp_path: Path) -> None:
    assert concern(tmp_path, 0.0, 60.0, 7200.0) == [True, True, False]
    changed(tmp_path, "role shop", 30)
    assert concern(tmp_path, 20.0, 60.0, app="shop") == [True, False]


def test_the_agents_scrapes_by_the_password_of_before_are_no_news(tmp_path: Path) -> None:
    changed(tmp_path, "role monitor", 60)
    assert concern(tmp_path, 20.0, 45.0, 70.0) == [True, False, False]
    changed(tmp_path, "role monitor", 10)
    assert concern(tmp_path, 0.0) == [False]


def test_a_change_is_of_the_app_whose_line_asks_for_it(tmp_path: Path) -> None:
    changed(tmp_path, "database shop", 30, "rep")
    assert concern(tmp_path, 60.0, app="rep") == [False]
    assert concern(tmp_path, 60.0, app="shop") == [True], "the database alone is called so"
    changed(tmp_path, "extension vector", 30, "shop")
    assert concern(tmp_path, 60.0, app="shop") == [False]
    changed(tmp_path, "database shop", 30)
    assert concern(tmp_path, 60.0, app="shop") == [True]


def test_an_app_that_left_the_file_was_changed_too(tmp_path: Path) -> None:
    changed(tmp_path, "gone", 30)
    assert concern(tmp_path, 0.0, 60.0, app="gone") == [True, False]


def test_a_change_of_a_clock_that_was_ahead_hides_nothing(tmp_path: Path) -> None:
    changed(tmp_path, "role monitor", -3600)
    assert concern(tmp_path, 0.0, 60.0) == [True, True]
