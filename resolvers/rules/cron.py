"""Cron expressions: five fields (minute, hour, day of month, month, day of week)."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from cronsim import CronSim, CronSimError

from resolvers.rules.durations import parse_duration

FIELDS: Final = 5
LONGEST: Final = 1000
"""The most characters of an expression. A list of every minute takes 170; a longer one is no real schedule."""
HOURS: Final = 24
LONGEST_CHANGE: Final = timedelta(hours=3)
"""More than any change of clocks."""


def _field(value: str) -> str:
    term = rf"(?:\*|{value}(?:-{value})?)(?:/\d{{1,2}})?"
    return rf"{term}(?:,{term})*"


NUMBER = r"\d{1,2}"
MONTH = rf"(?:{NUMBER}|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)"
DAY = r"(?:0?[0-6]|SUN|MON|TUE|WED|THU|FRI|SAT)"
PLAIN = re.compile(
    r"\s+".join([_field(NUMBER), _field(NUMBER), _field(NUMBER), _field(MONTH), _field(DAY)]), re.IGNORECASE | re.ASCII
)
"""Numbers and names, lists, ranges and steps: what every cron reads in the same way (contract: recurring_issues)."""


def next_run(expression: str, after: datetime) -> datetime | None:
    """The first minute after `after`, in UTC; None if the text is no cron expression, or its day never comes (30
    February).
    """
    if len(expression) > LONGEST or len(expression.split()) != FIELDS:  # a sixth field would be seconds
        return None
    try:
        return next(CronSim(expression, after.astimezone(UTC)), None)
    except CronSimError:
        return None


def is_plain(expression: str) -> bool:
    """Returns true if the expression has the narrower grammar that `next_in` reads."""
    if len(expression) > LONGEST or PLAIN.fullmatch(expression.strip()) is None:
        return False
    try:
        CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        # of a day that never comes it says no more; all other fields can be read
        return "day-of-month" in str(error) and _days_are_days(expression)
    return True


def _days_are_days(expression: str) -> bool:
    minute, hour, day, _, week = expression.split()
    try:
        CronSim(f"{minute} {hour} {day} * {week}", datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError:
        return False
    return True


def next_in(zone: tzinfo, expression: str, after: datetime) -> datetime | None:
    """The first time after `after` at which clocks of the zone show the time of a plain expression, in UTC; None if the
    expression is not plain or its day never comes.

    A time that clocks skip comes as much later; a repeated time counts once. An hourly expression continues every hour,
    regardless of clock changes.
    """
    if not is_plain(expression):
        return None
    if zone is UTC:
        return next_run(expression, after)
    try:
        return _next_shown(zone, expression, after)
    except CronSimError:
        return None


def _next_shown(zone: tzinfo, expression: str, after: datetime) -> datetime | None:
    minute, _, *days = expression.split()
    if len(CronSim(expression, after.astimezone(UTC)).hours) == HOURS:
        hourly = CronSim(
            " ".join((minute, "*", *days)), after.astimezone(zone)
        )  # a star: it follows the time that passes
        return next((at for at in _in_utc(hourly) if at > after), None)
    found: datetime | None = None
    shown = after.astimezone(zone).replace(tzinfo=None)
    for local in CronSim(expression, shown - LONGEST_CHANGE):
        if found is not None and local > shown + LONGEST_CHANGE:
            break
        at = local.replace(tzinfo=zone).astimezone(UTC)
        if at > after and (found is None or at < found):
            found, shown = at, local
    return found


def _in_utc(times: CronSim) -> Iterator[datetime]:
    return (at.astimezone(UTC) for at in times)


MACROS: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
EVERY: Final = "@every"
NANOSECONDS: Final = 10**9
"""A second."""
SHORTEST, LONGEST_PAUSE = timedelta(minutes=1), timedelta(days=3660)


def pause_of(expression: str) -> timedelta | None:
    """The pause of `@every 1h30m`; None of another expression, and of a pause that is too short or too long."""
    word, _, duration = expression.strip().partition(" ")
    if word.lower() != EVERY or len(duration) > LONGEST:
        return None
    try:
        seconds = parse_duration(duration.strip()) // NANOSECONDS
    except ValueError:
        return None
    pause = timedelta(seconds=min(seconds, 2**33))
    return pause if SHORTEST <= pause <= LONGEST_PAUSE else None


def is_readable(expression: str) -> bool:
    """Returns true for what `next_occurrence` reads: a plain expression, a macro such as @daily, or `@every 1h30m`."""
    expanded = MACROS.get(expression.strip().lower(), expression)
    return pause_of(expression) is not None or is_plain(expanded)


def next_occurrence(zone: tzinfo, expression: str, after: datetime) -> datetime | None:
    """As `next_in`, also of macros; `@every` counts from `after`, in whole seconds."""
    pause = pause_of(expression)
    if pause is not None:
        return after.astimezone(UTC).replace(microsecond=0) + pause
    return next_in(zone, MACROS.get(expression.strip().lower(), expression), after)


def next_after(zone: tzinfo, expression: str, due: datetime, now: datetime) -> datetime | None:
    """The first occurrence behind `now` and `due`, which was one: pauses of `@every` count from there."""
    pause = pause_of(expression)
    if pause is None or now < due:
        return next_occurrence(zone, expression, max(due, now))
    return due + ((now - due) // pause + 1) * pause


def missed_occurrences(zone: tzinfo, expression: str, due: datetime, now: datetime, most: int) -> list[datetime]:
    """The occurrences after `due` up to `now`, the first ones of very many."""
    found, at = list[datetime](), next_occurrence(zone, expression, due)
    while at is not None and at <= now and len(found) < most:
        found.append(at)
        at = next_occurrence(zone, expression, at)
    return found
