"""The roots of integrations, for the oracle, and what is derived of them."""

from typing import Any

from tests.reader.oracle import Asker, Listing, Row, Single, Store, ordered
from tests.reader.words import NEWEST, Arguments, Root, Value, only, tenants

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


HERE: dict[str, Root] = {"integrations": integrations, "integration": integration}
DERIVED: dict[tuple[str, str], Value] = {
    ("CrewIntegration", "auth_status"): auth_status,
    ("AgentIntegration", "server_name"): of_server("name"),
    ("AgentIntegration", "server_display_name"): of_server("display_name"),
    ("AgentIntegration", "credential_name"): credential_name,
}
