"""Hundreds of apps on one server: the work grows with their number, not faster (B5)."""

from __future__ import annotations

from contextlib import suppress

import psutil
import pytest

from tests.conftest import Cli
from tests.live import faults
from tests.live.clients import planned, work
from tests.live.postgres import pg, refused, sql, value
from tests.live.scrapes import until

pytestmark = [pytest.mark.live, pytest.mark.slow]

HEAD = "name: mng\npostgres: {port: PORT1, memory: 128mb}\napps:\n"


def write(cli: Cli, count: int) -> None:
    cli.write(HEAD + "".join(f"  app{n}: {{postgres: db{n}}}\n" for n in range(count)))


def _in_session(process: psutil.Process) -> bool:
    """Whether a child of the server is a session, or is about to end: then it has no title."""
    try:
        title = " ".join(process.cmdline())
    except psutil.ZombieProcess:
        return True
    except psutil.NoSuchProcess:
        return False
    return not title.strip() or "127.0.0.1(" in title


def served(cli: Cli) -> float:
    """Processor seconds of PostgreSQL so far, with those of the sessions that are over."""
    server = psutil.Process(faults.pid(cli, "mng-pg"))
    # a session counts when the server has taken note of its end
    until(lambda: not any(map(_in_session, server.children())))
    ended, times = server.cpu_times(), []
    for one in (server, *server.children()):
        with suppress(psutil.NoSuchProcess):
            times.append(one.cpu_times())
    return sum(t.user + t.system for t in times) + ended.children_user + ended.children_system


def sent(cli: Cli, verb: str) -> int:
    """Statements that a command sends: their number is the same on a busy machine."""
    count = "SELECT sum(calls)::int FROM pg_stat_statements"
    before = value(cli, count)
    cli.ok(verb)
    return int(value(cli, count) - before)


def test_plan_and_up_of_many_apps_grow_linearly_on_one_connection_at_a_time(cli: Cli) -> None:
    write(cli, 1)
    cli.ok("up")
    idle = {verb: sent(cli, verb) for verb in ("plan", "up")}
    write(cli, 30)
    few = sent(cli, "up") - idle["up"]
    looked = {verb: sent(cli, verb) - idle[verb] for verb in ("plan", "up")}
    assert min(few, *looked.values()) >= 29  # they count
    write(cli, 120)
    # four times as many; the square of that would be 16 times as many
    assert sent(cli, "up") - idle["up"] < 4 * few * 1.5
    for verb, before in looked.items():
        assert sent(cli, verb) - idle[verb] < 4 * before * 1.5
    assert planned(cli) == []
    assert value(cli, "SELECT count(*) FROM pg_database WHERE datname LIKE 'db%'") == 120
    assert value(cli, "SELECT current_user", "app119") == "app119"
    log = "\n".join(cli.json("logs", "postgres", "-n", "20000")["lines"])
    logins = log.count("connection authorized: user=postgres database=db")
    assert logins < 120 * 9  # one look at each database for each command and each round


def test_databases_are_made_as_fast_as_the_server_alone_makes_them(cli: Cli) -> None:
    """The same CREATE DATABASE statements, by hand and by `up`, on the same server: what they take
    of the processor. How long they take says more of what else the machine does."""
    write(cli, 1)
    cli.ok("up")
    sql(cli, "CREATE DATABASE warm TEMPLATE template0")
    before = served(cli)
    with pg(cli) as connection:
        for number in range(30):
            connection.execute(f"CREATE DATABASE bare{number} TEMPLATE template0")
    bare = served(cli) - before
    idle = work(cli, "up")
    write(cli, 31)
    before = served(cli)
    took = work(cli, "up") - idle + served(cli) - before
    assert took < bare * 3 + 1


def test_what_a_changed_template_gave_is_seen_in_each_of_its_copies(cli: Cli) -> None:
    """One copy made just now is looked into for all of them."""
    write(cli, 1)
    cli.ok("up")
    opened = "ALTER DATABASE template0 ALLOW_CONNECTIONS {}"
    sql(cli, opened.format("true"))
    sql(cli, "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC", database="template0")
    sql(cli, opened.format("false"))
    write(cli, 5)
    cli.ok("up")
    assert planned(cli) == []
    for number in range(1, 5):
        said = refused(cli, f"app{number}", "SELECT pg_read_file('postgresql.conf')")
        assert said == "InsufficientPrivilege"
