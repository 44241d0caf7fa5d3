"""The facts of an instance about its backups and the archive of its log, as metrics. Who makes them stores the facts,
and a scrape shows them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry, Gauge

MADE: Final = "backup.made"
REHEARSED: Final = "backup.rehearsed"
ARCHIVE: Final = "archive.state"
NAMES: Final = (MADE, REHEARSED, ARCHIVE)


def show(found: Mapping[str, str], registry: CollectorRegistry) -> None:
    """An instance without backups has none of these metrics, and one without an archive none of the archive."""
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
    if (kept := _read(found.get(ARCHIVE))) is not None:
        at = 0.0 if kept["base"] is None else datetime.fromisoformat(kept["base"]).timestamp()
        based = "Time of the newest base backup in the archive of the log; 0 if it has none"
        Gauge("crewship_archive_base_timestamp_seconds", based, registry=registry).set(at)
        failing = "1 while the archive of the log receives nothing"
        Gauge("crewship_archive_failing", failing, registry=registry).set(kept["failing"] is not None)


def _gauge(name: str, text: str, registry: CollectorRegistry, value: float) -> None:
    Gauge(f"crewship_backup_{name}", text, registry=registry).set(value)


def _read(value: str | None) -> dict[str, Any] | None:
    return None if value is None else dict(orjson.loads(value))
