"""The addresses of stored pictures of agents."""

from typing import Any

from sqlalchemy import Text, literal


def stored_picture(agent: Any) -> Any:
    """The address for a row of agents in a statement; null without a stored picture."""
    made: Any = literal("/api/v1/agents/", Text())
    for part in (agent.id, "/avatar?v=", agent.avatar_digest, "&workspace_id=", agent.workspace_id):
        made = made.concat(literal(part, Text()) if isinstance(part, str) else part)
    return made


def picture_address(agent_id: str, workspace_id: str, digest: str) -> str:
    """The same for known values."""
    return f"/api/v1/agents/{agent_id}/avatar?v={digest}&workspace_id={workspace_id}"
