"""Assignments and questions between agents of a crew, and across crews."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import select

from models.base import TenantTable, table_of
from models.staff.agents import Agent
from models.staff.assignments import PeerConversation, PeerConversationStatus
from models.work.missions import Assignment, AssignmentStatus
from resolvers.kernel import (
    EVERYONE,
    Action,
    Branch,
    Id,
    Page,
    Paging,
    QueryScope,
    Rows,
    View,
    graph,
    named,
    one,
    query,
)

NEWEST_FIRST = ("-created_at", "-id")


class AssignmentItem(View):
    """Work that one agent assigned to another. `by` gave it, `to` does it."""

    id: str
    workspace_id: str
    task: str
    status: AssignmentStatus
    assigned_by_id: str
    assigned_to_id: str
    result_summary: str | None
    error_message: str | None
    started_at: datetime | None
    finished_at: datetime | None
    created_at: datetime


class PeerConversationItem(View):
    """A question of one agent to another, and its answer. `escalated`: it went on to a person."""

    id: str
    workspace_id: str
    from_agent_id: str
    to_agent_id: str
    question: str
    response: str | None
    status: PeerConversationStatus
    duration_ms: int | None
    escalated: bool
    created_at: datetime
    finished_at: datetime | None


class ListOfCrew(Paging):
    """The list is empty if the crew does not exist."""

    page_default: ClassVar[int] = 50

    crew_id: Id


graph(
    AssignmentItem,
    gate=Action.READ,
    scope="crews:read",
    visible=EVERYONE,
    assigned_by=one(Agent, "assigned_by_id"),
    **named("assigned_by", Agent, "assigned_by_id"),
    assigned_to=one(Agent, "assigned_to_id"),
    **named("assigned_to", Agent, "assigned_to_id"),
)
graph(
    PeerConversationItem,
    gate=Action.READ,
    scope="crews:read",
    visible=EVERYONE,
    from_agent=one(Agent, "from_agent_id"),
    **named("from", Agent, "from_agent_id"),
    to_agent=one(Agent, "to_agent_id"),
    **named("to", Agent, "to_agent_id"),
)


def _of_crew(
    scope: QueryScope, data: ListOfCrew, model: type[TenantTable], view: type[Any], acts: str, other: str
) -> Rows[Any]:
    """Rows with an agent of the crew on either side; a row with one on both sides appears once."""
    table = table_of(model)
    rows = select(*[table.c[name] for name in view.model_fields]).where(table.c.workspace_id == scope.workspace_id)

    def agents() -> Any:
        agent, here = scope.beside(Agent, scope, including_deleted=True)
        return select(agent.c.id).where(agent.c.crew_id == data.crew_id, *here)

    by = Branch(rows, agents(), table.c[acts])
    to = Branch(rows, agents(), table.c[other], unless=lambda row: row[acts].in_(agents()))
    return scope.merge(view, by, to).order_by(*NEWEST_FIRST)


@query("crews.assignments.list", Action.READ)
def list_crew_assignments(scope: QueryScope, data: ListOfCrew) -> Page[AssignmentItem]:
    """List assignments of a crew.

    Lists assignments by or to the crew's agents, also across crews, newest first. Includes deleted agents and
    crews.
    """
    return _of_crew(scope, data, Assignment, AssignmentItem, "assigned_by_id", "assigned_to_id").page(data)


@query("crews.peer_conversations.list", Action.READ)
def list_peer_conversations(scope: QueryScope, data: ListOfCrew) -> Page[PeerConversationItem]:
    """List peer conversations of a crew.

    Lists questions by or to the crew's agents, also across crews, newest first. Includes deleted agents and
    crews.
    """
    return _of_crew(scope, data, PeerConversation, PeerConversationItem, "from_agent_id", "to_agent_id").page(data)
