"""Python libraries do their whole work with what `for:` in the file gives their apps, and no more.

Each runs twice at once, as two apps of one kind: a job that the other worker took would come back
with the other's name. Redis refuses nothing, and every pattern of the preset is used.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import pytest
import redis

from tests.clients.apps import side_by_side
from tests.clients.languages import HERE, python, python_environment, python_version
from tests.clients.record import record
from tests.conftest import EVERYTHING, Cli
from tests.debian import redis_folder
from tests.live.clients import redis_as, url

pytestmark = [pytest.mark.live, pytest.mark.redis]


class Proof(NamedTuple):
    """One kind of software."""

    name: str
    distributions: tuple[str, ...]
    did: str
    prefixed: bool = True
    """Whether it can have a prefix."""
    bare: bool = True
    """Whether it has keys of its own."""
    often: bool = False
    """Whether CI runs it; `just test-all` and `just test-clients` run all."""
    packages: str = "presets"
    """Which list has the package."""
    elsewhere: bool = False
    """Whether its keys do not begin with the prefix."""
    alone: str = ""
    """What it does only on an instance of its own."""
    preset: str = ""
    """What `for:` says, where that is not `name`."""

    @property
    def software(self) -> str:
        return self.preset or self.name

    @property
    def program(self) -> str:
        return f"programs/with_{self.name.replace('-', '_')}"


PROOFS = {
    one.name: one
    for one in (
        Proof(
            "celery",
            ("celery", "kombu"),
            "worker, results, chord, retries, countdown, revocation, inspect, ping, events",
            often=True,
        ),
        Proof(
            "rq",
            ("rq",),
            "worker with scheduler, results, delayed and dependent jobs, failures, commands",
            often=True,
            prefixed=False,
        ),
        Proof(
            "flower",
            ("flower",),
            "workers, tasks, events, lengths of queues; it starts a task and stops a worker",
            packages="more",
            preset="celery",
        ),
        Proof(
            "rq-scheduler",
            ("rq-scheduler",),
            "its process and a worker; jobs for later, at intervals, by cron",
            packages="more",
            prefixed=False,
            preset="rq",
        ),
        Proof(
            "dramatiq",
            ("dramatiq",),
            "worker, results, delayed messages, retries, rate limits, a barrier",
        ),
        Proof(
            "arq",
            ("arq",),
            "worker, results, deferred jobs, abort, health check",
            prefixed=False,
            packages="arq",
            alone="all_job_results()",
        ),
        Proof(
            "taskiq",
            ("taskiq", "taskiq-redis"),
            "workers on lists, streams and pub/sub, results, schedule source",
            bare=False,
        ),
        Proof(
            "huey",
            ("huey",),
            "consumer, results, delayed tasks, retries, locks, revocation",
            often=True,
            elsewhere=True,
        ),
        Proof(
            "channels_redis",
            ("channels_redis",),
            "both layers: channels, groups",
            often=True,
            alone="flush()",
        ),
        Proof(
            "django",
            ("Django", "django-redis"),
            "both cache back ends, locks, delete_pattern, sessions in the cache",
            often=True,
            alone="clear()",
            preset="[django, django-redis]",
        ),
        Proof("flask-session", ("Flask-Session",), "a session begins, goes on and ends"),
        Proof("starsessions", ("starsessions",), "a session begins, goes on and ends"),
        Proof(
            "limits",
            ("limits", "Flask-Limiter", "slowapi"),
            "fixed window, moving window, sliding window",
            packages="more",
            alone="reset() of the storage",
        ),
        Proof(
            "saq",
            ("saq",),
            "worker, results, scheduled jobs, retries, abort",
            packages="more",
            prefixed=False,
        ),
        Proof(
            "django-q",
            ("django-q2",),
            "cluster, results, chains, statistics",
            packages="more",
            elsewhere=True,
            alone="qmonitor's statistics",
        ),
        Proof(
            "redbeat",
            ("celery-redbeat",),
            "entries of the file and of the program, the lock",
            packages="more",
        ),
        Proof(
            "apscheduler", ("APScheduler",), "jobs that another scheduler finds", packages="more"
        ),
        Proof(
            "python-socketio",
            ("python-socketio", "Flask-SocketIO"),
            "servers, and a process that only sends",
            packages="more",
            elsewhere=True,
        ),
        Proof(
            "flask-caching",
            ("Flask-Caching",),
            "memoized functions and views, many values",
            packages="more",
            alone="clear()",
        ),
        Proof(
            "dogpile",
            ("dogpile.cache",),
            "values, functions, distributed locks",
            packages="more",
            bare=False,
        ),
        Proof(
            "cashews",
            ("cashews",),
            "values, functions, locks, tags, rate limits, delete_match, transactions "
            "(fast, locked), Bloom filters, bits",
            packages="more",
            bare=False,
        ),
    )
}
CHOSEN = [one for one in PROOFS.values() if EVERYTHING or one.often]
PREFIXED = [one.name for one in CHOSEN if one.prefixed]
#: Where programs find themselves, for their workers.
WORK = str(HERE / "python/programs")
#: CI runs those without a prefix that cannot have one.
BARE = [one.name for one in CHOSEN if one.bare and (EVERYTHING or not one.prefixed)]
ALONE = [one.name for one in CHOSEN if one.alone]


def _apps() -> str:
    return "\n".join(
        [f"  {_app(one, x)}" for one in PREFIXED for x in ("a", "b")]
        + [f"  {one.replace('_', '-')}: {{bare: {{for: {PROOFS[one].software}}}}}" for one in BARE]
    )


def _app(one: str, letter: str) -> str:
    name = f"{one.replace('_', '-')}-{letter}"
    return f'{name}: {{redis: {{keys: "{name}:*", for: {PROOFS[one].software}}}}}'


FILE = f"""
redis: {{port: PORT1MORE}}
instances:
  bare: {{engine: redis, port: PORT2MORE}}
