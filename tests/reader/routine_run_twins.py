"""Runs of routines and their approvals, for the oracle; see tests/reader/twins.py."""

from typing import Any

from tests.reader.oracle import Asker, Row, Store
from tests.reader.words import Value

TEXTS = (
    "output", "current_step_id", "error_message", "failed_at_step", "triggered_by_id", "invoking_user_id",
    "invoking_crew_id", "invoking_agent_id", "replay_of", "concurrency_key",
)  # fmt: skip
UNKNOWN = {("RoutineRun", "durationMs"), ("RoutineRun", "waitpointToken")}
"""They depend on the time, or are seen by some only: tests/work/routine_runs."""
RESULTS = {"queued": "RUNNING", "running": "RUNNING", "waiting": "WAITING", "completed": "COMPLETED"}
RESULTS |= {"cancelled": "CANCELLED", "dry_run": "DRY_RUN_OK"}


def _routine(store: Store, run: Row) -> Row:
    return next(row for row in store.tables["routines"] if row["id"] == run["routine_id"])


def _name(store: Store, _: Asker, run: Row) -> str:
    routine = _routine(store, run)
    return str(routine["name"]) if routine["deleted_at"] is None else ""


def _outputs(store: Store, _: Asker, run: Row) -> dict[str, Any]:
    steps = [row for row in store.tables["routine_run_steps"] if row["routine_run_id"] == run["id"]]
    return {
        row["path"]: "<skipped>" if row["state"] == "skipped" else row["output"]
        for row in steps
        if row["state"] in ("completed", "skipped") and "[" not in row["path"] and ":" not in row["path"]
    }


def _issue(store: Store, asker: Asker, run: Row) -> str:
    live = [row for row in store.live("missions") if row["workspace_id"] == run["workspace_id"]]
    known = {row["identifier"] for row in live} - {None}
    return str(run["triggered_by_id"]) if run["triggered_via"] == "issue" and run["triggered_by_id"] in known else ""


def _crew(store: Store, _: Asker, waitpoint: Row) -> Any:
    runs = store.tables["routine_runs"]
    return next(row["invoking_crew_id"] for row in runs if row["id"] == waitpoint["routine_run_id"])


def _ended(store: Store, _: Asker, run: Row) -> str:
    return "" if run["ended_at"] is None else f"{run['ended_at']:%Y-%m-%dT%H:%M:%SZ}"


def _error(store: Store, _: Asker, run: Row) -> Any:
    text = run["error_message"]
    return None if text is None else str(text).split("\n")[0][:200]


def _text(column: str) -> Value:
    return lambda store, _, run: run[column] or ""


def _slug(column: str) -> Value:
    """The slug of a live routine."""

    def slug(store: Store, _: Asker, row: Row) -> Any:
        return next((each["slug"] for each in store.live("routines") if each["id"] == row[column]), None)

    return slug


def _of_guided(value: Any) -> Value:
    def shown(store: Store, _: Asker, row: Row) -> Any:
        levels = [crew["autonomy_level"] for crew in store.tables["crews"] if crew["id"] == row["crew_id"]]
        return value if levels in ([], ["guided"]) else None

    return shown


DERIVED: dict[tuple[str, str], Value] = {
    **{("RoutineRun", f"{column}_text"): _text(column) for column in TEXTS},
    ("RoutineRun", "routine_slug"): lambda store, _, run: _routine(store, run)["slug"],
    ("RoutineRun", "routine_name"): _name,
    ("RoutineRun", "result"): lambda store, _, run: RESULTS.get(run["status"], "FAILED"),
    ("RoutineRun", "step_outputs"): _outputs,
    ("RoutineRun", "duration_ms"): lambda *_: None,
    ("RoutineRun", "ended_text"): _ended,
    ("RoutineRun", "issue_identifier"): _issue,
    ("RoutineRun", "error_line"): _error,
    ("RoutineRun", "cancel_requested"): lambda store, _, run: run["stopping_at"] is not None,
    ("RoutineRun", "pending_id"): lambda store, _, run: (
        str(run["id"]).replace("run_", "pnd_") if run["status"] == "queued" else None
    ),
    ("RoutineRun", "coalesced"): lambda store, _, run: run["merges"] > 0,
    ("RoutineRun", "is_replay"): lambda store, _, run: run["replay_of"] is not None,
    ("RoutineRun", "waitpoint_token"): lambda *_: None,
    ("RoutineRun", "waiting_step"): lambda store, _, run: (
        run["current_step_id"] if run["status"] == "waiting" else None
    ),
    ("Waitpoint", "invoking_crew_id"): _crew,
    ("RoutineSchedule", "routine_slug"): _slug("routine_id"),
    ("RoutineSchedule", "wake_routine_slug"): _slug("wake_routine_id"),
    ("RoutineSchedule", "fails_closed"): lambda store, _, row: row["wake_fail_closed"] or None,
    ("RoutineSchedule", "announced_level"): _of_guided("guided"),
    ("RoutineSchedule", "announced_decision"): _of_guided("auto_log_inbox"),
    ("RoutineSchedule", "announced_review"): _of_guided(False),
    ("RoutineWebhook", "routine_slug"): _slug("routine_id"),
    ("Waitpoint", "kind"): lambda *_: "approval",
}
