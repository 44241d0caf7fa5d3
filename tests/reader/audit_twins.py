"""What the oracle is told of the audit log and of MCP tool calls; see tests/reader/twins.py."""

import json
from collections.abc import Mapping
from typing import Any

from tests.reader.issue_twins import lower
from tests.reader.oracle import Asker, Listing, Order, Refused, Row, Store, ordered
from tests.reader.words import NEWEST, Arguments, Root, Rule, by, fits, tenants

LISTS = ("auditLog", "mcpToolCalls")
SORTED: dict[str | None, Order] = {"newest_first": NEWEST, "oldest_first": by("created_at", "id"), None: NEWEST}
OF_AUDIT: Mapping[str, Rule] = {
    "entityId": "entity_id",
    "userId": "user_id",
    "action": "action",
    "entityType": lambda row, given: lower(row["entity_type"]) == lower(given),
    "dateFrom": lambda row, given: row["created_at"] >= given,
    "dateTo": lambda row, given: row["created_at"].replace(microsecond=0) <= given,
}
OF_CALLS: Mapping[str, Rule] = {
    "agentId": "agent_id",
    "serverId": "mcp_server_id",
    "status": "status",
    "since": lambda row, given: row["created_at"] >= given,
    "until": lambda row, given: row["created_at"].replace(microsecond=0) <= given,
}


def chosen(name: str, arguments: Arguments) -> Order:
    return SORTED[arguments.get("sort")] if name == "auditLog" else NEWEST


def audit_log(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    if asker.role not in ("OWNER", "ADMIN"):
        raise Refused("FORBIDDEN")
    users = {user["id"]: user for user in store.tables["users"]}

    def found(row: Row, given: Any) -> bool:
        user = users.get(row["user_id"], {})
        texts = (row["action"], row["entity_type"], user.get("email"), user.get("full_name"))
        return any(lower(given) in lower(text) for text in texts if text is not None)

    rules = {**OF_AUDIT, "search": found}
    rows = tenants(store, asker, "AuditLog")
    rows = [r for r in rows if all(fits(r, rule, arguments.get(name)) for name, rule in rules.items())]
    order = chosen("auditLog", arguments)
    return Listing("AuditLog", ordered(rows, order), order, (50, 100), clamped=False)


def mcp_tool_calls(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = tenants(store, asker, "McpToolCall")
    rows = [r for r in rows if all(fits(r, rule, arguments.get(name)) for name, rule in OF_CALLS.items())]
    return Listing("McpToolCall", ordered(rows, NEWEST), NEWEST, (200, 200))


def metadata_text(store: Store, asker: Asker, row: Row) -> str:
    return json.dumps(row["data"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def change_list(store: Store, asker: Asker, row: Row) -> Any:
    changes = row["changes"]
    if changes is None:
        return None
    # in the order in which PostgreSQL keeps keys
    return [
        {"after": changes[name]["after"], "field": name, "before": changes[name]["before"]} for name in sorted(changes)
    ]


HERE: dict[str, Root] = {"auditLog": audit_log, "mcpToolCalls": mcp_tool_calls}
