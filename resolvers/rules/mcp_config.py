"""`mcp_config_json` of a crew or an agent: MCP servers in the form that coding agents share."""

from typing import Any, Final

from resolvers.kernel import invalid
from resolvers.rules.config_text import parse_object

FIELD: Final = "mcp_config_json"


def parse_mcp_config(text: str) -> dict[str, Any]:
    """`mcpServers`, server name -> its settings, which are not looked into. An empty text is the caller's case: it is
    stored as it is.
    """
    servers = parse_object(text, FIELD).get("mcpServers")
    if not isinstance(servers, dict):
        raise invalid(FIELD, "mcpServers must be an object")
    return servers
