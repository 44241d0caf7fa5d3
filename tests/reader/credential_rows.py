"""Rows beside credentials: their crews, bindings and fields."""

from collections.abc import Iterator
from typing import Any

from sqlmodel import SQLModel

from models.resources.credential_bindings import BindingScope, CredentialBinding, CredentialField
from models.resources.credentials import Credential, CredentialCrew
from models.staff.agents import Agent
from models.staff.crews import Crew


def linked(rows: Any, secret: Credential, crews: list[Crew]) -> Iterator[SQLModel]:
    """The crews of a credential, two at most."""
    for place, crew in enumerate(rows.random.sample(crews, min(2, len(crews)))):
        yield CredentialCrew(credential_id=secret.id, crew_id=crew.id, position=place, **rows.here)


def filled(rows: Any, secret: Credential, agent: Agent, number: int) -> Iterator[SQLModel]:
    """Slots of an agent, many of the first credential, and up to three fields, of which some have one place."""
    scope: dict[str, Any] = {"scope": BindingScope.AGENT, "agent_id": agent.id}
    for slot in [f"S{number % 5}"] if number else [f"T{place}" for place in range(9)]:
        yield CredentialBinding(credential_id=secret.id, slot=slot, created_at=rows.time(), **scope, **rows.here)
    for key in "cab"[: number % 4]:
        field = {"key": key, "ordinal": rows.random.randrange(2), "is_secret": False, "value": rows.text()}
        yield CredentialField(credential_id=secret.id, **field, **rows.here)


def tagged(rows: Any) -> dict[str, Any]:
    return {"tags": rows.random.choice([[], ["sea"], ["land", "sea"]]), **rows.here}


def acted(rows: Any, agent: Agent) -> dict[str, str]:
    """The actor of an entry in a timeline: the system, a user or an agent."""
    return rows.random.choice([{}, {"user_id": rows.people[0].user_id}, {"agent_id": agent.id}])  # type: ignore[no-any-return]
