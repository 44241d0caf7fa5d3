"""Earlier personas: each was kept when it was written."""

from typing import Any, Final

from sqlalchemy import Text, func
from sqlmodel import col

from models.staff.agents import Agent
from models.staff.memory import MemoryTier, MemoryVersion
from resolvers.kernel import (
    EVERYONE,
    Action,
    Id,
    Page,
    Paging,
    QueryScope,
    Row,
    constant,
    derived,
    extend,
    graph,
    many,
    precise,
    query,
)
from resolvers.kernel.reader import Subtype
from resolvers.staff.personas.reading import AGENT, EMPTY

NEWEST_FIRST: Final = (col(MemoryVersion.written_at).desc(), col(MemoryVersion.id).desc())
OPERATOR: Any = constant("operator", Text())
PERSONA_VERSION: Final = Subtype(MemoryVersion, "PersonaVersion", (col(MemoryVersion.tier) == MemoryTier.persona,))


class PagePersonaVersions(Paging):
    """A page of the history: 20 by default, at most 100."""

    page_default = 20
    page_maximum = 100
    cut_to_default = True


class ListPersonaVersions(PagePersonaVersions):
    agent_id: Id


graph(
    MemoryVersion,
    gate=Action.READ,
    scope="agents:read",
    visible=EVERYONE,
    written_precisely=precise("written_at"),
    writer=derived(str, lambda row, _: func.coalesce(func.nullif(row.written_by, EMPTY), OPERATOR)),
)
extend(
    Agent,
    persona_versions=many(PERSONA_VERSION, "owner_id", order_by=NEWEST_FIRST, input=PagePersonaVersions),
)


@query("agents.persona_history", Action.READ, subject=AGENT)
def list_persona_versions(scope: QueryScope, agent: Row[Agent], data: ListPersonaVersions) -> Page[MemoryVersion]:
    """List versions of an agent's persona.

    Newest first. Versions are kept when the persona is deleted.
    """
    kept = scope.children(agent, MemoryVersion, "owner_id").where(col(MemoryVersion.tier) == MemoryTier.persona)
    return kept.order_by(*NEWEST_FIRST).page(data)
