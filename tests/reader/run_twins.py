"""States and traces of runs, for the oracle; see tests/reader/twins.py."""

from collections.abc import Callable
from typing import Any

from tests.reader.inbox_twins import precise
from tests.reader.oracle import Asker, Key, Listing, Order, Row, Store, ordered
from tests.reader.skill_twins import found
from tests.reader.words import Arguments, Root, Rule, Value, by, fits, tenants

UNKNOWN = {("Run", name) for name in ("usage", "spans", "input", "waitedMs", "waitsSince", "waitsFor")}
"""They depend on the time, or are seen by some only: tests/staff/runs."""


def waits(run: Row) -> bool:
    return run["status"] == "RUNNING" and run["waits_for"] is not None and run["waits_since"] is not None


def began(run: Row) -> Any:
    return run["started_at"] or run["created_at"]


def state(run: Row) -> str:
    if waits(run):
        return "WAITING"
    return "QUEUED" if run["status"] == "RUNNING" and run["started_at"] is None else str(run["status"])


ORDERS: dict[str, Order] = {
    "newest": (Key(began, True, "time"), *by("-id")),
    "oldest": (Key(began, False, "time"), *by("id")),
    "ended": (Key(lambda run: run["finished_at"], True, "time"), *by("-id")),
}
FILTERS: dict[str, Rule] = {
    "missionId": "mission_id",
    "issueId": "mission_id",
    "agentId": "agent_id",
    "crewId": "crew_id",
    "model": "model",
    "state": lambda run, given: state(run) in given,
    "trigger": lambda run, given: run["trigger_type"] in given,
    "since": lambda run, given: began(run) >= given,
    "until": lambda run, given: began(run).replace(microsecond=0) <= given,
    "endedSince": lambda run, given: run["finished_at"] is not None and run["finished_at"] >= given,
}


def chosen(arguments: Arguments) -> Order:
    return ORDERS[arguments.get("sort") or "newest"]


def _says(store: Store, run: Row, sought: str) -> bool:
    named = [(store.tables["agents"], "agent_id"), (store.tables["crews"], "crew_id")]
    names = [row["name"] for rows, key in named for row in rows if row["id"] == run[key]]
    return any(found(text, sought) for text in (run["id"], run["prompt"], run["error_message"], *names))


def find_runs(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [
        run
        for run in tenants(store, asker, "Run")
        if all(fits(run, rule, arguments.get(name)) for name, rule in FILTERS.items())
        if arguments.get("search") is None or _says(store, run, arguments["search"])
        if arguments.get("sort") != "ended" or run["finished_at"] is not None
    ]
    order = chosen(arguments)
    return Listing("Run", ordered(rows, order), order, (50, 100))


HERE: dict[str, Root] = {"findRuns": find_runs}


def duration(store: Store, asker: Asker, row: Row) -> Any:
    if row["started_at"] is None or row["finished_at"] is None:
        return None
    return round((row["finished_at"] - row["started_at"]).total_seconds() * 1000)


def numbered(key: str) -> Value:
    return lambda store, _, span: None if span[key] is None else f"{span['run_id']}:{span[key]}"


SESSION = (
    "cli_version", "api_key_source", "permission_mode", "session_id", "mcp_server_errors", "mcp_server_error_count",
    "mcp_server_errors_truncated", "permission_denials", "permission_denials_truncated",
)  # fmt: skip


def of_session(name: str) -> Value:
    return lambda store, _, run: ((run["data"] or {}).get("session") or {}).get(name)


DERIVED: dict[tuple[str, str], Value] = {
    **{("Run", name): of_session(name) for name in SESSION},
    ("Run", "waiting_since"): lambda store, _, run: run["waits_since"] if waits(run) else None,
    ("Run", "waited_ms"): lambda store, _, run: round(run["waited"] * 1000),
    ("Run", "duration_ms"): duration,
    ("RunSpan", "id"): numbered("seq"),
    ("RunSpan", "parent_id"): numbered("parent_seq"),
    ("RunSpan", "begins"): precise("started_at"),
    ("RunSpan", "ends"): precise("finished_at"),
    ("RunSpan", "duration_ms"): duration,
}
CONDITIONS: dict[str, Callable[[Row], bool]] = {
    "run_frames.agent_id IS NOT NULL": lambda frame: frame["agent_id"] is not None,
}
JOINED = {
    ("Run", "waits_for_approval"): lambda store, run, other: other["id"] == run["waits_for"] and waits(run),
    ("Run", "message"): lambda store, run, other: (
        (other["chat_id"], other["seq"], other["run_id"]) == (run["chat_id"], run["message_seq"], run["id"])
        and other["role"] == "user"
    ),
}
