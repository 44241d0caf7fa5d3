"""Coding agents of others, run without a terminal: small declarations over one runner."""
