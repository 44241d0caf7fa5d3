"""Cron expressions, and when they come in a time zone."""

from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from time import perf_counter
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.cron import (
    is_plain,
    is_readable,
    missed_occurrences,
    next_after,
    next_in,
    next_occurrence,
    next_run,
    pause_of,
)
from resolvers.rules.time_zones import time_zone, time_zones
from tests.every import each_of
from tests.rules.texts import anything

MONDAY = datetime(2026, 3, 2, 10, 30, 15, tzinfo=UTC)


@each_of(
    ("expression", "then"),
    [
        ("* * * * *", datetime(2026, 3, 2, 10, 31, tzinfo=UTC)),
        ("30 10 * * *", datetime(2026, 3, 3, 10, 30, tzinfo=UTC)),
        ("*/15 9-17 * * MON-FRI", datetime(2026, 3, 2, 10, 45, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
        ("  0  12  L  *  * ", datetime(2026, 3, 31, 12, tzinfo=UTC)),
    ],
)
def test_next_run(expression: str, then: datetime) -> None:
    assert next_run(expression, MONDAY) == then


def test_the_clock_of_an_expression_is_utc() -> None:
    there = MONDAY.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert next_run("0 11 * * *", there) == datetime(2026, 3, 2, 11, tzinfo=UTC)


@each_of(
    "expression",
    [
        "",
        "daily",
        "@daily",
        "60 * * * *",
        "* * * *",
        "0 * * * * *",
        "0 0 30 2 *",
        "* * * * 8",
        "*/0 * * * *",
        f"{'9' * 5000} * * * *",
    ],
)
def test_no_next_run(expression: str) -> None:
    assert next_run(expression, MONDAY) is None


@given(
    anything
    | st.lists(st.text("0123456789*/,-L#W MONJA", min_size=1, max_size=6), min_size=5, max_size=5).map(" ".join)
)
def test_total(text: str) -> None:
    then = next_run(text, MONDAY)
    assert then is None or then > MONDAY


# ---- the narrower grammar, and time zones ----------------------------------------------------------------------------

BERLIN, KOLKATA, LORD_HOWE, CAIRO = map(
    ZoneInfo, ("Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Cairo")
)
FORWARD, BACK = date(2026, 3, 29), date(2026, 10, 25)  # in Berlin, at 2 and at 3 o'clock


def times_of(zone: tzinfo, expression: str, day: date) -> list[str]:
    """When it comes on a day of the zone, as its clocks show it, with the offset."""
    end = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    at, found = datetime.combine(day, time(), zone).astimezone(UTC) - timedelta(seconds=1), []
    while (at := next_in(zone, expression, at) or end) < end:
        found.append(at.astimezone(zone).strftime("%H:%M%z")[:8])
    return found


@each_of(
    ("zone", "day", "expression", "shown"),
    [
        (BERLIN, FORWARD, "30 2 * * *", ["03:30+02"]),
        (BERLIN, FORWARD, "0 2 * * *", ["03:00+02"]),
        (BERLIN, FORWARD, "0 2,3 * * *", ["03:00+02"]),
        (BERLIN, FORWARD, "0,30 2 * * *", ["03:00+02", "03:30+02"]),
        (BERLIN, FORWARD, "*/20 2 * * *", ["03:00+02", "03:20+02", "03:40+02"]),
        (BERLIN, FORWARD, "0 1-4 * * *", ["01:00+01", "03:00+02", "04:00+02"]),
        (BERLIN, FORWARD, "30 9 * * *", ["09:30+02"]),
        (BERLIN, FORWARD, "0 0 29 3 *", ["00:00+01"]),
        (BERLIN, BACK, "30 2 * * *", ["02:30+02"]),
        (BERLIN, BACK, "0 2,3 * * *", ["02:00+02", "03:00+01"]),
        (BERLIN, BACK, "*/30 2 * * *", ["02:00+02", "02:30+02"]),
        (BERLIN, BACK, "0 */2 * * *", ["00:00+02", "02:00+02", *[f"{hour:02}:00+01" for hour in range(4, 24, 2)]]),
        (LORD_HOWE, date(2026, 10, 4), "15 2 * * *", ["02:45+11"]),
        (LORD_HOWE, date(2026, 10, 4), "15,40 2 * * *", ["02:40+11", "02:45+11"]),
        (LORD_HOWE, date(2026, 4, 5), "45 1 * * *", ["01:45+11"]),
        (CAIRO, date(2026, 4, 24), "30 0 * * *", ["01:30+03"]),
        (KOLKATA, FORWARD, "30 2 * * *", ["02:30+05"]),
    ],
)
def test_what_is_left_out_comes_later_and_what_comes_twice_counts_once(
    zone: tzinfo, day: date, expression: str, shown: list[str]
) -> None:
    assert times_of(zone, expression, day) == shown


@each_of("expression", ["0 * * * *", "0 0-23 * * *", "0 */1 * * *"])
@each_of(("day", "hours"), [(FORWARD, 23), (BACK, 25)])
def test_every_hour_is_every_hour_that_passes(expression: str, day: date, hours: int) -> None:
    assert len(times_of(BERLIN, expression, day)) == hours


def test_whoever_asks_in_the_second_of_two_hours_has_missed_the_first() -> None:
    second = datetime(2026, 10, 25, 1, 15, tzinfo=UTC)  # 2:15 by winter time
    assert next_in(BERLIN, "30 2 * * *", second) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.slow
@each_of("year", [2026, 2027])
@each_of("zone", [BERLIN, LORD_HOWE, CAIRO, ZoneInfo("America/New_York"), ZoneInfo("Antarctica/Troll")])
def test_a_daily_time_comes_once_a_day_all_year(zone: tzinfo, year: int) -> None:
    at, seen = datetime(year, 1, 1, tzinfo=zone).astimezone(UTC) - timedelta(seconds=1), []
    for _ in range(365):
        at = next_in(zone, "30 2 * * *", at) or at
        seen.append(at.astimezone(zone).date())
    assert seen == [date(year, 1, 1) + timedelta(days=n) for n in range(365)]


@given(
    st.sampled_from([BERLIN, LORD_HOWE, CAIRO, UTC]),
    st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)),
    st.lists(st.text("0123456789*/,-MONJA", min_size=1, max_size=6), min_size=5, max_size=5).map(" ".join)
    | st.sampled_from(
        ["30 2 * * *", "*/15 0-4 * * *", "0 0 29 2 *", "0 0 31 * 1", "7 */6 * * SUN", "@daily", "* * * * 7"]
    ),
)
def test_the_next_time_is_later_and_there_is_none_of_what_is_not_plain(
    zone: tzinfo, naive: datetime, expression: str
) -> None:
    after = naive.replace(tzinfo=UTC)
    then = next_in(zone, expression, after)
    assert then is None or (then > after and then.second == 0 and is_plain(expression))


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 */2", "* * 30,31 2 *", "0 0 30 2 */7"])
def test_a_day_that_never_comes_is_told_soon(expression: str) -> None:
    begun = perf_counter()
    assert is_plain(expression)
    assert next_in(BERLIN, expression, MONDAY) is None
    assert perf_counter() - begun < 0.25


