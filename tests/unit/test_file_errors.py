"""Keys that do not exist, values of the wrong kind, keys that are missing: what is said, where."""

from __future__ import annotations

import pytest

from tests.unit.spec import refused, stack


def test_the_houses_own_example() -> None:
    text = "name: mng\npostgres: {}\n\n\n\nmongodb:\n  databses:\n    shop: {}\n"
    assert refused(text) == "mngdb.yaml:7:3: unknown key 'databses' (did you mean 'databases'?)"


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("nmae: x\npostgres:", "nmae", "name"),
        ("target: {locl: {}}\npostgres:", "locl", "local"),
        ("target: {local: {dta: x}}\npostgres:", "dta", "data"),
        ("postgres: {target: {external: {ulr: x, url: 'postgresql://h'}}}", "ulr", "url"),
        ("vault: {files: {pth: x}}\npostgres:", "pth", "path"),
        ("vault: {knd: files}\npostgres:", "knd", "kind"),
        ("binaries: {postgress: x}\npostgres:", "postgress", "postgres"),
        ("postgres: {prot: 1}", "prot", "port"),
        ("redis: {evicton: noeviction}", "evicton", "eviction"),
        ("redis: {save: [{after: 1m, change: 1, changes: 1}]}", "change", "changes"),
        ("mongodb: {oplg: 1}", "oplg", "oplog"),
        ("mongodb: {databases: {s: {idexes: {}}}}", "idexes", "indexes"),
        (
            "mongodb: {databases: {s: {indexes: {u: [{keys: {a: 1}, uniqe: true}]}}}}",
            "uniqe",
            "unique",
        ),
        ("instances: {q: {engine: redis, evicton: x}}", "evicton", "eviction"),
        ("instances: {q: {engine: mongodb, databses: {}}}", "databses", "databases"),
        ("instances: {q: {engin: redis}}", "engin", "engine"),
        (
            "instances: {q: {engine: mongodb, databases: {s: {idexes: {}}}}}",
            "idexes",
            "indexes",
        ),
        ("postgres:\napps: {a: {postgres: {database: x, acces: owner}}}", "acces", "access"),
        ("redis:\napps: {a: {redis: {keys: [x], chanels: [x]}}}", "chanels", "channels"),
        ("mongodb:\napps: {a: {mongodb: {databse: x}}}", "databse", "database"),
        (
            "instances: {q: {engine: redis}}\napps: {a: {q: {keys: [x], comands: []}}}",
            "comands",
            "commands",
        ),
        ("postgres:\nbackup: {stroe: x}", "stroe", "store"),
        ("postgres:\nbackup: {keep: {dialy: 1}}", "dialy", "daily"),
        ("postgres:\nbackup: {drill: {evry: 1d}}", "evry", "every"),
        ("postgres:\nagent: {ports: {redsi: 1}}", "redsi", "redis"),
        ("postgres:\nagent: {prots: {redis: 1}}", "prots", "ports"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_one_of_its_level(
    text: str, key: str, meant: str
) -> None:
    before = text[: text.index(key)]
    place = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
    assert refused(text) == f"mngdb.yaml:{place}: unknown key '{key}' (did you mean '{meant}'?)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "redis:\napps: {a: {redis: 'a:*', For: django}}",
            "unknown key 'For' (did you mean 'for'?)",
        ),
        ("redis:\napps: {a: {preset: x, redis: 'a:*'}}", "key 'preset' (did you mean 'for'?)"),
        ("redis:\napps: {a: {redis: {prefix: 'a:*'}}}", "key 'prefix' (did you mean 'keys'?)"),
        (
            "redis:\napps: {a: {redis: 'a:*', for: celery, django}}",
            "several presets are a list: for: [django, …]",
        ),
        ("redis:\napps: {a: {for: , redis: 'a:*'}}", "'for' names nothing"),
        ("redis:\napps: {a: {redis:'a:*'}}", "no space after ':'"),
        ("redis:\napps: {a: {redis: 'a:*', for:celery}}", "write for: celery"),
        ("redis:\napps: {a: {redis: {pattern: 'a:*'}}}", "key 'pattern' (did you mean 'keys'?)"),
        (
            "redis:\napps: {a: {redis: {keys: 'a:*', pattern: 'a:x:*'}}}",
            "key 'pattern' (did you mean 'patterns'?)",
        ),
        ("postgres:\napps: {a: {postgres: {db: a}}}", "key 'db' (did you mean 'database'?)"),
        ("postgres:\napps: {a: {postgres: {databases: {a: owner}}}}", "has to be a list: [a, b]"),
        ("postgres:\nagent: {ports: Auto}", "has to be 'auto' or a mapping of ports, not 'Auto'"),
        ("postgres: {port: }", "has to be a port number or 'auto', not empty"),
    ],
)
def test_what_hands_write_is_told_by_its_cause_alone(text: str, said: str) -> None:
    found = refused(text)
    assert said in found
    assert [one for one in found.splitlines()[1:] if not one.startswith("  hint: ")] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redis: {port: auto}\n  version: 8", "2:3: no key is expected here\n  hint: indent keys"),
        ("redis:\n  version: 8\n   port: 5", "3:8: ':' is not expected here\n  hint: indent keys"),
        ("apps: {a: {redis: a}\n", "',' or '}' is missing\n  hint: separate entries"),
        ("apps: {a: {redis: {commands: [a}}}", "',' or ']' is missing\n  hint: separate entries"),
        ("redis: 8\nmongodb: {version: '8}\na: b\n", "2:20: the quote ' is not closed"),
        ("mongodb: 8\nredis\n", "2:1: ':' is missing after this key"),
        ("mongodb: 8\nredis:8\npostgres: 17", "2:7: a space is missing after ':'"),
        ("postgres:{}\nredis: {}", "1:10: a space is missing after ':'"),
        ("redis: `8`", "1:8: a value cannot begin with ` without quotes"),
        ("redis: @8", "1:8: a value cannot begin with @ without quotes"),
        ('name: "s:\\d"', "1:10: unknown escape sequence \\d\n  hint: use single quotes"),
        ("<<<<<<< HEAD\nname: a\n=======\nname: b\n>>>>>>> x", "1:1: a merge conflict is not"),
        ("redis: 8\n<<<<<<< HEAD\nname: a\n=======\n", "2:1: a merge conflict is not"),
        ("apps: {a: {redis: a}}}", "1:22: } closes nothing"),
    ],
)
def test_a_line_that_is_not_where_it_belongs(text: str, said: str) -> None:
    assert said in refused(text)


