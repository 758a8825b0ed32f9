"""What `for:` in the file gives an app in Redis, and what is said of the file where it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from mngdb.cli.main import cli
from mngdb.spec.names import _redis_glob, _redis_pattern
from mngdb.spec.presets import presets
from mngdb.spec.redis import RedisGrant, RedisInstance
from mngdb.spec.redis_commands import check_rule
from mngdb.spec.stack import Stack
from tests.growth import grows_linearly
from tests.unit.spec import refused, stack

NAMES = list(presets())


def right(found: Stack, app: str, instance: str = "redis") -> RedisGrant:
    grant = found.apps[app][instance]
    assert isinstance(grant, RedisGrant)
    return grant


def server(found: Stack, instance: str = "redis") -> RedisInstance:
    spec = found.instances[instance].spec
    assert isinstance(spec, RedisInstance)
    return spec


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_right(name: str) -> None:
    preset = presets()[name]
    assert preset.title
    assert preset.sharing
    assert "{prefix}" not in "".join(preset.lines(name, "dj:"))
    forms = [one for one in (preset.default, preset.prefixed) if one is not None]
    assert forms
    for form in forms:
        filled = form.below("dj:")
        for text in (*filled.keys, *filled.channels):
            _redis_pattern(text)
        for text in filled.patterns:
            _redis_glob(text)
        assert "*" not in filled.keys or filled.own
        assert not any("{prefix}" in text or "{bare}" in text for text in filled.client)
    for rule in preset.commands + preset.alone:
        check_rule(rule)
    if preset.prefixed is not None and preset.prefixed.keys:
        assert preset.prefixed.client, "it has to be told of its prefix"


@pytest.mark.parametrize("name", NAMES)
def test_a_typo_and_the_name_of_a_part_are_told_with_the_preset(name: str) -> None:
    for typo in (
        name[:1] + name[2:],
        name.upper(),
        name.replace("-", "_"),
        *presets()[name].aliases,
    ):
        if typo not in presets() and len(name) > 4:
            assert f"did you mean {name!r}" in refused(
                f"redis: {{}}\napps: {{a: {{redis: {{for: '{typo}'}}}}}}"
            )


@pytest.mark.parametrize("name", NAMES)
def test_two_apps_with_a_prefix_share_no_key_and_one_without_can_be_alone(name: str) -> None:
    preset = presets()[name]
    keys = "keys: 'APP:*', " if preset.default is None else ""
    alone = f"redis: {{}}\napps: {{one: {{redis: {{{keys}for: {name}}}}}}}"
    assert right(stack(alone), "one").software == (name,)
    if preset.prefixed is not None:
        both = ", ".join(f"{a}: {{redis: {{keys: '{a}:*', for: {name}}}}}" for a in ("one", "two"))
        found = stack(f"redis: {{}}\napps: {{{both}}}")
        assert not set(right(found, "one").keys) & set(right(found, "two").keys)


def test_the_software_of_an_app_is_that_of_its_only_redis() -> None:
    found = stack("redis: {}\npostgres: {}\napps: {a: {for: celery, postgres: a, redis: 'a:*'}}")
    assert right(found, "a").channels == [
        "a:/0.celery.pidbox",
        "a:/0.celeryev/*",
        "a:celery-task-meta-*",
    ]
    assert "a:/0.celeryev/worker.*" in right(found, "a").patterns
    assert server(found).eviction == "volatile-lru"
    assert "under the instance" in refused(
        "redis: {}\ninstances: {q: {engine: redis, port: 6380}}\n"
        "apps: {a: {for: celery, redis: 'a:*', q: 'a:*'}}"
    )


def test_commands_that_harm_others_come_with_an_instance_of_its_own() -> None:
    line = "a: {redis: {keys: 'a:*', for: django}}"
    assert right(stack(f"redis: {{}}\napps: {{{line}}}"), "a").commands == ["+flushdb"]
    shared = stack(f"redis: {{}}\napps: {{{line}, b: {{redis: 'b:*'}}}}")
    assert right(shared, "a").commands == []
    with_jobs = stack("redis: {}\napps: {a: {redis: {keys: 'a:*', for: [django, celery]}}}")
    assert right(with_jobs, "a").commands == []


def test_server_settings_follow_from_the_software_unless_the_file_says_others() -> None:
    both = "apps: {a: {redis: {keys: 'a:*', for: spring-session}}, b: {redis: {for: asynq}}}"
    found = server(stack(f"redis: {{}}\n{both}"))
    assert found.eviction == "noeviction"
    assert set(found.settings["notify-keyspace-events"]) == set("Egx")
    said = server(stack(f"redis: {{eviction: allkeys-lru}}\n{both}"))
    assert said.eviction == "allkeys-lru"
    url = "redis: {target: {external: {url: 'redis://admin@h:6379'}}}"
    assert server(stack(f"{url}\n{both}")).settings == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{a: {redis: {for: celry}}}", "unknown preset 'celry' (did you mean 'celery'?)"),
        ("{a: {redis: {for: slowapi}}}", "did you mean 'limits'?"),
        ("{a: {redis: {for: Celery}}}", "did you mean 'celery'?"),
        ("{a: {redis: {for: 'celery, rq'}}}", "write a list: [celery, rq]"),
        ("{a: {redis: {for: go-redis}}}", "'mngdb render preset' lists them"),
        ("{a: {redis: {for: async}}}", "'mngdb render preset' lists them"),
        ("{a: {redis: {for: spring}}}", "drivers are named under 'env': env: {for: spring}"),
        ("{a: {redis: {for: Spring}}}", "presets are spring-data, spring-session, spring-cache"),
        ("{a: {for: prisma}}", "a: {env: {for: prisma}}"),
        ("{a: {redis: {for: celery, keys: '*'}}}", "'*' is every key; celery needs a prefix"),
        ("{a: {redis: {for: taskiq}}}", "taskiq needs a prefix"),
        ("{a: {redis: {for: celery, keys: a}}}", "'a' has no prefix for celery; write it as 'a:*'"),
        ("{a: {redis: {for: []}}}", "at least one"),
        ("{a: {redis: {}}}", "needs at least one pattern of keys"),
        ("{a: {for: celery}}", "a uses no Redis"),
        ("{a: {for: celery, redis: {for: rq}}}", "'for' is also written under redis"),
        (
            "{a: {redis: {for: sidekiq}}, b: {redis: 'b:*'}}",
            "sidekiq cannot share an instance",
        ),
        (
            "{a: {redis: {for: bullmq}}, b: {redis: {keys: 'b:*', for: spring-cache}}}",
            "bullmq of a must not lose keys, and spring-cache of b",
        ),
        ("{a: {redis: {for: rq, access: readonly}}}", "rq writes to its keys"),
        ("{a: {redis: {for: rq, commands: [-publish]}}}", "rq needs PUBLISH: remove '-publish'"),
        ("{a: {redis: {keys: 'a:*', patterns: ['b:*']}}}", "'b:*' is not below any"),
    ],
)
def test_what_cannot_be_is_one_sentence(text: str, said: str) -> None:
    told = refused(f"redis: {{}}\napps: {text}")
    assert said in told
    assert len(told.splitlines()) <= 2


def test_a_setting_that_contradicts_is_told() -> None:
    events = "redis: {settings: {notify-keyspace-events: Ex}}"
    text = f"{events}\napps: {{a: {{redis: {{for: spring-session}}}}}}"
    assert "spring-session of a needs notify-keyspace-events Egx" in refused(text)
    assert stack(text.replace("Ex}", "AKE}"))


@pytest.mark.parametrize(
    "rule",
    [
        *("+acl", "+acl|setuser", "+config", "+config|get", "+config|set"),
        *("+slaveof", "+replicaof", "+psync"),
        *("+debug", "+shutdown", "+module", "+client", "+client|pause", "+monitor", "+@dangerous"),
        *("+@admin", "+@all", "-@all", "+script", "+slowlog", "+latency", "+debug|sleep", "+save"),
        *("+commandlog", "+commandlog|reset"),
    ],
)
def test_rules_that_harm_the_management_are_refused_everywhere(rule: str) -> None:
    refused(f"redis: {{}}\napps: {{a: {{redis: {{keys: 'a:*', commands: ['{rule}']}}}}}}")


@pytest.mark.parametrize(
    "rule",
    [
        *("+flushdb", "+flushall", "+flushall|async", "+swapdb", "+keys", "+client|list"),
        *("+client|kill", "+function", "+function|flush", "+script|flush", "+pubsub", "+randomkey"),
        *("+client|unblock", "+client|tracking", "+commandlog|get", "+script|show", "+slowlog|get"),
        *("+function|stats", "+hotkeys"),
    ],
)
def test_rules_that_harm_others_are_for_an_instance_of_its_own(rule: str) -> None:
    line = f"a: {{redis: {{keys: 'a:*', commands: ['{rule}']}}}}"
    told = refused(f"redis: {{}}\napps: {{{line}, b: {{redis: 'b:*'}}}}")
    assert "is for an instance of a's own" in told
    assert right(stack(f"redis: {{}}\napps: {{{line}}}"), "a").commands == [rule]


@pytest.mark.parametrize("rule", ["+role", "+acl|cat", "-eval", "+client|info"])
def test_other_rules_are_taken(rule: str) -> None:
    text = f"a: {{redis: {{keys: 'a:*', commands: ['{rule}']}}}}, b: {{redis: 'b:*'}}"
    assert right(stack(f"redis: {{}}\napps: {{{text}}}"), "a").commands == [rule]


def test_hash_tags_and_literal_patterns_are_taken() -> None:
    grant = right(
        stack("redis: {}\napps: {a: {redis: {keys: '{a}:*', patterns: ['{a}:[xy]:*']}}}"), "a"
    )
    assert grant.heard == ["{a}:*", "{a}:[xy]:*"]
    assert grant.prefix == "{a}:"


def test_a_hundred_apps_are_read_in_linear_time() -> None:
    def read(count: int) -> None:
        lines = "\n".join(
            f"  app{n}: {{redis: {{keys: 'app{n}:*', for: [django, celery]}}}}"
            for n in range(count)
        )
        assert len(stack(f"redis: {{}}\napps:\n{lines}").apps) == count

    grows_linearly(read, 25)


def test_render_preset_has_the_keys_of_the_file_too() -> None:
    shown = CliRunner().invoke(cli, ["render", "preset", "huey", "--keys", "a-b:*"]).output
    assert "a-b:*, huey.*.ab" in shown


def test_render_preset_prints_one_or_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # there is no file
    runner = CliRunner()
    listed = runner.invoke(cli, ["render", "preset"])
    assert all(name in listed.output for name in NAMES)
    shown = runner.invoke(cli, ["render", "preset", "bullmq", "--keys", "dj:*"])
    assert "prefix: 'dj'" in shown.output
    assert runner.invoke(cli, ["--json", "render", "preset", "rq"]).exit_code == 0
