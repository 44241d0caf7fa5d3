"""Cron expressions: five fields (minute, hour, day of month, month, day of week)."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from cronsim import CronSim, CronSimError

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