def test_a_key_that_is_missing_is_told_beside_the_typo_of_another() -> None:
    found = refused("postgres:\napps: {a: {postgres: {acces: readonly}}}")
    assert "the key 'database' is missing" in found
    assert "(did you mean 'access'?)" in found


def test_an_unknown_key_near_nothing_lists_what_there_is() -> None:
    assert refused("postgres:\nbackup: {zzz: 1}") == (
        "mngdb.yaml:2:10: unknown key 'zzz'; expected one of: store, recipients, keep, at, full, "
        "logical, rate, drill"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgres: 5", "1:11: postgres: has to be a mapping of keys"),
        (
            "postgres: {port: many}",
            "1:18: postgres.port: has to be a port number or 'auto', not 'many'",
        ),
        ("postgres: {port: 0}", "1:18: postgres.port: has to be greater than or equal to 1, not 0"),
        ("postgres: {port: 65536}", "1:18: postgres.port: has to be less than or equal to 65535"),
        ("postgres: {tls: 1}", "1:17: postgres.tls: has to be true or false, not 1"),
        ("postgres: {bind: 127.0.0.1}", "1:18: postgres.bind: has to be a list"),
        ("postgres: {bind: [here]}", "1:19: postgres.bind.0: 'here' is not an IP address"),
        ("postgres: {bind: ['fe80::1%x;y']}", "1:19: postgres.bind.0: 'fe80::1%x;y' is not an IP"),
        ("postgres: {bind: [0.0.0.0]}", "1:19: postgres.bind.0: 0.0.0.0 exposes the server"),
        ("postgres: {version: new}", "1:21: postgres.version: 'new' is not a version; write 17"),
        ("postgres: {slow: 5}", "1:18: postgres.slow: 5 is not a duration"),
        ("postgres: {slow: 25d}", "1:18: postgres.slow: '25d': the maximum is 24 days"),
        ("postgres: {settings: {a: [1]}}", "1:26: postgres.settings.a: has to be a string"),
        ("postgres: {settings: {a b: 1}}", "1:28: postgres.settings.a b: 'a b' is not the name"),
        ("postgres: {settings: {port: 1}}", "1:29: postgres.settings.port: the setting 'port'"),
        ('redis: {settings: {a: "x\\ny"}}', "1:23: redis.settings.a: a setting's value has to be"),
        ("redis: {memory: 70}", "1:17: redis.memory: 70 is neither a share (70%) nor a size"),
        ("redis: {eviction: lru}", "1:19: redis.eviction: has to be 'noeviction', 'allkeys-lru'"),
        ("redis: {timeout: 1500ms}", "1:18: redis.timeout: '1500ms': the server counts whole"),
        ("redis: {timeout: 30000d}", "1:18: redis.timeout: '30000d': the maximum is"),
        ("redis: {save: [{after: 1m}]}", "1:16: redis.save.0: the key 'changes' is missing"),
        ("redis: {save: [{after: 0s, changes: 1}]}", "1:24: redis.save.0.after: a save point"),
        ("postgres:\nrotate: 90", "2:9: rotate: 90 is not a duration; write a number with ms"),
        ("postgres:\nrotate: true", "2:9: rotate: has to be a mapping of keys (every, grace)"),
        ("postgres:\nrotate: {every: 2h, grace: 1d}", "2:9: rotate: every: 2h: has to be more"),
        ("postgres:\njwt: [a]", "2:6: jwt: has to be a mapping of keys (apps, rotate, keep)"),
        ("postgres:\nvault: {aws: x/y}", "2:14: vault.aws: has to be a mapping of keys (name, reg"),
        ("postgres:\nvault: {aws: {}, files: {}}", "2:8: vault: name exactly one of 'files', 'env"),
        ("redis: {save: [1]}", "1:16: redis.save.0: has to be a mapping of keys"),
        ("vault: safe\npostgres:", "1:8: vault: has to be 'files', 'environ' or 'aws', not 'safe'"),
        ("vault: {files: 3}\npostgres:", "1:8: vault: write {files: {path: FOLDER}}"),
        ("vault: {kind: environ, aws: {}}\npostgres:", "1:8: vault: aws is for the aws vault only"),
        ("vault: {aws: {name: 'a b'}}\npostgres:", "1:21: vault.aws.name: 'a b' is not a name"),
        ("vault: {aws: {region: here}}\npostgres:", "1:23: vault.aws.region: 'here' is not an AWS"),
        ("vault: {aws: {endpoint: 'http://x'}}\npostgres:", "1:25: vault.aws.endpoint: an end"),
        ("vault: {aws: {endpoint: 'http://127.0.0.1.x.org'}}\npostgres:", "1:25: vault.aws.endp"),
        ("vault: {aws: {endpoint: 'http://localhost:8@x.org'}}\npostgres:", "1:25: vault.aws.en"),
        ("vault: {kind: environ, path: x}\npostgres:", "1:8: vault: a path is for the files vault"),
        ("target: moon\npostgres:", "1:9: target: unknown target 'moon'; expected one of: local"),
        (
            "target: {}\npostgres:",
            "1:9: target: name exactly one of local, compose, external and atlas",
        ),
        ("apps: []\npostgres:", "1:7: apps: has to be a mapping of keys"),
        ("apps: {a: x}\npostgres:", "1:11: apps.a: has to be a mapping of keys"),
        ("apps: {a: {postgres: 7}}\npostgres:", "1:22: apps.a.postgres: has to be a mapping"),
        ("apps: {a: {redis: []}}\nredis:", "1:19: apps.a.redis: needs at least one"),
        (
            "redis: {}\napps.a.redis.keys: [x]",
            "2:1: unknown key 'apps.a.redis.keys'\n  hint: write it nested: apps: {a: {red",
        ),
        ("apps: {a: {redis: {keys: [x], commands: ['+@all']}}}\nredis:", "1:42: apps.a.redis.c"),
        ("instances: {q: {engine: redos}}", "1:25: instances.q.engine: unknown engine 'redos'"),
        ("instances: {q: {engine: [1]}}", "1:25: instances.q.engine: name its engine: postgres"),
        ("instances: {q: {}}", "1:16: instances.q: name its engine: postgres, redis, mongodb"),
        ("instances: {redis: {engine: redis}}", "1:20: instances.redis: 'redis' is the default"),
        ("postgres:\nbackup: {at: 3}", "2:14: backup.at: has to be a string, not 3"),
        ("postgres:\nbackup: {at: 24:00}", "2:14: backup.at: '24:00' is not a time of day"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_place_and_path(text: str, said: str) -> None:
    assert refused(text).startswith(f"mngdb.yaml:{said}")


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("{}", "the key 'keys' is missing"),
        ("{keys: {}}", "keys: needs at least one entry"),
        ("{keys: {a: 2}}", "keys.a: has to be 1, -1, 'text'"),
        ("{keys: {a: true}}", "keys.a: true is not a direction; write 1 or -1"),
        ("{keys: {a: 1, b: 1}, ttl: 1d}", "a TTL index has exactly one field"),
        ("{keys: {a: 1}, ttl: 10ms}", "a TTL counts whole seconds"),
        ("{keys: {a: 1}, ttl: 36000d}", "a TTL is at most 2147483647 seconds"),
        ("{keys: {a: 1}, sparse: true, partial: {a: 1}}", "sparse or partial, not both"),
        ("{keys: {a: 1}, name: _id_}", "is not a valid index name"),
        ("{keys: {_id: 1}}", "MongoDB maintains the index on _id itself"),
        ("{keys: {a: 1}}, {keys: {a: 1}, unique: true}", "the index a_1 is listed twice"),
        ("{keys: {a: 1}}, {keys: {a: 1}, name: b}", "is listed twice"),
    ],
)
def test_an_index_that_mongodb_would_refuse_is_refused(index: str, said: str) -> None:
    text = f"mongodb: {{databases: {{s: {{indexes: {{u: [{index}]}}}}}}}}"
    assert said in refused(text)
    assert refused(text).startswith("mngdb.yaml:1:")


