"""Facts of a coding agent's session that go into the metadata of its run (contract: runs.get)."""

from typing import Any, Final

from models.bounds import LINE
from runtime.coding.events import Began, Ended

CONNECTED: Final = frozenset({"connected", "pending"})
MOST: Final = 20
"""The most servers, and the most denials, that are named."""


def session_facts(began: Began | None, ended: Ended | None) -> dict[str, Any]:
    """`session` for the run's metadata; empty if the program says nothing of itself."""
    found: dict[str, Any] = {}
    if began is not None:
        named = {
            "session_id": began.session,
            "cli_version": began.version,
            "api_key_source": began.key_source,
            "permission_mode": began.permission_mode,
        }
        found = {name: value[:LINE] for name, value in named.items() if value}
        failed = [_server(server) for server in began.servers if server.get("status", "connected") not in CONNECTED]
        if failed:
            found |= {"mcp_server_errors": failed[:MOST], "mcp_server_error_count": len(failed)}
        if len(failed) > MOST:
            found["mcp_server_errors_truncated"] = True
    denials = (
        [] if ended is None else [{"tool_name": tool[:LINE], "tool_use_id": id[:LINE]} for tool, id in ended.denials]
    )
    if denials:
        found["permission_denials"] = denials[:MOST]
    if len(denials) > MOST:
        found["permission_denials_truncated"] = True
    return {"session": found} if found else {}


def _server(server: Any) -> dict[str, str]:
    return {name: str(server.get(name, ""))[:LINE] for name in ("name", "status")}
