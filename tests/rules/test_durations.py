"""Durations in Go's grammar."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.durations import format_duration, parse_duration
from tests.every import each_of
from tests.rules.texts import anything

SECOND = 10**9


@each_of(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("+0", 0),
        ("0s", 0),
        ("5s", 5 * SECOND),
        ("1m30s", 90 * SECOND),
        ("1.5h", 5400 * SECOND),
        ("300ms", 300 * 10**6),
        ("7us", 7_000),
        ("7µs", 7_000),
        ("7μs", 7_000),
        ("9ns", 9),
        ("-1.5s", -1_500_000_000),
        ("+2h", 7200 * SECOND),
        (".5s", SECOND // 2),
        ("5.s", 5 * SECOND),
        ("1h15m30.918273645s", 4530 * SECOND + 918_273_645),
        ("0.3333333333333333333h", 1200 * SECOND - 1),
        ("1.9ns", 1),
        ("3s2m1h", 3723 * SECOND),
        ("9223372036854775807ns", 2**63 - 1),
        ("0." + "0" * 6000 + "1s", 0),
    ],
)
def test_accepted(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@each_of(
    "text",
    [
        "",
        "5",
        "s",
        ".s",
        "+",
        "-",
        "--5s",
        "5 s",
        " 5s",
        "5s ",
        "5S",
        "5d",
        "1m30",
        "1e3s",
        "5s\n",
        "\u0665s",
        "1,5s",
        "0x5s",
        "5mss",
        "9223372036854775808ns",
        "9999999h",
        "9" * 5000 + "s",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|digits"):
        parse_duration(text)


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_parts_add_up(hours: int, minutes: int, seconds: int, millis: int) -> None:
    expected = ((hours * 60 + minutes) * 60 + seconds) * SECOND + millis * 10**6
    assert parse_duration(f"{hours}h{minutes}m{seconds}s{millis}ms") == expected


@given(anything | st.text("0123456789.+-nuµmsh", max_size=30))
def test_total(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse_duration(text), int)


@each_of(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (300_000_000, "300ms"),
        (SECOND, "1s"),
        (3 * SECOND + SECOND // 2, "3.5s"),
        (3723 * SECOND + SECOND // 2, "1h2m3.5s"),
        (3600 * SECOND, "1h0m0s"),
        (60 * SECOND + 50_000_000, "1m0.05s"),
        (-90 * SECOND, "-1m30s"),
        (2**63 - 1, "2562047h47m16.854775807s"),
    ],
)
def test_a_duration_is_printed_as_go_does(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text


@given(st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1))
def test_what_is_printed_reads_back(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds
