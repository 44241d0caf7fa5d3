"""Credentials of a workspace."""

from resolvers.credentials.creation import create_credential
from resolvers.credentials.credentials import (
    DefaultEnvVar,
    default_env_var,
    delete_credential,
    get_credential,
    list_credentials,
    update_credential,
)

__all__ = [
    "DefaultEnvVar",
    "create_credential",
    "default_env_var",
    "delete_credential",
    "get_credential",
    "list_credentials",
    "update_credential",
]
