"""The roots of integrations, for the oracle, and what is derived of them."""

from collections.abc import Callable
from typing import Any

from tests.reader.oracle import Asker, Key, Listing, Order, Row, Single, Store, ordered
from tests.reader.words import NEWEST, Arguments, Root, Value, by, only, tenants

SERVERS = {"workspace": "workspace_mcp_servers", "crew": "crew_integrations"}


def integrations(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("WorkspaceIntegration", ordered(tenants(store, asker, "WorkspaceIntegration"), NEWEST))


def integration(store: Store, asker: Asker, arguments: Arguments) -> Single:
    rows = tenants(store, asker, "WorkspaceIntegration")
    return only([row for row in rows if row["id"] == arguments["id"]], "WorkspaceIntegration")


def of_server(column: str) -> Value:
    """Of a deleted one too."""

    def told(store: Store, _: Asker, row: Row) -> Any:
        servers = store.tables[SERVERS[row["mcp_server_scope"]]]
        return next(server[column] for server in servers if server["id"] == row["mcp_server_id"])

    return told


def credential_name(store: Store, _: Asker, row: Row) -> Any:
    """Of a deleted one too."""
    named = [secret["name"] for secret in store.tables["credentials"] if secret["id"] == row["credential_id"]]
    return named[0] if named else None


def auth_status(store: Store, _: Asker, row: Row) -> str:
    if row["transport"] != "streamable-http" or not row["endpoint"]:
        return "none"
    bound = {link["credential_id"] for link in store.tables["agent_mcp_bindings"] if link["mcp_server_id"] == row["id"]}
    live = {secret["status"] for secret in store.live("credentials") if secret["id"] in bound}
    return "missing" if not live else "expired" if live & {"EXPIRED", "ERROR", "REVOKED"} else "connected"


def of_crews(store: Store, asker: Asker, _: Arguments) -> Listing:
    names = {crew["id"]: crew["name"] for crew in store.live("crews")}
    rows = [row for row in tenants(store, asker, "CrewIntegration") if row["crew_id"] in names]
    order: Order = (Key(lambda row: names[row["crew_id"]], False, "text"), *by("name", "id"))
    return Listing("CrewIntegration", ordered(rows, order))


def of_crew(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    only([crew for crew in tenants(store, asker, "Crew") if crew["id"] == arguments["crewId"]], "Crew")
    rows = [row for row in tenants(store, asker, "CrewIntegration") if row["crew_id"] == arguments["crewId"]]
    return Listing("CrewIntegration", ordered(rows, NEWEST))


def tools(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    servers = of_crew(store, asker, arguments).rows
    server = only([row for row in servers if row["id"] == arguments["integrationId"]], "CrewIntegration").row
    assert server is not None
    rows = [row for row in tenants(store, asker, "ToolBinding") if row["crew_integration_id"] == server["id"]]
    return Listing("ToolBinding", ordered(rows, by("tool_name", "id")))


def bindings(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    only([row for row in tenants(store, asker, "Agent") if row["id"] == arguments["agentId"]], "Agent")
    rows = [row for row in tenants(store, asker, "AgentIntegration") if row["agent_id"] == arguments["agentId"]]
    return Listing("AgentIntegration", ordered(rows, NEWEST))


def resolved(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    agents = [row for row in tenants(store, asker, "Agent") if row["id"] == arguments["agentId"]]
    agent = only(agents, "Agent").row
    assert agent is not None
    return resolved_of(store, agent)


def resolved_of(store: Store, agent: Row) -> Listing:
    """What an agent can use, by name: the rules one after the other."""
    here = agent["workspace_id"]
    found: dict[str, tuple[str, Row]] = {}
    for scope, table in SERVERS.items():
        for server in store.live(table):
            mine = scope == "workspace" or server["crew_id"] == agent["crew_id"]
            if mine and server["enabled"] and server["workspace_id"] == here:
                found[server["name"]] = (scope, server)
    rows: list[Row] = []
    for scope, server in found.values():
        ties = [t for t in store.tables["agent_mcp_bindings"] if t["mcp_server_id"] == server["id"]]
        own = next((tie for tie in ties if tie["agent_id"] == agent["id"]), None)
        if (own is None and ties) or (own is not None and not own["enabled"]):
            continue
        override = own["config_override_json"] if own else None
        told = {"server_id": server["id"], "scope": scope, "credential_id": own["credential_id"] if own else None}
        told |= {"config_json": server["config_json"] if override is None else override, "credential_name": None}
        rows.append({**server, **told})
    return Listing("ResolvedIntegration", ordered(rows, by("name")))


HERE: dict[str, Root] = {
    "integrations": integrations,
    "integration": integration,
    "integrationsOfCrews": of_crews,
    "crewIntegrations": of_crew,
    "integrationTools": tools,
    "agentIntegrations": bindings,
    "resolvedIntegrations": resolved,
}
REPORTS: dict[tuple[str, str], Callable[[Store, Row], Listing]] = {
    ("Agent", "resolved_integrations"): resolved_of,
    ("Agent", "folders"): lambda _, agent: Listing(
        "AgentFolder",
        [
            {"path": "/home/agent", "writable": True, "shared": False},
            {"path": "/output", "writable": True, "shared": agent["crew_id"] is not None},
            {"path": "/skills", "writable": False, "shared": False},
        ],
    ),
}


def of_crews_own(column: str) -> Value:
    """Of a deleted one too."""
    return lambda store, _, row: next(crew[column] for crew in store.tables["crews"] if crew["id"] == row["crew_id"])


DERIVED: dict[tuple[str, str], Value] = {
    ("CrewIntegration", "crew_name"): of_crews_own("name"),
    ("CrewIntegration", "crew_slug"): of_crews_own("slug"),
    ("CrewIntegration", "unasked"): lambda *_: "",
    ("AgentIntegration", "unasked"): lambda *_: "",
    ("AgentIntegration", "untold"): lambda *_: None,
    ("CrewIntegration", "auth_status"): auth_status,
    ("AgentIntegration", "server_name"): of_server("name"),
    ("AgentIntegration", "server_display_name"): of_server("display_name"),
    ("AgentIntegration", "credential_name"): credential_name,
}
