"""When a notification of a member may be sent: quiet hours and digests."""

from datetime import datetime, timedelta
from typing import Final

from models.attention.inbox import InboxPriority
from models.attention.notification_deliveries import NotificationSchedule
from resolvers.rules.time_zones import time_zone

RANKS: Final = {priority: rank for rank, priority in enumerate(reversed(InboxPriority))}
"""From low to urgent."""


def rank(priority: str) -> int:
    """An unknown priority counts as low."""
    return RANKS.get(InboxPriority(priority), 0) if priority in [*InboxPriority] else 0


def held_until(schedule: NotificationSchedule | None, priority: str, now: datetime) -> datetime | None:
    """The time of the digest that a notification belongs to, or the end of quiet hours; None if it is sent at once."""
    if schedule is None or rank(priority) >= rank(schedule.through):
        return None
    due = now
    if schedule.digest_minutes is not None:
        length = timedelta(minutes=schedule.digest_minutes)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        due = midnight + length * ((now - midnight) // length + 1)
    quiet = _end_of_quiet(schedule, due)
    due = due if quiet is None else quiet
    return due if due > now else None


def _end_of_quiet(schedule: NotificationSchedule, at: datetime) -> datetime | None:
    """The end of the quiet hours that a time lies in, if it lies in some."""
    start, end = schedule.quiet_from, schedule.quiet_until
    zone = time_zone(schedule.time_zone)
    if start is None or end is None or zone is None or start == end:
        return None
    here = at.astimezone(zone)
    minute = here.hour * 60 + here.minute
    if not (start <= minute < end if start < end else minute >= start or minute < end):
        return None
    day = here.date() + timedelta(days=1 if start > end and minute >= start else 0)
    wall = datetime(day.year, day.month, day.day, end // 60, end % 60, tzinfo=zone)
    return wall.astimezone(at.tzinfo)