def test_all_errors_are_said_in_the_order_of_their_lines() -> None:
    text = "postgres:\n  port: x\nredis:\n  slw: 1s\nmongodb:\n  port: y\nnme: z\n"
    places = [line.split(" ")[0] for line in refused(text).splitlines()]
    assert places == [f"mngdb.yaml:{place}:" for place in ("2:9", "4:3", "6:9", "7:1")]


def test_a_misspelt_key_is_not_also_said_to_be_missing() -> None:
    said = refused("postgres:\napps: {a: {postgres: {databas: x}}}")
    assert said == "mngdb.yaml:2:23: unknown key 'databas' (did you mean 'database'?)"


def test_no_more_than_twenty_errors_are_said() -> None:
    said = refused("".join(f"zz{i}: 1\n" for i in range(50)) + "postgres:").splitlines()
    assert len(said) == 21
    assert said[-1] == "… and 30 more"


def test_an_error_says_nothing_that_a_terminal_would_obey() -> None:
    keys = r'"\e[31m\n": {"\e]0;x\a": 1}'
    for text in (f"{{{keys}}}", f"mongodb: {{databases: {{{keys}}}}}", f"apps: {{{keys}}}"):
        assert all(line.isprintable() for line in refused(text).splitlines())


def test_a_wrong_value_is_cut_when_it_is_long() -> None:
    assert len(refused("postgres: {port: " + "x" * 9000 + "}")) < 200


