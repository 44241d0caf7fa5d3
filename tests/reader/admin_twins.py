"""What the oracle is told of administration."""

from tests.reader.oracle import Asker, Listing, Refused, Row, Single, Store, ordered
from tests.reader.words import Arguments, Root, by, tenants


def _owner(asker: Asker) -> None:
    if asker.role != "OWNER":
        raise Refused("FORBIDDEN", by_the_gate=True)


def admin_stats(store: Store, asker: Asker, _: Arguments) -> Single:
    _owner(asker)
    running = sum(run["status"] == "RUNNING" for run in tenants(store, asker, "Run"))
    counters = {"users": "Membership", "agents": "Agent", "crews": "Crew"}
    counted = {name: len(tenants(store, asker, model)) for name, model in counters.items()}
    return Single("AdminStats", counted | {"workspaces": 1, "running": running})


def admin_users(store: Store, asker: Asker, _: Arguments) -> Listing:
    _owner(asker)
    rows: list[Row] = []
    for member in tenants(store, asker, "Membership"):
        account = store.by_id("users", member["user_id"]) or {}
        shown = {name: account[name] for name in ("id", "email", "full_name", "avatar_url", "created_at")}
        rows.append(
            shown | {"user_id": member["user_id"], "role": member["role"], "workspace_id": member["workspace_id"]}
        )
    return Listing("AdminUser", ordered(rows, by("-created_at", "id")))


def admin_workspaces(store: Store, asker: Asker, _: Arguments) -> Listing:
    _owner(asker)
    counters = {"member_count": "Membership", "agent_count": "Agent", "crew_count": "Crew"}
    counted = {name: len(tenants(store, asker, model)) for name, model in counters.items()}
    rows: list[Row] = [dict(row) | counted for row in store.live("workspaces") if row["id"] == asker.workspace_id]
    return Listing("AdminWorkspace", rows)


HERE: dict[str, Root] = {
    "adminStats": admin_stats, "adminUsers": admin_users, "adminWorkspaces": admin_workspaces,
}  # fmt: skip
