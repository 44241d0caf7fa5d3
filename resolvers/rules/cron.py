"""Cron expressions: five fields (minute, hour, day of month, month, day of week), in UTC."""

from datetime import UTC, datetime
from typing import Final

from cronsim import CronSim, CronSimError

FIELDS: Final = 5
LONGEST: Final = 1000
"""Characters. A list of every minute takes 170; what is longer is no schedule of anybody."""


def next_run(expression: str, after: datetime) -> datetime | None:
    """The first minute after `after`; None if the text is no cron expression, or its day never comes (30 February)."""
    if len(expression) > LONGEST or len(expression.split()) != FIELDS:  # a sixth field would be seconds
        return None
    try:
        return next(CronSim(expression, after.astimezone(UTC)), None)
    except CronSimError:
        return None
