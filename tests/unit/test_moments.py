"""`restore --to TIME`: what people and mngdb itself write is understood, in any zone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from mngdb.errors import UsageError
from mngdb.ops.backup.moments import parse, shown

NOW = datetime(2026, 11, 29, 12, 30, tzinfo=UTC).timestamp()
AT = datetime(2026, 11, 29, 12, 1, 7, tzinfo=UTC).timestamp()


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets this machine's zone."""

    def given(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield given
    monkeypatch.undo()
    time.tzset()


def test_yesterday_is_that_of_the_zone(zone: Callable[[str], None]) -> None:
    zone("Asia/Seoul")  # where it is 21:30
    assert parse("yesterday 9:03", NOW) == parse("2026-11-28 09:03:00", NOW)
    assert parse("yesterday 9:03:07 UTC", NOW) == parse("2026-11-28T09:03:07Z", NOW)
    late = NOW + 4 * 3600  # the next day there, not in London
    assert parse("today 0:10", late) == parse("2026-11-30 00:10:00", late)
    for text in ("yesterday", "yesterday 14", "yesterday noon", "today 23:59"):
        with pytest.raises(UsageError):
            parse(text, NOW)


@pytest.mark.parametrize("local", ["UTC", "Asia/Seoul", "America/Sao_Paulo", "Europe/Berlin"])
@pytest.mark.parametrize(
    "text",
    [
        "2026-11-29 12:01:07 UTC",
        "2026-11-29T12:01:07Z",
        "today 12:01:07 UTC",
        "2026-11-29 12:01:07 Z",
        "20261129T120107Z",
        "2026-11-29 21:01:07 Asia/Seoul",
        "2026-11-29 21:01:07+09:00",
        "2026-11-29 21:01:07 +0900",
        "2026-11-29 09:01:07 -03",
        "12:01:07Z",
        "12:01:07 UTC",
        "12:01:07 utc",
        "21:01:07 Asia/Seoul",
        "21:01:07+09:00",
        "1733 s ago",
    ],
)
def test_a_moment_with_its_zone(text: str, local: str, zone: Callable[[str], None]) -> None:
    zone(local)
    assert parse(text, NOW) == AT


@pytest.mark.parametrize("moment", [AT, AT + 0.924, datetime(2026, 7, 1, tzinfo=UTC).timestamp()])
@pytest.mark.parametrize("local", ["UTC", "Asia/Seoul", "America/Sao_Paulo", "Europe/Berlin"])
def test_what_is_said_is_understood(moment: float, local: str, zone: Callable[[str], None]) -> None:
    zone(local)
    assert parse(shown(moment), NOW) == pytest.approx(moment, abs=1e-6)
    assert (".924" in shown(moment)) == (moment % 1 > 0)


def test_the_letters_of_a_zone_say_which_of_two_it_is(zone: Callable[[str], None]) -> None:
    zone("Europe/Berlin")
    summer = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    assert parse("2026-10-25 02:30 CEST", NOW) == summer
    assert parse("2026-10-25 02:30 CET", NOW) == summer + 3600
    assert parse("2026-10-25 02:30 +02:00", NOW) == summer
    for text in ("2026-10-25 02:30", "2026-10-25 02:30 Europe/Berlin"):
        with pytest.raises(UsageError, match="twice"):
            parse(text, NOW)
    with pytest.raises(UsageError, match="never was"):
        parse("2026-03-29 02:30", NOW)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("99999999999d ago", "between 1970"),
        ("9" * 400 + "w ago", "between 1970"),
        ("0001-01-01", "between 1970"),
        ("2026-11-31", "no 2026-11-31"),
        ("2026-11-31 14:00", "no 2026-11-31"),
        ("2026-13-01T14:00Z", "no 2026-13-01"),
        ("25:00", "time of day"),
        ("25:00 UTC", "time of day"),
        ("2026-11-29 25:00", "not a time"),
        ("12:01 Asia/Nowhere", "not a time zone"),
        ("12:01 Asia", "not a time zone"),
        ("12:01 ../../etc/passwd", "not a time"),
        ("12:01 +99:00", "not a time zone"),
        ("2026-12-24 12:00", "future"),
        ("9999-12-31 23:59", "between 1970"),
        ("yesterday", "not a time"),
        ("5m", "not a time"),
        ("", "not a time"),
    ],
)
def test_what_is_no_moment_is_told(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(text, NOW)


def test_a_span_without_its_last_word_is_guessed() -> None:
    with pytest.raises(UsageError) as caught:
        parse("5 min", NOW)
    assert caught.value.hint == "did you mean '5 min ago'?"
