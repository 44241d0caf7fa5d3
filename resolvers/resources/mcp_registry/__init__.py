"""A mirror of the public registry of MCP servers, to look servers up in."""

from resolvers.kernel import Domain

DOMAIN = Domain("mcp_registry", scopes="workspace")
