"""The facts of an instance about its backups, as metrics: `crewship backup` stores them, and a scrape shows them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry, Gauge

MADE: Final = "backup.made"
REHEARSED: Final = "backup.rehearsed"
NAMES: Final = (MADE, REHEARSED)


def show(found: Mapping[str, str], registry: CollectorRegistry) -> None:
    """An instance without backups has none of these metrics."""
    if (made := _read(found.get(MADE))) is not None:
        at = datetime.fromisoformat(made["created_at"]).timestamp()
        _gauge("last_success_timestamp_seconds", "Time of the newest backup of the instance", registry, at)
        _gauge("size_bytes", "Size of the newest backup of the instance", registry, made["size_bytes"])
        _gauge("duration_seconds", "Duration of the newest backup of the instance", registry, made["seconds"])
        if "damaged" in made:
            _gauge("damaged", "Damaged bundles beside the newest backup, when it was made", registry, made["damaged"])
    if (tried := _read(found.get(REHEARSED))) is not None:
        at = datetime.fromisoformat(tried["created_at"]).timestamp()
        _gauge("rehearsed_timestamp_seconds", "Time of the backup that was rehearsed last", registry, at)
        _gauge("rehearsal_success", "1 if the newest rehearsal of a restore succeeded", registry, float(tried["ok"]))
        _gauge("rehearsal_duration_seconds", "Duration of the newest rehearsal", registry, tried["seconds"])


def _gauge(name: str, text: str, registry: CollectorRegistry, value: float) -> None:
    Gauge(f"crewship_backup_{name}", text, registry=registry).set(value)


def _read(value: str | None) -> dict[str, Any] | None:
    return None if value is None else dict(orjson.loads(value))