def test_short_and_long_forms_mean_the_same() -> None:
    def grants(right: str, engine: str) -> object:
        return stack(f"{engine}:\napps: {{a: {{{engine}: {right}}}}}").apps["a"][engine]

    assert grants("x", "postgres") == grants("{database: x, access: owner}", "postgres")
    assert grants("x", "mongodb") == grants("{database: x, access: readwrite}", "mongodb")
    for short in ("'x:*'", "['x:*']"):
        assert grants(short, "redis") == grants("{keys: ['x:*']}", "redis")
    for short, long in (
        ("target: local", "target: {local: {}}"),
        ("target: {local: }", "target: {local: {}}"),
        ("vault: files", "vault: {kind: files}"),
        ("vault: {aws: {name: a/b}}", "vault: {kind: aws, aws: {name: a/b}}"),
        ("vault: {files: }", "vault: {kind: files}"),
        ("vault: {files: {path: x}}", "vault: {kind: files, path: x}"),
        ("redis:", "redis: {}"),
    ):
        assert stack(f"postgres:\n{short}").source == stack(f"postgres:\n{long}").source


@pytest.mark.parametrize(
    "text",
    ["postgres: {port: '5433'}", "redis: {appendonly: 'true'}", "postgres: {max_connections: '9'}"],
)
def test_a_number_in_quotes_is_told_as_one(text: str) -> None:
    assert "; write it without quotes" in refused(text)