@pytest.mark.parametrize(
    "expression", ["0 0 29 2 */7", "59 23 31 12 *", "0 0 * 2 MON-SAT/5", f"{','.join(map(str, range(60)))} 1-22 29 2 *"]
)
def test_the_rarest_days_are_found_soon(expression: str) -> None:
    begun = perf_counter()
    assert next_in(BERLIN, expression, MONDAY) is not None
    assert perf_counter() - begun < 0.25


@each_of("name", ["", "Mars/Phobos", "../UTC", "/etc/localtime", "localtime", "Europe", "europe/berlin", "\0"])
def test_what_is_no_time_zone(name: str) -> None:
    assert time_zone(name) is None


def test_the_names_of_time_zones() -> None:
    assert time_zone(None) is time_zone("UTC") is UTC
    assert {"Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"} <= time_zones()
    for name in time_zones():
        assert time_zone(name) is not None


# ---- macros and pauses -----------------------------------------------------------------------------------------------


@each_of(
    "expression, minutes",
    [("@every 1h30m", 90), (" @EVERY 1m ", 1), ("@every 60s", 1), ("@every 1.5h", 90), ("@every 2h45m30s", 165.5)],
)
def test_a_pause(expression: str, minutes: float) -> None:
    assert pause_of(expression) == timedelta(minutes=minutes)
    assert is_readable(expression)


@each_of(
    "expression",
    [
        "@every", "@every 59s", "@every 0", "@every -1h", "@every 1", "@every 1d", "@every 100000h", "@reboot",
        "every 1h",
        "@every " + "9" * 2000, "@ every 1h", "@daily 1h", "",
    ],
)  # fmt: skip
def test_what_is_no_pause(expression: str) -> None:
    assert (pause_of(expression), is_readable(expression)) == (None, False)
    assert next_occurrence(UTC, expression, MONDAY) is None


def test_pauses_count_from_an_occurrence() -> None:
    due = MONDAY.replace(microsecond=0)
    for late, expected in ((0, 1), (59, 1), (60, 2), (601, 11)):
        now = due + timedelta(minutes=late)
        assert next_after(UTC, "@every 1h", due, now) == due + timedelta(hours=expected)
    assert next_after(UTC, "@hourly", due, due - timedelta(minutes=1)) == next_occurrence(UTC, "@hourly", due)


def test_missed_occurrences_are_those_behind_the_one_that_was_due() -> None:
    due = datetime(2026, 3, 2, 9, tzinfo=UTC)
    now = due + timedelta(hours=3, minutes=5)
    assert [at.hour for at in missed_occurrences(UTC, "@hourly", due, now, 1000)] == [10, 11, 12]
    assert len(missed_occurrences(UTC, "@hourly", due, now, 2)) == 2
    assert missed_occurrences(UTC, "@hourly", due, due, 10) == []
    assert missed_occurrences(UTC, "never", due, now, 10) == []
    change = datetime(2026, 10, 24, 0, 30, tzinfo=UTC)  # clocks repeat 02:30 on the day after
    days = missed_occurrences(BERLIN, "30 2 * * *", change, change + timedelta(days=2, hours=2), 10)
    assert [f"{at:%d %H:%M}" for at in days] == ["25 00:30", "26 01:30"]
