"""Providers of models that our own agent loop can call."""
