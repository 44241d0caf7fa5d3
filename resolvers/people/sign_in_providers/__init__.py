"""Signing in with OpenID Connect providers: which there are, the way to them and back, and accounts linked there."""
