"""How doctor judges facts: what is a cause, what follows from it, and what is for watching."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from mngdb.checks import registry
from mngdb.checks.doctor.causes import INCIDENTS
from mngdb.checks.doctor.consequences import CONSEQUENCES
from mngdb.checks.doctor.judge import judge
from mngdb.engines.postgres.causes import connect_error
from mngdb.facts.doctor import Condition, Diagnosis, Fired, Refusal, Server, StackFacts
from mngdb.facts.host import Folder
from mngdb.facts.locks import Backend, chains
from mngdb.facts.sessions import OneSession, Sessions
from mngdb.findings import Seen
from mngdb.model import Access
from mngdb.run import NOTHING
from mngdb.secret import Secret
from mngdb.targets.process import log_messages


def server(name: str, **more: Any) -> Server:
    disk: Seen[Folder] = Seen(missing="was skipped")
    return Server(name, name, f"mng-{name}", Condition("running"), more.pop("disk", disk), **more)


def stack_of(*servers: Server) -> StackFacts:
    shares = {"HostDiskFull": 0.95, "PostgresConnectionsExhausted": 0.95}
    return StackFacts(servers, (), (), (), shares | {"UnitRestarting": 2})


def queue(app: str, waiting: int) -> list[Backend]:
    """A session of an app that holds a lock, and those of the same app that wait for it."""
    kind = "client backend"
    holder = Backend(1, app, app, "", kind, "idle in transaction", 60, None, "", "", ())
    others = (
        Backend(n, app, app, "", kind, "active", 9, 9.0, "row", "", (1,))
        for n in range(2, waiting + 2)
    )
    return [holder, *others]


def opened(app: str, count: int, state: str) -> tuple[OneSession, ...]:
    return tuple(OneSession(f"{app}{n}", app, app, "", state, 9, "") for n in range(count))


def test_a_chain_of_causes_has_one_root() -> None:
    """A lock makes sessions wait, they take all connections, and another app is refused."""
    backends, sessions = queue("shop", 38), opened("shop", 39, "waiting")
    refused = Diagnosis("postgres", "blog", "no free connection", "see who", "limit")
    answer = judge(
        stack_of(
            server(
                "postgres",
                locks=chains(backends),
                sessions=Seen(Sessions(40, sessions, reserved=5)),
                logins=(refused,),
            )
        )
    )
    (only,) = answer.wrong
    assert only.trouble.cause == "lock"
    causes = [one.cause for one in only.consequences]
    assert causes == ["connections", "login-limit"]


@pytest.mark.parametrize("limit", [100, 47])  # with room, and with none
def test_a_lock_explains_the_pools_of_those_alone_that_wait_for_it(limit: int) -> None:
    """One app's queue has nothing to do with another app's idle connections."""
    sessions = (*opened("shop", 39, "waiting"), *opened("crm", 4, "idle"))
    refused = [Diagnosis("postgres", app, "its limit", "see", "quota") for app in ("crm", "shop")]
    postgres = server(
        "postgres",
        locks=chains(queue("shop", 38)),
        sessions=Seen(Sessions(limit, sessions, reserved=5)),
        logins=tuple(refused),
    )
    lock, pool = judge(stack_of(postgres)).wrong
    assert {one.app for one in lock.consequences} == {"shop"}
    assert (lock.trouble.cause, pool.trouble.cause, pool.trouble.app) == (
        "lock",
        "app-limit",
        "crm",
    )
    assert "then restart crm" in pool.trouble.command
    assert [one.cause for one in pool.consequences] == ["login-quota"]


def test_a_databases_own_limit_is_told_with_what_lifts_it() -> None:
    said = 'FATAL:  too many connections for database "shop"'
    access = Access("postgres", "127.0.0.1", 5432, "shop", Secret("s"))
    error = connect_error(access, psycopg.OperationalError(said), "shop", lambda: False)
    login = Diagnosis("postgres", "shop", error.message, error.hint, error.kind)
    sessions = Seen(Sessions(100, opened("shop", 1, "idle"), reserved=5))
    (found,) = judge(stack_of(server("postgres", sessions=sessions, logins=(login,)))).wrong
    assert "the database shop has reached its own connection limit" in found.trouble.text
    assert found.trouble.command == error.hint


def test_a_full_disk_explains_its_servers_and_no_others() -> None:
    full = Folder("/data/mng-postgres/data", 0, 0o700, "ext4", 0.01, 1 << 20, None, mount="/data")
    down = Diagnosis("postgres", "shop", "does not run", None, "down")
    wrong = Diagnosis("redis", "shop", "its secret is wrong", "mngdb up", "auth")
    postgres = server("postgres", disk=Seen(full), logins=(down,))
    stopped = replace(postgres, condition=Condition("stopped", said="No space left"))
    answer = judge(stack_of(stopped, server("redis", logins=(wrong,))))
    assert [one.trouble.cause for one in answer.wrong] == ["disk-full", "login-auth"]
    assert "'du -x /data'" in answer.wrong[0].trouble.command
    assert [t.cause for t in answer.wrong[0].consequences] == ["not-running", "login-down"]


def test_a_full_disk_explains_the_secrets_that_could_not_be_written() -> None:
    """`up` cannot generate them: what it lacks comes first."""
    full = Folder("/data/mng-redis/data", 0, 0o700, "ext4", 0.0, 0, None, mount="/data")
    mail = Diagnosis("redis", "mail", "the secret redis_mail is missing", "mngdb up", "secret")
    redis = server("redis", disk=Seen(full), logins=(mail,))
    facts = replace(stack_of(redis, server("postgres")), missing_secrets=("redis_mail",))
    (found,) = judge(replace(facts, vault_lacks="the disk under /data is full")).wrong
    assert found.trouble.cause == "disk-full"
    assert [one.cause for one in found.consequences] == ["secret-unwritten", "login-secret"]
    assert "redis_mail; 'mngdb up' cannot write them" in found.consequences[0].text
    # with a disk of its own, the vault takes them
    causes = [one.trouble.cause for one in judge(facts).wrong]
    assert causes == ["disk-full", "secret"]


@pytest.mark.parametrize("crashes", [("1", "2", "3"), None])
def test_a_server_that_crashed_and_works_again_explains_nothing(
    crashes: tuple[str, ...] | None,
) -> None:
    fired = Fired("UnitRestarting", "warning", "redis", "mng-redis keeps crashing")
    wrong = Diagnosis("redis", "shop", "its secret is wrong", "mngdb up", "auth")
    redis = replace(
        server("redis", logins=(wrong,)), condition=Condition("running"), crashes=crashes
    )
    answer = judge(replace(stack_of(redis), alerts=(fired,)))
    assert [one.trouble.cause for one in answer.wrong] == ["login-auth"]
    assert "was restarted" in answer.watch[-1].text
    (told,) = judge(replace(stack_of(replace(redis, crashes=())), alerts=(fired,))).watch
    assert "UnitRestarting is firing" in told.text
    refused = replace(redis, refusal=Refusal("down", "connection refused", ""))
    answer = judge(replace(stack_of(refused), alerts=(fired,)))
    assert "keeps crashing" in answer.wrong[0].trouble.text
    assert answer.watch == ()


def test_logins_that_could_not_be_tried_are_told() -> None:
    answer = judge(stack_of(replace(server("redis"), untried=("shop", "blog"))))
    assert "redis: 2 app logins not tried" in answer.unseen[0]
    assert answer.exit_code == 0


def test_an_alert_on_refused_writes_is_no_trouble_where_the_server_takes_them() -> None:
    fired = Fired("RedisWritesRefused", "critical", "redis", "Redis redis refuses writes")
    works, full = (
        Diagnosis("redis", "shop", None),
        Diagnosis("redis", "shop", "full", None, "memory"),
    )
    answer = judge(replace(stack_of(server("redis", logins=(works,))), alerts=(fired,)))
    assert not answer.wrong
    assert "takes writes again" in answer.watch[0].text
    answer = judge(replace(stack_of(server("redis", logins=(full,))), alerts=(fired,)))
    assert [one.trouble.cause for one in answer.wrong] == ["memory-full"]


def test_what_is_not_backed_up_is_told_once_and_not_of_a_server_that_is_down() -> None:
    runs = Condition("running")
    both = [replace(server(name), condition=runs) for name in ("redis", "postgres")]
    fired = Fired("BackupOld", "critical", "redis", "redis has no recent backup")
    lost = dict.fromkeys(("redis", "postgres"), "/mnt/x is not the store any more")
    facts = replace(stack_of(*both), backups=lost, alerts=(fired,))
    (found,) = judge(facts).wrong
    assert (found.trouble.cause, found.trouble.instances) == ("backup", ("redis", "postgres"))
    assert [one.cause for one in found.consequences] == ["alert"]
    down = replace(both[0], refusal=Refusal("down", "connection refused", ""))
    (found,) = judge(replace(stack_of(down), backups={"redis": "connection refused"})).wrong
    assert found.trouble.cause == "no-answer"


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("7:M 22 Nov 2026 10:26:47.161 * Background saving terminated with success", NOTHING),
        ("2026-11-22 10:26:47 UTC [7] LOG:  checkpoint complete: wrote 3 buffers", NOTHING),
        ("7:M 22 Nov 2026 10:26:47.161 # Can't open the log", "Can't open the log"),
        ("7:M 22 Nov 2026 10:26:47.161 * Error opening it: Permission denied", "denied"),
        ("2026-11-22 10:26:47 UTC [7] LOG:  server process (PID 9) was terminated", "terminated"),
        ("what nobody expected", "what nobody expected"),
    ],
)
def test_a_servers_everyday_work_is_not_why_it_ended(last: str, said: str) -> None:
    before = "7:M 22 Nov 2026 10:00:00.000 * Ready to accept connections tcp"
    assert log_messages.cause(f"{before}\n{last}\n").endswith(said)


def test_what_is_judged_is_known_to_the_checks_and_in_the_order_of_the_table() -> None:
    known = {one.id for one in registry.every()}
    assert {one for ids in INCIDENTS.values() for one in ids} <= known
    order = list(CONSEQUENCES)
    for cause, explained in CONSEQUENCES.items():
        later = [one for one in explained if one in order]
        assert all(order.index(one) > order.index(cause) for one in later), cause


def test_a_transaction_that_somebody_forgot_is_for_watching() -> None:
    one = OneSession("1", "shop", "shop", "", "idle in transaction", 90, "UPDATE stock")
    answer = judge(stack_of(server("postgres", sessions=Seen(Sessions(100, (one,), reserved=5)))))
    assert (answer.wrong, answer.exit_code) == ((), 0)
    (watched,) = answer.watch
    assert "shop has 1 session idle" in watched.text


def test_what_the_last_up_could_not_do_is_told() -> None:
    answer = judge(stack_of(server("redis", unfinished="CONFIG SET failed"), server("postgres")))
    (only,) = answer.watch
    assert only.text.endswith("the last 'mngdb up' failed: CONFIG SET failed")
    assert (only.instances, answer.wrong) == (("redis",), ())
