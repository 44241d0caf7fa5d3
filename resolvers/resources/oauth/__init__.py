"""OAuth 2.1 as a client: credentials that are got by consent, for MCP servers and other services."""
