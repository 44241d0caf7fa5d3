"""What is done once a day, from some hour in UTC on: a day on which no process was there is made up for."""

from datetime import datetime, time, timedelta


def last_at(hour: time, now: datetime) -> datetime:
    """When the day began to which `now` belongs."""
    today = now.replace(hour=hour.hour, minute=hour.minute, second=0, microsecond=0)
    return today if now >= today else today - timedelta(days=1)
