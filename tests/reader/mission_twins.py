"""What the oracle is told of missions and their tasks; see tests/reader/twins.py."""

import orjson

from tests.reader.issue_twins import of_row
from tests.reader.oracle import Asker, Listing, Order, Single, Store, ordered
from tests.reader.words import NEWEST, Arguments, Root, Value, by, fits, only, tenants

ORDERS: dict[str, Order] = {
    "newest": NEWEST,
    "oldest": by("created_at", "id"),
    "recently_changed": by("-updated_at", "-id"),
}


def chosen(arguments: Arguments) -> Order:
    return ORDERS[arguments.get("sort") or "newest"]


def missions(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [r for r in tenants(store, asker, "Mission") if fits(r, "status", arguments.get("status"))]
    crews = [crew["id"] for crew in tenants(store, asker, "Crew")]
    if "crewId" in arguments:
        rows = [r for r in rows if r["crew_id"] == arguments["crewId"] and r["crew_id"] in crews]
    return Listing("Mission", ordered(rows, NEWEST), NEWEST, (20, 100))


def found_missions(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [r for r in tenants(store, asker, "Mission") if fits(r, "status", arguments.get("status"))]
    for argument, column in (("crewId", "crew_id"), ("leadAgentId", "lead_agent_id"), ("missionType", "mission_type")):
        if (wanted := arguments.get(argument)) is not None:
            rows = [r for r in rows if r[column] == wanted]
    if (statuses := arguments.get("statuses")) is not None:
        rows = [r for r in rows if r["status"] in statuses]
    order = chosen(arguments)
    return Listing("Mission", ordered(rows, order), order, (20, 100))


def mission(store: Store, asker: Asker, arguments: Arguments) -> Single:
    rows = [r for r in tenants(store, asker, "Mission") if r["id"] == arguments["id"]]
    if (crew := arguments.get("crewId")) is not None:
        rows = [r for r in rows if r["crew_id"] == crew]
    return only(rows, "Mission")


def mission_task(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([r for r in tenants(store, asker, "MissionTask") if r["id"] == arguments["id"]], "MissionTask")


def checkpoints(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    only([r for r in tenants(store, asker, "Mission") if r["id"] == arguments["missionId"]], "Mission")
    rows = [r for r in tenants(store, asker, "Checkpoint") if r["mission_id"] == arguments["missionId"]]
    return Listing("Checkpoint", ordered(rows, NEWEST), NEWEST, (50, 200), clamped=False)


def checkpoint(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([r for r in tenants(store, asker, "Checkpoint") if r["id"] == arguments["id"]], "Checkpoint")


HERE: dict[str, Root] = {
    "checkpoints": checkpoints, "checkpoint": checkpoint, "missions": found_missions,
    "crewMissions": missions, "mission": mission, "missionTask": mission_task,
}  # fmt: skip


def of_agent(column: str) -> Value:
    named = of_row("agents", "assigned_agent_id", column)
    return lambda store, asker, row: None if row["assigned_agent_id"] is None else named(store, asker, row)


DERIVED: dict[tuple[str, str], Value] = {
    ("Mission", "lead_agent_name"): of_row("agents", "lead_agent_id", "name"),
    ("Mission", "lead_agent_slug"): of_row("agents", "lead_agent_id", "slug"),
    ("MissionTask", "agent_name"): of_agent("name"),
    ("MissionTask", "agent_slug"): of_agent("slug"),
    ("Checkpoint", "created_at_exactly"): lambda _, __, row: (
        row["created_at"].isoformat(timespec="microseconds").replace("+00:00", "Z")
    ),
    ("MissionTask", "depends_on_text"): lambda _, __, row: orjson.dumps(row["depends_on"]).decode(),
}
NARROWED: dict[tuple[str, str], dict[str, str]] = {
    ("Workspace", "missions"): {"status": "status"},
    ("Crew", "missions"): {"status": "status"},
    ("Agent", "led_missions"): {"status": "status"},
    ("Mission", "escalations"): {"status": "status"},
}
