"""Authentication: accounts, logins, browser sessions, CLI tokens and tickets for the websocket."""

from resolvers.kernel import Domain

DOMAIN = Domain("auth", scopes=None)
