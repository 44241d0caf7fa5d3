"""OAuth 2.1 as a client: credentials that are got by consent, for MCP servers and other services."""

from resolvers.kernel import Domain

DOMAIN = Domain("oauth", scopes="credentials")
