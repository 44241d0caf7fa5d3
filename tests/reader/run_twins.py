"""States and traces of runs, for the oracle; see tests/reader/twins.py."""

from typing import Any

from tests.reader.inbox_twins import precise
from tests.reader.oracle import Asker, Row, Store
from tests.reader.words import Value

UNKNOWN = {("Run", name) for name in ("usage", "spans", "waitedMs", "waitsSince", "waitsFor")}
"""They depend on the time, or are seen by some only: tests/staff/runs."""


def waits(run: Row) -> bool:
    return run["status"] == "RUNNING" and run["waits_for"] is not None and run["waits_since"] is not None


def state(store: Store, asker: Asker, run: Row) -> str:
    if waits(run):
        return "WAITING"
    return "QUEUED" if run["status"] == "RUNNING" and run["started_at"] is None else str(run["status"])


def duration(store: Store, asker: Asker, row: Row) -> Any:
    if row["started_at"] is None or row["finished_at"] is None:
        return None
    return round((row["finished_at"] - row["started_at"]).total_seconds() * 1000)


def numbered(key: str) -> Value:
    return lambda store, _, span: None if span[key] is None else f"{span['run_id']}:{span[key]}"


DERIVED: dict[tuple[str, str], Value] = {
    ("Run", "state"): state,
    ("Run", "waiting_since"): lambda store, _, run: run["waits_since"] if waits(run) else None,
    ("Run", "waited_ms"): lambda store, _, run: round(run["waited"] * 1000),
    ("Run", "duration_ms"): duration,
    ("RunSpan", "id"): numbered("seq"),
    ("RunSpan", "parent_id"): numbered("parent_seq"),
    ("RunSpan", "begins"): precise("started_at"),
    ("RunSpan", "ends"): precise("finished_at"),
    ("RunSpan", "duration_ms"): duration,
}
JOINED = {
    ("Run", "waits_for_approval"): lambda store, run, other: other["id"] == run["waits_for"] and waits(run),
}
