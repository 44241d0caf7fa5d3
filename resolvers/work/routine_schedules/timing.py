"""The times of schedules of routines."""

from datetime import datetime
from hashlib import sha256
from typing import Final

from resolvers.kernel import invalid
from resolvers.rules.cron import is_readable, next_occurrence
from resolvers.rules.time_zones import time_zone

NO_CRON: Final = (
    "must be five fields (minute, hour, day of month, month, day of week), @hourly, @daily, @weekly, @monthly, @yearly,"
    " or @every with a duration of at least one minute, such as @every 1h30m"
)
NEVER: Final = "never comes"
NO_ZONE: Final = "must be a time zone of the IANA database, such as Europe/Berlin"


def first_of(expression: str, zone_name: str, after: datetime) -> datetime:
    """The first time of a schedule from a client; BAD_REQUEST with the fault."""
    zone = time_zone(zone_name)
    if zone is None:
        raise invalid("timezone", NO_ZONE)
    if not is_readable(expression):
        raise invalid("cron_expr", NO_CRON)
    first = next_occurrence(zone, expression, after)
    if first is None:
        raise invalid("cron_expr", NEVER)
    return first


def delay_of(schedule_id: str, jitter_seconds: int) -> int:
    """Seconds by which a schedule starts later than its time: always the same of a schedule, and spread over many."""
    drawn = int.from_bytes(sha256(schedule_id.encode()).digest()[:8])
    return drawn % (jitter_seconds + 1)
