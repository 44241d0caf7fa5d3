"""Time zones by their names in the IANA database, which comes with the service: machines need not have it."""

from datetime import UTC, tzinfo
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo


@cache
def time_zones() -> frozenset[str]:
    return frozenset((files("tzdata") / "zones").read_text("utf-8").split())


def time_zone(name: str | None) -> tzinfo | None:
    """The zone of this name; UTC without a name, None for an unknown zone."""
    if name is None or name == "UTC":
        return UTC
    return ZoneInfo(name) if name in time_zones() else None
