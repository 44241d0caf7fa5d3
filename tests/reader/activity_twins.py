"""Activity, for the oracle: the items of three tables, and the names beside them."""

from models.staff.assignments import HANDED_OVER
from tests.reader.oracle import Asker, Listing, Row, Single, Store, ordered
from tests.reader.words import NEWEST, Arguments, Root, Value, tenants

TABLES = {
    "assignment": ("assignments", "task", "result_summary", "assigned_by_id", "assigned_to_id"),
    "peer_conversation": ("peer_conversations", "question", "response", "from_agent_id", "to_agent_id"),
    "escalation": ("escalations", "reason", "context", "from_agent_id", ""),
}


def items(store: Store, asker: Asker) -> list[Row]:
    return [
        {name: row[name] for name in ("id", "workspace_id", "status", "created_at")}
        | {"type": type_, "summary": row[summary], "detail": row[detail], "from_id": row[acts], "to_id": row.get(other)}
        for type_, (table, summary, detail, acts, other) in TABLES.items()
        for row in store.live(table)
        if row["workspace_id"] == asker.workspace_id
    ]


def activity(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    crew, agent = arguments.get("crewId"), arguments.get("agentId")
    crews = {agent["id"]: agent["crew_id"] for agent in store.tables["agents"]}
    rows = [
        item
        for item in items(store, asker)
        if crews[item["from_id"]] is not None
        and crew in (None, crews[item["from_id"]])
        and (agent is None or agent in (item["from_id"], item["to_id"]))
    ]
    return Listing("ActivityItem", ordered(rows, NEWEST), NEWEST, (30, 100))


def between_agents(model: str, table: str, acts: str, other: str) -> Root:
    """On either side is an agent of the crew: also a deleted one, and of a deleted crew."""

    def listing(store: Store, asker: Asker, arguments: Arguments) -> Listing:
        crew = {agent["id"] for agent in store.tables["agents"] if agent["crew_id"] == arguments["crewId"]}
        rows = [
            row
            for row in store.live(table)
            if row["workspace_id"] == asker.workspace_id and crew & {row[acts], row[other]}
        ]
        return Listing(model, ordered(rows, NEWEST), NEWEST, (50, 100))

    return listing


def named(table: str, key: str, column: str) -> Value:
    """Of a deleted row, too."""
    return lambda store, _, row: next((r[column] for r in store.tables[table] if r["id"] == row[key]), None)


def of_crew(column: str) -> Value:
    def value(store: Store, asker: Asker, row: Row) -> object:
        agent = next(r for r in store.tables["agents"] if r["id"] == row["from_id"])
        return next(r[column] for r in store.tables["crews"] if r["id"] == agent["crew_id"])

    return value


LABELS = {1: "L1 · low", 2: "L2 · medium", 3: "L3 · high", 4: "L4 · critical"}


def level(store: Store, row: Row) -> object:
    return next((c["security_level"] for c in store.tables["credentials"] if c["id"] == row["credential_id"]), None)


def critical(store: Store, _: Asker, row: Row) -> bool:
    return row["type"] == "CREDENTIAL" and level(store, row) == 4


def escalations(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    crews = [crew["id"] for crew in tenants(store, asker, "Crew")]
    rows = [
        row
        for row in tenants(store, asker, "Escalation")
        if row["crew_id"] in crews
        and row["crew_id"] == arguments["crewId"]
        and arguments.get("status") in (None, row["status"])
    ]
    return Listing("Escalation", ordered(rows, NEWEST), NEWEST, (50, 100))


def pending_escalations(store: Store, asker: Asker, _: Arguments) -> Single:
    crews = [crew["id"] for crew in tenants(store, asker, "Crew")]
    rows = [
        row for row in tenants(store, asker, "Escalation") if row["status"] == "PENDING" and row["crew_id"] in crews
    ]
    return Single("PendingEscalations", {"count": len(rows)})


ROOTS: dict[str, Root] = {
    "activity": activity,
    "crewAssignments": between_agents("AssignmentItem", "assignments", "assigned_by_id", "assigned_to_id"),
    "peerConversations": between_agents("PeerConversationItem", "peer_conversations", "from_agent_id", "to_agent_id"),
    "escalations": escalations,
    "pendingEscalations": pending_escalations,
}
NARROWED: dict[tuple[str, str], dict[str, str]] = {
    ("Crew", "escalations"): {"status": "status"},
    ("Agent", "escalations"): {"status": "status"},
}
DERIVED: dict[tuple[str, str], Value] = (
    {
        ("ActivityItem", f"{end}_{column}"): named("agents", f"{end}_id", column)
        for end in ("from", "to")
        for column in ("name", "slug")
    }
    | {
        ("Escalation", "from_name"): named("agents", "from_agent_id", "name"),
        ("Escalation", "from_slug"): named("agents", "from_agent_id", "slug"),
        ("Escalation", "shown_resolution"): lambda _, __, row: (
            row["resolution"] if row["type"] != "CREDENTIAL" else None if row["status"] == "PENDING" else HANDED_OVER
        ),
        ("Escalation", "second_approver_required"): critical,
        ("Escalation", "second_approver_by_workspace"): lambda *_: False,
        ("Escalation", "second_approver_by_tier"): critical,
        ("Escalation", "security_level_label"): lambda store, _, row: LABELS.get(level(store, row)),
        ("Escalation", "metadata"): lambda _, __, row: row["data"],
    }
    | {
        ("AssignmentItem", f"assigned_{end}_{column}"): named("agents", f"assigned_{end}_id", column)
        for end in ("by", "to")
        for column in ("name", "slug")
    }
    | {
        ("PeerConversationItem", f"{end}_{column}"): named("agents", f"{end}_agent_id", column)
        for end in ("from", "to")
        for column in ("name", "slug")
    }
    | {("ActivityItem", f"crew_{column}"): of_crew(column) for column in ("id", "name", "slug", "color")}
)
