"""What the oracle is told of how busy agents are; see tests/reader/twins.py."""

from tests.reader.oracle import Asker, Listing, Single, Store, ordered
from tests.reader.words import Arguments, Root, by, tenants

WAITING = ("PENDING", "BLOCKED")
UNFINISHED = (*WAITING, "IN_PROGRESS", "AWAITING_APPROVAL")


def crews_status(store: Store, asker: Asker, _: Arguments) -> Single:
    states = [r["status"] for r in tenants(store, asker, "Agent")]
    queued = [
        r for r in store.live("assignments") if r["workspace_id"] == asker.workspace_id and r["status"] == "QUEUED"
    ]
    counted = {
        "total": len(states),
        "running": states.count("RUNNING"),
        "error": states.count("ERROR"),
        "queued": len(queued),
    }
    return Single("CrewsStatus", counted | {"idle": len(states) - states.count("RUNNING") - states.count("ERROR")})


def agent_load(store: Store, asker: Asker, _: Arguments) -> Listing:
    rows = []
    for one in tenants(store, asker, "Agent"):
        tasks = [
            t
            for t in store.live("mission_tasks")
            if t["assigned_agent_id"] == one["id"] and t["workspace_id"] == asker.workspace_id
        ]
        done = [
            t
            for t in tasks
            if t["status"] == "COMPLETED"
            and (store.tables["now"][0]["now"] - t["completed_at"]).total_seconds() <= 86400
        ]
        load = {f"agent_{name}": one[name] for name in ("id", "name", "slug", "status")}
        load |= {
            "active_tasks": sum(t["status"] == "IN_PROGRESS" for t in tasks),
            "pending_tasks": sum(t["status"] in WAITING for t in tasks),
        }
        load |= {"completed_today": len(done), "tokens_used_today": sum(t["token_count"] or 0 for t in done)}
        rows.append(load | {"token_budget": sum(t["token_budget"] or 0 for t in tasks if t["status"] in UNFINISHED)})
    return Listing("AgentLoad", ordered(rows, by("-active_tasks", "-pending_tasks", "agent_slug")))


HERE: dict[str, Root] = {"crewsStatus": crews_status, "agentLoad": agent_load}
