"""Which trouble doctor tells as the cause of which, judged from facts."""

from __future__ import annotations

from mngdb.checks.doctor.causes import RULES
from mngdb.checks.doctor.judge import judge
from mngdb.cli.doctor import _folded
from mngdb.facts.denied import Denials, Denied
from mngdb.facts.doctor import (
    Answer,
    Condition,
    Diagnosis,
    Fired,
    Server,
    StackFacts,
    Trouble,
)
from mngdb.facts.logs import LargeLog
from mngdb.findings import Seen

LOGIN = Denied("shop", "a login", "another password", 8, 1.0, mild=True)
READ = Denied("shop", "GET on the key 'x'", "no line of the file permits 'x'", 300, 1.0)
ALERTS = ("RedisAccessRefused", "RedisLoginsRefused", "RedisSlow")


def answered(*denied: Denied, full: bool = True) -> Answer:
    """Of a Redis that refuses an app's writes since it is full, and has refused another these."""
    problem = ("is full", None, "memory") if full else (None,)
    server = Server(
        "redis",
        "redis",
        "mng-redis",
        Condition("running"),
        Seen(missing="not here"),
        logins=(Diagnosis("redis", "jobs", *problem), Diagnosis("redis", "shop", None)),
        denied=Seen(Denials(denied)),
    )
    alerts = tuple(Fired(one, "warning", "redis", "refused") for one in ALERTS)
    return judge(StackFacts((server,), (), (), (), dict.fromkeys(RULES, 1.0), alerts))


def test_a_full_memory_causes_no_refusal() -> None:
    answer = answered(LOGIN, READ)
    full, refused = answer.wrong
    assert full.trouble.cause == "memory-full"
    assert [one.text.split()[1] for one in full.consequences if one.watch] == ["RedisSlow"]
    # the alert that counts refusals is theirs
    assert refused.trouble.cause == "denied"
    assert [one.text.split()[1] for one in refused.consequences] == ["RedisAccessRefused"]
    # with its remedy
    (login,) = answer.watch
    assert login.command == LOGIN.remedy


def test_a_log_that_has_no_room_to_be_set_aside_is_told_with_its_size() -> None:
    log = LargeLog("/srv/mng-pg", 900 << 20, 90 << 20)
    server = Server("pg", "postgres", "mng-pg", None, Seen(missing="not here"), log=log)
    (found,) = judge(StackFacts((server,), (), (), (), dict.fromkeys(RULES, 1.0))).watch
    assert "mng-pg: its log has 900 MB" in found.text
    assert "90 MB are free under /srv/mng-pg" in found.text
    assert "du -x /srv/mng-pg" in found.command


def test_an_alert_of_refusals_that_nobody_knows_is_told_by_itself() -> None:
    said = {one.text.split()[1] for one in answered(full=False).watch}
    assert said == set(ALERTS)


def test_names_that_anybody_makes_up_are_one_warning_after_the_apps() -> None:
    made_up = [
        Denied(f"guess {n} {n}", "a login", "the file has no such app", 1, n, mild=n > 5)
        for n in range(300)
    ]
    watch = answered(*made_up, LOGIN).watch
    told = [one for one in watch if one.cause in {"denied", "refused-login"}]
    assert [one.app for one in told] == ["shop", ""]
    assert "300 logins of no app ('guess 0 0', 'guess 1 1', 'guess 2 2', …)" in told[1].text
    assert len(told[1].text) < 500
    assert told[1].command == "the file has no such app"
    few = [one.app for one in answered(*made_up[:3], LOGIN).watch if one.app]
    assert few == ["shop", *(one.app for one in made_up[:3])]


def test_consequences_that_differ_in_the_app_alone_are_one_line() -> None:
    apps = [Trouble("login-down", f"a{n} cannot use pg: down", "", (), f"a{n}") for n in range(7)]
    agent = Trouble("agent", "the agent is gone", "")
    folded = _folded([*apps, agent])
    assert folded == ["a0, a1, a2, a3, a4 and 2 more cannot use pg: down", "the agent is gone"]
    assert _folded(apps[:1]) == ["a0 cannot use pg: down"]
