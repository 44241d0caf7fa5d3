"""The times of recurring issues."""

from datetime import datetime

from models.work.recurring_issues import RecurringIssue
from resolvers.kernel import invalid
from resolvers.rules.cron import is_plain, next_in
from resolvers.rules.time_zones import time_zone

NO_CRON = (
    "must be five fields (minute, hour, day of month, month, day of week) of numbers or names, such as 0 9 * * MON-FRI"
)
NEVER = "never comes"
NO_ZONE = "must be a time zone of the IANA database, such as Europe/Berlin"


def next_of(recurring: RecurringIssue, after: datetime) -> datetime | None:
    """None if the schedule is invalid, or its time never comes."""
    zone = time_zone(recurring.time_zone)
    return None if zone is None else next_in(zone, recurring.cron_expression, after)


def first_of(expression: str, zone_name: str | None, after: datetime) -> datetime:
    """The first time of a schedule from a client; BAD_REQUEST with the fault."""
    zone = time_zone(zone_name)
    if zone is None:
        raise invalid("time_zone", NO_ZONE)
    if not is_plain(expression):
        raise invalid("cron_expression", NO_CRON)
    first = next_in(zone, expression, after)
    if first is None:
        raise invalid("cron_expression", NEVER)
    return first
