"""The persona of an agent: its own, otherwise its crew's, otherwise a sentence about its role."""

from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Text, case, func, select

from models import bounds
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import (
    EVERYONE,
    Action,
    Id,
    Input,
    QueryScope,
    Row,
    Subject,
    View,
    constant,
    extend,
    graph,
    query,
    sums_up,
)

AGENT: Final = Subject(Agent, "agent_id")
CREW: Final = Subject(Crew, "crew_id")
NO_AGENT, NO_CREW = "Agent not found", "Crew not found"
EMPTY: Any = constant("", Text())


class PersonaLayer(StrEnum):
    """The owner of the persona: the agent or its crew."""

    agent = "agent"
    crew = "crew"


class PersonaOfAgent(Input):
    """An agent of the workspace."""

    agent_id: Id


class PersonaOfCrew(Input):
    """A crew of the workspace."""

    crew_id: Id


class Persona(View):
    """The persona that an agent's runs begin with. `from_default`: no user has written one, and `content` is made of
    its role.
    """

    agent_id: str
    layer: PersonaLayer
    from_default: bool
    content: str
    bytes: int
    cap_bytes: int


class CrewPersona(View):
    """The persona of a crew's agents without one of their own; `content` is empty if there is none."""

    crew_id: str
    layer: PersonaLayer
    content: str
    bytes: int
    cap_bytes: int


def _said(text: str) -> Any:
    return constant(text, Text())


def _measured(content: Any) -> list[Any]:
    cap: Any = constant(bounds.PERSONA).label("cap_bytes")
    return [content.label("content"), func.octet_length(content).label("bytes"), cap]


def persona_of(agent_id: Any, row: Any, scope: Any) -> Any:
    """The statement of an agent's Persona. `row`: whose workspace it is."""
    agent, agents = scope.beside(Agent, row)
    crew, crews = scope.beside(Crew, row)
    role = func.coalesce(func.nullif(func.btrim(agent.c.role_title), EMPTY), agent.c.agent_role)
    made = func.concat(
        _said("You are the "), role, _said(" (role: "), agent.c.agent_role,
        _said("). Respond clearly and stay on-task."),
    )  # fmt: skip
    layer = case((agent.c.persona.is_not(None), _said(PersonaLayer.agent)), else_=_said(PersonaLayer.crew))
    unset = func.coalesce(agent.c.persona, crew.c.persona).is_(None).label("from_default")
    content = func.coalesce(agent.c.persona, crew.c.persona, made)
    joined = agent.outerjoin(crew, _all(crew.c.id == agent.c.crew_id, *crews))
    chosen = select(agent.c.id.label("agent_id"), layer.label("layer"), unset, *_measured(content))
    return chosen.select_from(joined).where(agent.c.id == agent_id, *agents)


def _all(first: Any, *others: Any) -> Any:
    for other in others:
        first = first & other
    return first


def crew_persona_of(crew_id: Any, row: Any, scope: Any) -> Any:
    """The statement of a CrewPersona."""
    crew, crews = scope.beside(Crew, row)
    content = func.coalesce(crew.c.persona, EMPTY)
    chosen = select(crew.c.id.label("crew_id"), _said(PersonaLayer.crew).label("layer"), *_measured(content))
    return chosen.select_from(crew).where(crew.c.id == crew_id, *crews)


graph(Persona, gate=Action.READ, scope="agents:read", visible=EVERYONE)
graph(CrewPersona, gate=Action.READ, scope="crews:read", visible=EVERYONE)
extend(Agent, effective_persona=sums_up(Persona, lambda row, scope: persona_of(row.id, row, scope)))
extend(Crew, crew_persona=sums_up(CrewPersona, lambda row, scope: crew_persona_of(row.id, row, scope)))


@query("agents.persona_get", Action.READ, subject=AGENT)
def get_persona(scope: QueryScope, agent: Row[Agent], data: PersonaOfAgent) -> Row[Persona]:
    """Get the persona of an agent.

    Returns its own persona, otherwise its crew's, otherwise a sentence generated from its role. Runs start with
    the persona, but not with the generated sentence.
    """
    return scope.view(Persona, persona_of(scope.id_of(agent), scope, scope)).one(NO_AGENT)


@query("crews.persona.get", Action.READ, subject=CREW, scopes="crews")
def get_crew_persona(scope: QueryScope, crew: Row[Crew], data: PersonaOfCrew) -> Row[CrewPersona]:
    """Get the persona of a crew.

    Used by agents of the crew without a persona of their own.
    """
    return scope.view(CrewPersona, crew_persona_of(scope.id_of(crew), scope, scope)).one(NO_CREW)
