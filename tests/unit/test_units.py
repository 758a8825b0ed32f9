"""Durations, sizes and shares."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mngdb.spec.units import Amount, format_duration, format_size, parse_duration, parse_size

MILLISECONDS = st.integers(0, 36_500 * 86_400_000)


@given(MILLISECONDS)
def test_a_duration_survives_being_written_and_read(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(value)) == value


@given(st.integers(0, 1 << 50))
def test_a_size_survives_being_written_and_read(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(1, 1000))
def test_a_share_survives_being_written_and_read(tenths: int) -> None:
    value = Amount.parse(f"{tenths / 10}%")
    again = Amount.parse(str(value))
    assert again.of(1 << 40) == pytest.approx(value.of(1 << 40), abs=2)


@given(st.text(max_size=30) | st.integers() | st.floats() | st.none() | st.booleans())
def test_what_is_no_unit_raises_valueerror_and_nothing_else(value: object) -> None:
    for parse in (parse_duration, parse_size, Amount.parse):
        with contextlib.suppress(ValueError):
            parse(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("24h", 86400), ("10ms", 0.01), ("0s", 0), ("0", 0), ("90 d", 7776000), ("5M", 300)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("64mb", 64 << 20), ("1.5g", 3 << 29), ("2 KB", 2048), ("7b", 7)]
)
def test_sizes_are_powers_of_1024(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["24", "h", "-1h", "1h30m", "1.5h", "٣s", "9" * 40 + "d", "", 5])
def test_a_wrong_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0%", "100.5%", "-5%", "9" * 400 + "mb", "9999999tb", "64", 70])
def test_a_wrong_amount_of_memory_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"neither a share|not a share"):
        Amount.parse(text)


def test_a_duration_beyond_a_century_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than 100 years"):
        parse_duration("36501d")
