"""What is typed at mngdb's own prompts for Redis and MongoDB: words, documents, statements."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, cast

import pytest
from bson import Decimal128, Int64, ObjectId, Regex
from hypothesis import given, settings
from hypothesis import strategies as st

from mngdb.engines.mongodb.literals import Reader, opens, shown
from mngdb.engines.mongodb.prompt import Dialogue
from mngdb.engines.mongodb.statements import Command, parse
from mngdb.engines.redis.client import Session
from mngdb.engines.redis.prompt import Dialogue as RedisDialogue
from mngdb.engines.redis.prompt import quoted, split
from mngdb.errors import ConnectError, UsageError

OID = "65f000000000000000000000"


@pytest.mark.redis
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("get shop:1", [b"get", b"shop:1"]),
        ("  set  a 'x y' ", [b"set", b"a", b"x y"]),
        (r'set a "x\x00\xff\n\"y\""', [b"set", b"a", b'x\x00\xff\n"y"']),
        (r"set a 'it\'s \n'", [b"set", b"a", rb"it's \n"]),
        ('set a ""', [b"set", b"a", b""]),
        ("set a 가", [b"set", b"a", "가".encode()]),
        ("", []),
    ],
)
def test_words_of_redis(line: str, words: list[bytes]) -> None:
    assert split(line) == words


@pytest.mark.redis
@pytest.mark.parametrize("line", ['set a "x', "set a 'x", 'set a "x"y', 'set a x"'])
def test_a_quote_that_is_not_closed_runs_nothing(line: str) -> None:
    if line.endswith('x"'):
        assert split(line)[-1] == b'x"'  # within a word it is a sign like others
        return
    with pytest.raises(UsageError, match="quote"):
        split(line)


@pytest.mark.redis
@settings(max_examples=50)
@given(st.lists(st.binary(), max_size=3))
def test_what_is_printed_can_be_typed(words: list[bytes]) -> None:
    assert split(" ".join(map(quoted, words))) == words


class _Nested:
    """The connection of a server whose script nests lists."""

    def limit(self, _: float | None) -> None: ...

    def send(self, _: bytes) -> None: ...

    def file(self) -> BytesIO:
        return BytesIO(b"*1\r\n" * 100_000 + b":1\r\n")


@pytest.mark.redis
def test_an_answer_of_any_depth_ends_no_prompt() -> None:
    dialogue, session = RedisDialogue(""), cast("Session", _Nested())
    dialogue.opened(session)
    with pytest.raises(ConnectError, match="nested"):
        next(dialogue.run(session, "eval script 0"))


@pytest.mark.mongodb
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{a: 1, \'b\': "x", "c.d": [1, 2.5, -3e2,],}', {"a": 1, "b": "x", "c.d": [1, 2.5, -300]}),
        ("{$or: [{a: null}, {a: true}]}", {"$or": [{"a": None}, {"a": True}]}),
        (f"ObjectId('{OID}')", ObjectId(OID)),
        (f'{{"$oid": "{OID}"}}', ObjectId(OID)),
        ("ISODate('2026-01-02T03:04:05Z')", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("new Date(1000)", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("NumberLong('5')", Int64(5)),
        ("NumberDecimal('1.50')", Decimal128("1.50")),
        ("/^a\\/b/i", Regex("^a\\/b", "i")),
        ("{이름: 1, naïve: 2, $or: 3}", {"이름": 1, "naïve": 2, "$or": 3}),
        ("{a: 1 /* one */, // two\n b: 2}", {"a": 1, "b": 2}),
        (r"'\u{0041}'".replace("{", "").replace("}", ""), "A"),
        (r"'\ud83d\ude00'", "😀"),
        ("9223372036854775807", 9223372036854775807),
        ("9" * 5000, math.inf),
    ],
)
def test_a_value_is_read_as_mongosh_does(text: str, value: Any) -> None:
    reader = Reader(text)
    assert reader.value() == value
    assert reader.over()


@pytest.mark.mongodb
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("db.u.find({a: b})", "expected a value instead of 'b})'"),
        ("db.u.find({a: process.exit()})", "expected a value"),
        ("db.u.find({a: ObjectId('x')})", "ObjectId: 'x' is not a valid ObjectId"),
        ("db.u.find([1])", "has to be a document"),
        ("db.u.countDocuments(0)", "has to be a document"),
        ("db.u.deleteMany(null)", "has to be a document"),
        ("db.u.find({a: 'x})", "a quote is not closed"),
        ("db.u.find(1, 2, 3)", "find(): too many positional"),
        ("db.u.explode()", "explode() is not understood here"),
        ("db.u.find() x", "expected the end of the statement instead of 'x'"),
        ("db.u.find().explain()", "explain() is not understood here; expected one of: sort"),
        ("db.u.updateOne({})", "updateOne(): missing a required argument"),
        ("db.u.insertMany({})", "takes a list"),
        ("db(1)", "expected"),
        ("db.u", "the statement ends"),
        ("use a b", "use takes the name of a database"),
        ("show users", "expected one of dbs, databases, collections, tables"),
        ("db.u.find({a: 1", "a bracket is not closed"),
        ("var x = 1", "only statements of a few forms"),
        ("{}", "begins with its name"),
        ("{a: " * 200, "more than 100 levels"),
        ('{"$date": "x"}', "extended JSON"),
        ("{a: {$binary: {}}}", "extended JSON"),
        ("{a: {$binary: 1, $type: 1}}", "extended JSON"),
        ("{a: UUID(1)}", "UUID"),
        ("{a: ISODate(99999999999999999999)}", "ISODate"),
    ],
)
def test_what_is_not_understood_is_a_sentence(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.mongodb
@pytest.mark.parametrize(
    ("text", "document"),
    [
        ("db.u.find()", {"find": "u", "filter": {}}),
        (
            "db.a.b.find({x: 1}, {_id: 0});",
            {"find": "a.b", "filter": {"x": 1}, "projection": {"_id": 0}},
        ),
        (
            "db['a-b'].find().sort({x: -1}).limit(2).toArray()",
            {"find": "a-b", "filter": {}, "sort": {"x": -1}, "limit": 2},
        ),
        ("db.getCollection('a b').distinct('x')", {"distinct": "a b", "key": "x", "query": {}}),
        ("db.u.deleteMany({x: 1})", {"delete": "u", "deletes": [{"q": {"x": 1}, "limit": 0}]}),
        ("db.runCommand({drop: 'u'})", {"drop": "u"}),
        ("db.runCommand('ping')", {"ping": 1}),
        ("{collStats: 'u', scale: 1024}", {"collStats": "u", "scale": 1024}),
    ],
)
def test_a_statement_is_a_command(text: str, document: dict[str, Any]) -> None:
    found = parse(text)
    assert isinstance(found, Command)
    assert found.document == document
    assert list(found.document) == list(document)


@pytest.mark.mongodb
@settings(max_examples=50)
@given(st.text(max_size=40))
def test_any_text_is_a_statement_or_refused(text: str) -> None:
    for one in (text, f"db.u.find({text})", f"{{{text}}}"):
        try:
            parse(one)
        except UsageError:
            continue


@pytest.mark.mongodb
@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("db.u.find({", 2),
        ("a: '}', // {", 0),
        ('b: "\\"{" /* ( */})', -2),
        ("show dbs", 0),
    ],
)
def test_a_statement_goes_on_as_long_as_a_bracket_is_open(line: str, count: int) -> None:
    assert opens(line) == count


@pytest.mark.mongodb
@pytest.mark.parametrize(
    ("words", "statement"),
    [
        (["db.u.find()"], "db.u.find()"),
        (["show", "dbs"], "show dbs"),
        (["{ping: 1}"], "{ping: 1}"),
        (["db.js"], None),
        (["--eval", "1"], None),
        ([], None),
    ],
)
def test_files_and_options_are_for_mongosh(words: list[str], statement: str | None) -> None:
    assert Dialogue("shop", pages=False).statement(words) == statement


@pytest.mark.mongodb
def test_what_is_printed_is_one_line_of_json() -> None:
    value = {"a": "가\n", "n": Int64(5), "at": datetime(2026, 1, 2, tzinfo=UTC)}
    line = '{"a": "가\\n", "n": 5, "at": {"$date": "2026-01-02T00:00:00Z"}}'
    assert shown(value) == line
    assert Reader(line).value() == value
