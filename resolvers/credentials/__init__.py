"""Credentials of a workspace. No operation is offered yet."""