apps:
{_apps()}
"""


@pytest.fixture(scope="module", params=["tls", "plain"] if EVERYTHING else ["plain"])
def stack(request: pytest.FixtureRequest, module_cli: Cli) -> Iterator[Cli]:
    """Servers with TLS, then the same without and empty; CI has the second alone."""
    more, tls = "", ""
    if request.param == "tls":  # not in pip's Redis
        more, tls = ", version: 7", f"tls: true\nbinaries: {{redis: {redis_folder()}}}"
    module_cli.write(FILE.replace("MORE", more) + tls)
    module_cli.ok("up")
    yield module_cli
    for instance in ("redis", "bare"):
        with redis_as(module_cli, instance=instance) as admin:
            admin.flushall()


@contextmanager
def heard(cli: Cli, instance: str) -> Iterator[set[str]]:
    """Every word of the commands that the server runs meanwhile."""
    found: set[str] = set()
    end = secrets.token_hex(8)
    with (
        redis.Redis.from_url(url(cli, instance), decode_responses=True) as client,
        client.monitor() as monitor,
    ):
        yield found
        with redis_as(cli, instance=instance) as admin:
            admin.echo(end)
        while end not in found:
            found.update(monitor.next_command()["command"].split())


def prove(cli: Cli, proof: Proof, *apps: str, instance: str = "redis", alone: str = "") -> None:
    """Run the program for all these apps at once."""
    python_environment(proof.packages)

    def run(env: dict[str, str]) -> None:
        prefix = env.get("REDIS_KEY_PREFIX", "")
        more = {"PREFIX": prefix, "NAME": env["REDIS_USER"], "ALONE": alone, "PYTHONPATH": WORK}
        python(proof.program, env | more | {"PYTHONWARNINGS": "ignore"}, packages=proof.packages)

    with heard(cli, instance) as words:
        side_by_side(cli, *apps, run=run, instance=instance)
    rules = {rule for app in apps for rule in _rules(cli, app, instance)}
    if proof.elsewhere:
        rules -= {f"{app}:*" for app in apps}
    assert [rule for rule in rules if not any(fnmatchcase(one, rule) for one in words)] == []


def _rules(cli: Cli, app: str, instance: str) -> list[str]:
    right: dict[str, Any] = cli.json("config")["file"]["apps"][app][instance]
    return [*right["keys"], *(right["channels"] or ()), *right["patterns"]]


def _record(proof: Proof, did: str) -> None:
    for one in proof.distributions:
        record(one, python_version(one, proof.packages), "redis", did)


@pytest.mark.parametrize("preset", PREFIXED)
def test_two_apps_of_one_kind_work_side_by_side(stack: Cli, preset: str) -> None:
    proof, name = PROOFS[preset], preset.replace("_", "-")
    prove(stack, proof, f"{name}-a", f"{name}-b")
    _record(proof, f"{proof.did}; two apps, each with a prefix; TLS and without")


@pytest.mark.parametrize("preset", BARE)
def test_one_app_works_with_the_names_that_the_software_has(stack: Cli, preset: str) -> None:
    proof = PROOFS[preset]
    prove(stack, proof, preset.replace("_", "-"), instance="bare")
    _record(proof, f"{proof.did}; without a prefix; TLS and without")


@pytest.mark.parametrize("preset", ALONE)
def test_an_instance_of_its_own_permits_the_rest(cli: Cli, preset: str) -> None:
    proof = PROOFS[preset]
    keys = 'keys: "solo:*", ' if proof.prefixed else ""
    cli.write(f"redis: {{port: PORT1}}\napps: {{solo: {{redis: {{{keys}for: {proof.software}}}}}}}")
    cli.ok("up")
    prove(cli, proof, "solo", alone="yes")
    _record(proof, f"{proof.alone}; on an instance of its own")
