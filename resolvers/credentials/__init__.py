"""Credentials of a workspace."""

from resolvers.credentials.assignments import assign_credential, list_assignments, unassign_credential
from resolvers.credentials.creation import create_credential
from resolvers.credentials.credentials import (
    DefaultEnvVar,
    default_env_var,
    delete_credential,
    get_credential,
    list_credentials,
    update_credential,
)
from resolvers.credentials.timeline import list_events

__all__ = [
    "DefaultEnvVar",
    "assign_credential",
    "create_credential",
    "default_env_var",
    "delete_credential",
    "get_credential",
    "list_assignments",
    "list_credentials",
    "list_events",
    "unassign_credential",
    "update_credential",
]
