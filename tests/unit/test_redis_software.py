"""What `plan` says of software (`for:`) that cannot have on a Redis what it needs."""

from __future__ import annotations

import pytest

from mngdb.engines.redis.patterns import notices as of_patterns
from mngdb.engines.redis.software import notices
from mngdb.model import DesiredInstance, Program, Site
from mngdb.spec.redis import RedisGrant, RedisInstance
from tests.growth import grows_linearly
from tests.unit.spec import stack

_SITE = Site("/data", "/conf", "/run", "/log", 1 << 30, Program("/bin/x", "/bin", "8.2"), ())
_EXTERNAL = "{target: {external: {url: 'redis://admin@h:6379'}}}"


def told(apps: str, redis: str = "{}", **settings: str) -> list[str]:
    """The remarks on an instance, each with its hint. `settings`: those of an external server, with
    `_` for `-`."""
    instance = stack(f"redis: {redis}\napps: {{{apps}}}").instances["redis"]
    asked = DesiredInstance("mng", instance, {}, None if "external" in redis else _SITE)
    server = {name.replace("_", "-"): value for name, value in settings.items()}
    if asked.managed and isinstance(instance.spec, RedisInstance):
        server = {"maxmemory-policy": instance.spec.eviction}
    found = [*of_patterns(asked), *notices(asked, server)]
    return [f"{one.text}; {one.hint}" for one in found]


ONE_RQ = "a: {redis: {for: rq}}, b: {redis: {for: rq}}"
HUEYS = "a-b: {redis: {keys: 'a-b:*', for: huey}}, ab: {redis: {keys: 'ab:*', for: huey}}"


@pytest.mark.parametrize(
    ("apps", "said"),
    [
        (ONE_RQ, "a and b share one rq, which has no prefix; give each an instance of its own"),
        (HUEYS, "a-b and ab share one huey, to which their prefixes are the same name"),
        ("a: {redis: {for: celery}}, b: {redis: {for: celery}}", "give each a prefix"),
        (
            "a: {redis: {keys: 's:*', for: bullmq}}, b: {redis: {keys: 's:*', for: bullmq}}",
            "a and b share one bullmq",
        ),
    ],
)
def test_apps_with_one_software_are_told_once(apps: str, said: str) -> None:
    (text,) = told(apps)
    assert said in text


def test_what_they_share_besides_is_told_too() -> None:
    more = ONE_RQ.replace("rq}", "rq, keys: 'x:*'}")
    assert any("apps share keys: a and b (x:*)" in text for text in told(more))
    plain = "a: {redis: {for: rq}}, b: {redis: 'rq:*'}"
    assert any("apps share keys: a and b (rq:*)" in text for text in told(plain))


@pytest.mark.parametrize("name", ["flask-session", "starsessions", "spring-session"])
def test_session_ids_are_names_of_keys(name: str) -> None:
    app = f"a: {{redis: {{keys: 'a:*', for: {name}}}}}"
    assert told(app) == []
    (text,) = told(f"{app}, b: {{redis: 'b:*'}}")
    assert "session IDs of a are names of keys" in text
    assert "instances:" in text


JOBS = "a: {redis: {keys: 'a:*', for: celery}}"
STRICT = f"{JOBS}, b: {{redis: {{keys: 'b:*', for: bullmq}}}}"
CACHE = "c: {redis: {keys: 'c:*', for: spring-cache}}"


@pytest.mark.parametrize(
    ("apps", "policy", "said"),
    [
        (JOBS, "noeviction", ""),
        (JOBS, "volatile-ttl", ""),
        (JOBS, "allkeys-lru", "celery of a loses keys"),
        (STRICT, "noeviction", ""),
        (STRICT, "volatile-lru", "bullmq of b loses keys"),
        (STRICT, "allkeys-lru", "bullmq of b loses keys"),
        (CACHE, "allkeys-lfu", ""),
        (CACHE, "noeviction", "spring-cache of c fills the memory"),
        (CACHE, "volatile-lru", "spring-cache of c fills the memory"),
    ],
)
@pytest.mark.parametrize("external", [False, True])
def test_a_policy_that_does_not_fit_is_told_once(
    apps: str, policy: str, said: str, external: bool
) -> None:
    redis = _EXTERNAL if external else f"{{eviction: {policy}}}"
    found = told(apps, redis, maxmemory_policy=policy)
    assert len(found) == bool(said)
    assert all(said in text and ("its operator" in text) == external for text in found)


def test_an_external_server_that_cannot_serve_both() -> None:
    redis = _EXTERNAL.replace("{target", "{eviction: noeviction, target", 1)
    found = told(f"{JOBS}, {CACHE}", redis, maxmemory_policy="noeviction")
    assert ["and celery of a must not lose any" in text for text in found] == [True]


def test_a_server_that_shows_no_settings_is_asked_for_the_strictest() -> None:
    assert [text.split(";")[0] for text in told(STRICT, _EXTERNAL)] == [
        "bullmq of b needs maxmemory-policy noeviction"
    ]


def test_keyspace_events_of_an_external_server() -> None:
    app, policy = "a: {redis: {for: spring-session}}", "noeviction"
    for said in ("Egx", "AKE", "xgKE"):
        assert not told(app, _EXTERNAL, maxmemory_policy=policy, notify_keyspace_events=said)
    (text,) = told(app, _EXTERNAL, maxmemory_policy=policy, notify_keyspace_events="Ex")
    assert "needs notify-keyspace-events Egx; the server has 'Ex'" in text


def test_a_hundred_apps_are_judged_in_linear_time() -> None:
    right = "[django, celery, socket.io, huey, flask-session]"

    def judge(count: int) -> None:
        apps = (f"app{n}: {{redis: {{keys: 'app{n}:*', for: {right}}}}}" for n in range(count))
        (text,) = told(", ".join(apps))
        assert f"session IDs of app0, app1, app2 and {count - 3} more" in text

    grows_linearly(judge, 25)


@pytest.mark.parametrize(
    ("right", "levels"),
    [
        ("chat:*", ["chat:*:*", "chat:*:*:*"]),
        ("chat.*", ["chat.*.*", "chat.*.*.*"]),
        ("{keys: 'a:*', channels: ['{n}:*', exact]}", ["{n}:*:*", "{n}:*:*:*"]),
        ("{keys: 'a:*', channels: []}", []),
        ("chat*", []),
        ("['a:*', '*']", []),
        ("{keys: 'a:*', for: rq}", []),
        ("{keys: 'a:*', for: spring-data}", ["a:*:*", "a:*:*:*"]),
        ("{keys: 'a:*', patterns: ['a:*:*']}", ["a:*:*:*"]),
    ],
)
def test_patterns_below_a_prefix(right: str, levels: list[str]) -> None:
    right = right if right[0] in "{[" else f"'{right}'"
    found = stack(f"redis: {{}}\napps: {{a: {{redis: {right}}}}}").instances["redis"]
    assert found.granted(RedisGrant)["a"].levels == levels
