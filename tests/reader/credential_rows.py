"""Rows of bindings and of fields of credentials."""

from collections.abc import Iterator
from typing import Any

from sqlmodel import SQLModel

from models.resources.credential_bindings import BindingScope, CredentialBinding, CredentialField
from models.resources.credentials import Credential
from models.staff.agents import Agent


def filled(rows: Any, secret: Credential, agent: Agent, number: int) -> Iterator[SQLModel]:
    """A slot of an agent, and up to three fields, of which some have one place."""
    slot: dict[str, Any] = {"slot": f"S{number % 5}", "created_at": rows.time()}
    scope = {"scope": BindingScope.AGENT, "agent_id": agent.id}
    yield CredentialBinding(credential_id=secret.id, **scope, **slot, **rows.here)
    for key in "cab"[: number % 4]:
        field = {"key": key, "ordinal": rows.random.randrange(2), "is_secret": False, "value": rows.text()}
        yield CredentialField(credential_id=secret.id, **field, **rows.here)
