"""Personas, for the oracle; see tests/reader/twins.py."""

from typing import Any

from tests.reader.oracle import Asker, Listing, Order, Row, Single, Store, ordered
from tests.reader.words import Arguments, Root, Value, by, only, tenants

WRITTEN: Order = by("-written_at", "-id")


def persona_of(store: Store, row: Row) -> Single:
    crew = next((c for c in store.live("crews") if c["id"] == row["crew_id"]), {"persona": None})
    role = (row["role_title"] or "").strip(" ") or row["agent_role"]
    made = f"You are the {role} (role: {row['agent_role']}). Respond clearly and stay on-task."
    content = row["persona"] if row["persona"] is not None else crew["persona"]
    shown = {
        "agent_id": row["id"],
        "layer": "crew" if row["persona"] is None else "agent",
        "from_default": content is None,
    }
    return Single("Persona", shown | _measured(made if content is None else content))


def crew_persona_of(store: Store, row: Row) -> Single:
    return Single("CrewPersona", {"crew_id": row["id"], "layer": "crew"} | _measured(row["persona"] or ""))


def _measured(content: str) -> dict[str, Any]:
    return {"content": content, "bytes": len(content.encode()), "cap_bytes": 1500}


def _named(store: Store, asker: Asker, model: str, id: str) -> Row:
    only([r for r in tenants(store, asker, model) if r["id"] == id], model)
    return next(r for r in tenants(store, asker, model) if r["id"] == id)


def agent_persona(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return persona_of(store, _named(store, asker, "Agent", arguments["agentId"]))


def crew_persona(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return crew_persona_of(store, _named(store, asker, "Crew", arguments["crewId"]))


def agent_persona_versions(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    agent = _named(store, asker, "Agent", arguments["agentId"])
    rows = [r for r in tenants(store, asker, "MemoryVersion") if r["owner_id"] == agent["id"]]
    return Listing("MemoryVersion", ordered(rows, WRITTEN), WRITTEN, (20, 100))


HERE: dict[str, Root] = {
    "agentPersona": agent_persona,
    "agentPersonaVersions": agent_persona_versions,
    "crewPersona": crew_persona,
}
REPORTS: dict[tuple[str, str], Any] = {
    ("Agent", "effective_persona"): persona_of,
    ("Crew", "crew_persona"): crew_persona_of,
}
DERIVED: dict[tuple[str, str], Value] = {
    ("MemoryVersion", "writer"): lambda store, _, row: row["written_by"] or "operator",
    ("MemoryVersion", "written_precisely"): lambda store, _, row: (
        row["written_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    ),
}
CONDITIONS = {"memory_versions.tier = :tier_1": lambda row: row["tier"] == "persona"}
