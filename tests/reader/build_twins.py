"""What is derived of the build of a crew's image, for the oracle."""

from tests.reader.oracle import Asker, Row, Store
from tests.reader.words import Value


def build_status(store: Store, asker: Asker, row: Row) -> str:
    known = "idle" if row["cached_image"] is None else "completed"
    return known if row["build"] is None else str(row["build"]["status"])


def of_build(key: str) -> Value:
    return lambda store, _, row: None if row["build"] is None else row["build"].get(key)


BUILD = {name: name for name in ("error", "step", "total", "message", "steps", "started_at", "completed_at")}
BUILD["log"] = "log_tail"
DERIVED: dict[tuple[str, str], Value] = {("Crew", f"build_{name}"): of_build(key) for name, key in BUILD.items()}
DERIVED["Crew", "provision_status"] = build_status
