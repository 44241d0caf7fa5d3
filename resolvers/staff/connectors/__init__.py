"""Services that agents can be connected to: a catalog, and crews that are made with them."""

from resolvers.kernel import Domain

DOMAIN = Domain("connectors", scopes="credentials")
