"""The line that doctor offers: the file takes it, it permits what was refused, nothing is lost."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest

from mngdb.engines.redis import denied
from mngdb.facts.denied import Denied, Evidence, more_databases, permit, remedies
from mngdb.model import DesiredInstance
from mngdb.spec.mongodb import MongodbGrant
from mngdb.spec.presets import Preset, presets
from mngdb.spec.redis import RedisGrant
from mngdb.spec.several import DatabasesGrant
from tests.unit.spec import stack
from tests.unit.test_denied import mongo
from tests.unit.test_denied import of_mongodb as read

Refused = tuple[str, str, str]
Access = Literal["readwrite", "readonly"]
#: A field of a right, or the last one of a right as a whole.
_LINE = re.compile(r"apps\.a\.redis(?:: \{\w+: (?:\[[^]]*\]|\w+),)?[. ](\w+): (?=\[)")
#: Files are read once.
parsed = cache(stack)


def written(right: dict[str, Any], shared: bool) -> str:
    return apps(json.dumps(right), shared)


def apps(right: str, shared: bool) -> str:
    other = ", b: {redis: 'b:*'}" if shared else ""
    return f"redis: {{}}\napps: {{a: {{redis: {right}}}{other}}}"


def asked(right: dict[str, Any], line: str) -> str:
    """The right that a line makes which names software, with what the file had."""
    offered = line.partition(" asked: ")[2].partition("; set in the app: ")[0]
    if offered.startswith("apps.a.redis: "):
        return offered.removeprefix("apps.a.redis: ")
    field = offered.removeprefix("apps.a.redis.")
    new = field.partition(":")[0]
    had = [f"{key}: {json.dumps(value)}" for key, value in right.items() if key != new]
    return f"{{{', '.join([*had, field])}}}"


def grant(text: str) -> RedisGrant:
    return cast("RedisGrant", parsed(text).apps["a"]["redis"])


def look(text: str, *refused: Refused, old: frozenset[str] = frozenset()) -> list[Denied]:
    """What is told of an app `a` that was refused these: reason, command and object; those of `old`
    before its last change."""
    keys = "count", "reason", "context", "object", "username", "age-seconds", "client-info"
    entries = [
        dict(
            zip(
                keys,
                (1, why, "toplevel", name, "a", str(1 + 98 * (name in old)), f"id=3 cmd={command}"),
                strict=True,
            )
        )
        for why, command, name in refused
    ]
    instance = parsed(text).instances["redis"]
    session: Any = SimpleNamespace(ask_all=lambda _: [entries])
    asked = cast("DesiredInstance", SimpleNamespace(instance=instance))
    return list(denied.look(session, asked, Evidence(None, lambda _, age: age < 60)).found)


def told(text: str, *refused: Refused) -> str:
    return "\n".join(remedies(look(text, *refused)))


def example(pattern: str) -> str:
    return pattern.replace("*", "x1").replace("?", "y")


def names(software: str) -> Iterator[Refused]:
    """Keys, channels and commands that a software and some others use, with a prefix of their own
    or without."""
    yield from (
        ("key", "get", one) for one in ("sess:1", "o{t}:1", "plain", "b:1", "*", "a b", "a:")
    )
    yield from (("channel", "psubscribe", one) for one in ("a:*:x", "*", "news:[ab]*", "b:*"))
    commands = ("role", "config|get", "flushdb", "acl|setuser", "keys")
    yield from (("command", one, one) for one in commands)
    for preset in (presets()[one] for one in (software, "celery", "redisson", "spring-session")):
        for form in filter(None, (preset.default, preset.prefixed)):
            made = form.below("other:")
            yield from (("key", "set", example(one)) for one in made.keys)
            yield from (("channel", "publish", example(one)) for one in made.channels)
            yield from (("channel", "psubscribe", one) for one in made.patterns)


def rights(name: str, preset: Preset) -> Iterator[dict[str, Any]]:
    if preset.default is not None:
        yield {"for": name}
    if preset.prefixed is not None:
        yield {"keys": "a:*", "for": name}
        yield {"keys": ["a:*", "more:*"], "for": [name, "express-rate-limit"], "channels": ["c:*"]}


def permits(right: RedisGrant, refused: Refused) -> bool:
    reason, command, name = refused
    if reason == "command":
        return f"+{name}" in right.commands
    if reason == "channel" and command == "psubscribe":
        return name in right.heard
    return any(fnmatchcase(name, one) for one in (right.keys if reason == "key" else right.heard))


@pytest.mark.parametrize("name", list(presets()))
def test_a_line_loads_permits_and_loses_nothing(name: str) -> None:
    lines = 0
    for right in rights(name, presets()[name]):
        for shared in (False, True) if not grant(written(right, False)).whole else (False,):
            text = written(right, shared)
            had = grant(text)
            for refused in dict.fromkeys(names(name)):
                if permits(had, refused):
                    continue
                every = told(text, refused).splitlines()
                for line in (one for one in every if " asked: " in one):
                    after = grant(apps(asked(right, line), shared))
                    assert permits(after, refused) or "; set in the app: " in line, (right, line)
                    assert {*had.keys} <= {*after.keys}
                    assert {*had.heard} <= {*after.heard}
                remedy = "\n".join(one for one in every if " asked: " not in one)
                assert remedy
                for found in _LINE.finditer(remedy):
                    lines += 1
                    value, _ = json.JSONDecoder().raw_decode(remedy, found.end())
                    changed = right | {found[1]: value}
                    after = grant(written(changed, shared))
                    assert permits(after, refused), (right, refused, remedy)
                    assert {*had.keys} <= {*after.keys} or "the first of 'keys'" in remedy
                    assert {*had.heard} <= {*after.heard} or "the first of 'keys'" in remedy
                    assert {*had.commands} <= {*after.commands}
                    assert not shared or not fnmatchcase("b:1", refused[2]), remedy
    assert lines


def test_software_is_told_its_prefix_first() -> None:
    for name, reason, plain in (
        ("celery", "key", "_kombu.binding.celery"),
        ("celery", "channel", "/0.celeryev/task.started"),
        ("huey", "key", "huey.redis.storage.huey"),
        ("huey", "key", "huey.redis.storage.shop"),
        ("socket.io", "channel", "socket.io#/#room#"),
        ("redisson", "key", "redisson_lock__timeout:{x}"),
        ("bee-queue", "key", "bq:mail:jobs"),
        ("taskiq", "key", "autoclaim:taskiq:taskiq"),
    ):
        text = written({"keys": "a:*", "for": name}, True)
        said = told(text, (reason, "get", plain))
        client = presets()[name].rights("a:")
        assert client is not None
        assert said == f"{name} was not told its prefix; set in the app: {'; '.join(client.client)}"
    # once for all, before what a line permits
    client = presets()["celery"].rights("a:")
    assert client is not None
    said = told(
        written({"keys": "a:*", "for": "celery"}, True),
        ("key", "lpush", "celery"),
        ("key", "get", "other:1"),
        ("channel", "psubscribe", "/0.celeryev/*"),
    )
    told_first = f"celery was not told its prefix; set in the app: {'; '.join(client.client)}"
    assert said == f'{told_first}\napps.a.redis.keys: ["a:*", "other:*"]'
    # any name may be its
    said = told(written({"keys": "a:*", "for": "redisson"}, True), ("key", "get", "map"))
    assert said.startswith("if redisson asked, set in the app: config.useSingleServer()")
    assert said.endswith('\notherwise: apps.a.redis.keys: ["a:*", "map"]')
    # it was told: its own words are before the prefix
    said = told(written({"keys": "a:*", "for": "redisson"}, True), ("key", "get", "lock:a:x"))
    assert said == 'apps.a.redis.keys: ["a:*", "lock:a:*"]'


def test_software_with_words_before_the_prefix_leaves_those_words_to_other_apps() -> None:
    """`bloom:*` would be the filters of every app with cashews."""
    text = written({"keys": "a:*", "for": "cashews"}, True)
    for name in ("bloom:known:{x}:96", "dual_bloom:even:{x}:true", ":tx_lock:count"):
        said = told(text, ("key", "bitfield", name))
        assert said.startswith("cashews was not told its prefix; set in the app: "), said
        assert "names of Bloom filters and keys of bits begin with 'a:'" in said
        assert "keys:" not in said


def test_the_line_keeps_what_the_file_says_and_no_more() -> None:
    celery = written({"keys": "dj:*", "for": "celery"}, True)
    assert told(celery, ("channel", "psubscribe", "dj:/0.celeryev/task.*")) == (
        'apps.a.redis.patterns: ["dj:/0.celeryev/task.*"]'
    )
    assert told(celery, ("key", "get", "other:1")) == 'apps.a.redis.keys: ["dj:*", "other:*"]'
    said = told(written({"for": "socket.io"}, True), ("key", "set", "sess:1"))
    assert 'apps.a.redis.keys: ["a:*", "sess:*"]' in said
    assert "createAdapter(pub, sub, {key: 'a:socket.io'})" in said


def test_what_is_over_or_permitted_by_now_goes_into_no_line() -> None:
    text = written({"keys": ["a:*", "new:*"]}, True)
    refused = [("key", "get", one) for one in ("new:1", "now:1", "gone:1")]
    found = {one.what: one for one in look(text, *refused, old=frozenset({"gone:1"}))}
    assert found["GET on the key 'now:1'"].remedy == (
        'apps.a.redis.keys: ["a:*", "new:*", "now:*"]'
    )
    assert "by now" in found["GET on the key 'new:1'"].remedy
    gone = found["GET on the key 'gone:1'"]
    assert gone.over
    assert gone.remedy == 'apps.a.redis.keys: ["a:*", "new:*", "gone:*"]'


def test_what_up_may_withhold_is_not_promised() -> None:
    (one,) = look(
        written({"keys": "a:*", "for": "django"}, False), ("command", "flushdb", "flushdb")
    )
    assert "--prune" in one.remedy


def test_what_can_be_mended_is_first() -> None:
    some = [Denied("a", str(one), f"no line of the file permits {one}", 1, one) for one in range(6)]
    assert remedies([*some[:2], Denied("a", "x", "apps.a: x", 1, 9.0)]) == [
        "apps.a: x",
        "no line of the file permits 0, 1",
    ]


def test_names_that_hold_the_apps_prefix_leave_the_rest_to_other_apps() -> None:
    """Software puts words of its own before the prefix."""
    text = written({"keys": ["a:*"]}, shared=True)
    keys = ("key", "set", "redlock:a:x"), ("key", "set", "cashews:7:a:y")
    assert told(text, *keys) == 'apps.a.redis.keys: ["a:*", "redlock:a:*", "cashews:7:a:*"]'
    other = "channel", "subscribe", "__redis__:invalidate"
    line = 'apps.a.redis: {keys: ["a:*"], channels: ["a:*", "__redis__:invalidate"]}'
    assert told(text, other) == line


def test_software_that_the_file_does_not_name_is_offered_as_a_whole() -> None:
    """One name at a time takes as many changes of the file as it has names."""
    text = written({"keys": "a:*"}, shared=True)
    for name, refused in (
        ("celery", ("key", "get", "unacked_mutex")),
        ("celery", ("channel", "psubscribe", "a:/0.celery.pidbox")),
        ("rq", ("key", "smembers", "rq:queues")),
    ):
        line, otherwise = told(text, refused).split("\n")
        assert line.startswith(f"if {name} asked: apps.a.redis: ")
        assert otherwise.startswith("otherwise: apps.a.redis")
        after = grant(apps(asked({}, line), shared=True))
        assert after.software == (name,)
        assert {"a:*"} <= {*after.keys} & {*after.heard}
        assert "global_keyprefix': 'a:'" in line or permits(after, refused)
    # fields that go together are one line, also where the right has several
    right = {"keys": ["a:*"], "access": "readwrite"}
    line, _ = told(written(right, shared=True), ("key", "get", "unacked_mutex")).split("\n")
    assert (
        'asked: apps.a.redis: {keys: ["a:*"], access: readwrite, channels: ["a:*"], for: celery};'
        in line
    )
    # Bull's keys and BullMQ's are called alike
    said = told(text, ("key", "hset", "bull:q:meta"))
    assert "if bull asked" in said
    assert "if bullmq asked" in said


def test_software_is_not_offered_where_the_file_would_refuse_it() -> None:
    text = "redis: {}\napps: {a: {redis: 'a:*'}, b: {redis: {keys: 'b:*', for: rq}}}"
    assert told(text, ("key", "smembers", "rq:queues")).startswith("'rq:*' has keys of b")
    # a cache that fills the memory, and jobs that must not be lost
    text = text.replace("rq", "spring-cache")
    assert told(text, ("key", "get", "unacked_mutex")) == (
        'apps.a.redis.keys: ["a:*", "unacked_mutex"]'
    )
    only = written({"keys": "a:*", "access": "readonly"}, shared=True)
    assert "asked" not in told(only, ("key", "get", "rq:queues"))


@pytest.mark.parametrize("right", [
    {"keys": "a:*", "for": ["bullmq", "socket.io"]},
    {"keys": "a:*", "for": "rq"},
    {"for": "socket.io"},
])  # fmt: skip
def test_software_is_not_offered_whose_rights_lack_the_pattern(right: dict[str, Any]) -> None:
    """A namespace of Socket.IO: only the channels of the streams adapter begin so."""
    literal = f"{'a:' if 'keys' in right else ''}socket.io#/chat#*"
    refused = ("channel", "psubscribe", literal)
    line = told(written(right, shared=True), refused)
    assert json.dumps(literal) in line
    assert "asked" not in line


def test_a_pattern_is_left_out_that_another_one_includes() -> None:
    text = written({"keys": ["a:*"]}, shared=True)
    keys = ("key", "get", "x:a:1"), ("key", "get", "x:1"), ("key", "get", "LOCK_9f86d081884c7d65")
    assert told(text, *keys) == 'apps.a.redis.keys: ["a:*", "x:*", "LOCK_*"]'
    # PSUBSCRIBE's are compared letter by letter
    some = ("channel", "psubscribe", "y:*"), ("channel", "psubscribe", "y:z:*")
    assert '["a:*", "y:*", "y:z:*"]' in told(text, *some)


def test_a_queue_of_any_name_is_celerys_that_was_not_told_its_prefix() -> None:
    text = written({"keys": "a:*", "for": "celery"}, shared=False)
    refused = [("key", "llen", name) for name in ("mails", "mails\x06\x163", "mails\x06\x169")]
    remedy = told(text, *refused)
    assert remedy.startswith("celery was not told its prefix")
    assert "apps.a" not in remedy
    assert told(text, ("key", "get", "mails")) == 'apps.a.redis.keys: ["a:*", "mails"]'
    # one that only sends; what it is to be told is first
    sent = [
        ("key", "get", "x:1"),
        ("key", "lpush", "mails"),
        ("key", "sadd", "_kombu.binding.mails"),
    ]
    remedy = told(text, *sent)
    assert remedy.startswith("celery was not told its prefix")
    assert remedy.endswith('\napps.a.redis.keys: ["a:*", "x:*"]')


def test_one_line_replaces_a_short_form() -> None:
    """Several that have the whole right would each undo the one before."""
    text = written({"keys": "a:*"}, shared=True)
    refused = (
        ("key", "get", "x:1"),
        ("channel", "psubscribe", "a:*:x"),
        ("channel", "publish", "n:1"),
    )
    remedy = told(text, *refused, ("command", "role", "role"))
    place, colon, value = remedy.partition(": ")
    assert (place, colon) == ("apps.a.redis", ": ")
    after = grant(f"redis: {{}}\napps: {{a: {{redis: {value}}}, b: {{redis: 'b:*'}}}}")
    assert (after.keys, after.channels) == (["a:*", "x:*"], ["a:*", "n:*"])
    assert (after.patterns, after.commands) == (["a:*:x"], ["+role"])


def test_many_keys_of_one_beginning_are_told_as_one() -> None:
    text = written({"keys": "a:*"}, shared=True)
    found = look(text, *(("key", "get", f"foo:{n}") for n in range(60)), ("key", "get", "x:1"))
    assert {one.what: one.times for one in found} == {
        "GET on the key 'foo:*'": 60,
        "GET on the key 'x:1'": 1,
    }
    assert {one.remedy for one in found} == {'apps.a.redis.keys: ["a:*", "foo:*", "x:*"]'}


def test_how_software_does_without_a_command_is_told() -> None:
    text = written({"keys": "a:*", "for": "django-redis"}, shared=True)
    said = told(text, ("command", "keys", "keys"))
    assert "'keys' is for an instance of its own" in said
    assert "cache.iter_keys('*')" in said


@pytest.mark.parametrize("engine", ["postgres", "mongodb"])
def test_a_line_of_databases_loads_covers_and_loses_nothing(engine: str) -> None:
    rights: list[dict[str, Any]] = [
        {"database": "a"},
        {"databases": ["a", "a_test"]},
        {"database": "a", "databases": ["b_a"], "access": "readonly"},
    ]
    rights += [{"databases": ["a", "tenant_*"]}] if engine == "postgres" else []
    names = ["x", "X y", "ü", "x*", "*", "template1", "postgres", "admin", "b", "all", "n" * 70, ""]
    for right in rights:
        apps = {"a": {engine: right}, "b": {engine: "b"}}
        grants = (
            stack(f"{engine}: {{}}\napps: {json.dumps(apps)}")
            .instances[engine]
            .granted(DatabasesGrant)
        )
        told = more_databases("a", names, grants, partial(permit, "", grants["a"]), lambda _: "")
        # a right of one field is written as a whole, since it may have the short form
        start = (
            ": {database: a, databases: "
            if len(right) == 1 and "database" in right
            else (".databases: ")
        )
        lines = {name: one for name, one in told.items() if one.startswith(start)}
        assert "x" in lines
        assert not {"x*", "*", "b", ""} & {*lines}
        changed = right | {"databases": json.JSONDecoder().raw_decode(lines["x"], len(start))[0]}
        apps["a"] = {engine: changed}
        after = stack(f"{engine}: {{}}\napps: {json.dumps(apps)}").apps["a"][engine]
        assert isinstance(after, DatabasesGrant)
        assert all(map(after.covers, lines))
        before = grants["a"]
        assert {*before.names, *before.prefixes} <= {*after.names, *after.prefixes}
        assert (after.names[0], getattr(after, "access", "")) == (
            before.names[0],
            getattr(before, "access", ""),
        )


def of_mongodb(access: Access = "readwrite", **refused: str) -> dict[str, Denied]:
    """What is told of an app `a` of the database `a`; `refused`: a command to its database."""
    lines = [mongo(5286306, "conn1", user="a", db="admin")]
    for command, name in refused.items():
        error = f'not authorized on {name.partition(" ")[0]} to execute command {{ {command}: "t"'
        errmsg = f"{error}, {name.partition(' ')[2]} }}"
        lines.append(mongo(20436, "conn1", error={"errmsg": errmsg}))
    lines.append(mongo(5286307, "conn2", user="a", db="a"))
    grants = {"a": MongodbGrant(database="a", access=access), "b": MongodbGrant(database="b")}
    instance = SimpleNamespace(name="mongodb", granted=lambda _: grants)
    found = SimpleNamespace(instance=instance, unknown=(), logins=lambda app: [app])
    asked = cast("DesiredInstance", found)
    return {one.what: one for one in read(asked, lines)}


def test_one_line_has_all_databases_of_mongodb() -> None:
    found = of_mongodb(find="x", insert="y", update="b", count="a")
    line = 'apps.a.mongodb.databases: ["a", "x", "y"]'
    assert found["find on 'x.t'"].remedy == found["insert on 'y.t'"].remedy == line
    assert found["update on 'b.t'"].remedy.startswith("'b' is the database of b")
    assert "by now" in found["count on 'a.t'"].remedy


def test_who_may_only_read_in_mongodb_needs_more_than_the_database() -> None:
    found = of_mongodb(access="readonly", find="x", insert="y")
    line = 'apps.a.mongodb.databases: ["a", "x", "y"]'
    assert found["find on 'x.t'"].remedy == line
    assert found["insert on 'y.t'"].remedy == f"{line}\napps.a.mongodb.access: readwrite"


def test_where_an_aggregation_writes_is_told() -> None:
    for stage, into in (
        ('{ $out: { db: "reports", coll: "x" } }', "reports"),
        ('{ $merge: { into: { db: "reports", coll: "x" }, on: "_id" } }', "reports"),
        ('{ $out: "x" }', "a"),
    ):
        found = of_mongodb(aggregate=f"a pipeline: [ {stage} ]")
        one = found[f"aggregate on 'a.t' into '{into}'"]
        assert into == "a" or one.remedy == 'apps.a.mongodb.databases: ["a", "reports"]'


def test_a_login_with_another_auth_source_is_told() -> None:
    one = of_mongodb()["a login to 'a'"]
    assert one.mild
    assert "authSource=admin" in one.remedy
