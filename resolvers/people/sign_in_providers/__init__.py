"""Signing in with OpenID Connect providers: which there are, the way to them and back, and accounts linked there."""

from resolvers.kernel import Domain

DOMAIN = Domain("sign_in_providers", scopes=None)
