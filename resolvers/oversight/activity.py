"""Recent activity of agents: what they gave, asked and answered each other and people, as one list of three kinds of
rows.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import and_, select
from sqlalchemy.types import Text as SQLText

from models.base import TenantTable, table_of
from models.staff.agents import Agent
from models.staff.assignments import Escalation, PeerConversation
from models.staff.crews import Crew
from models.work.missions import Assignment
from resolvers.kernel import (
    EVERYONE,
    Action,
    Branch,
    Domain,
    Id,
    Page,
    Paging,
    QueryScope,
    View,
    constant,
    derived,
    graph,
    named,
    one,
    query,
)

DOMAIN = Domain("activity", scopes="crews")


class ActivityType(StrEnum):
    """An interaction of an agent with another agent or with users."""

    assignment = "assignment"
    peer_conversation = "peer_conversation"
    escalation = "escalation"


class ActivityItem(View):
    """An assignment, a question to another agent, or an escalation. `from` is the agent that acts.

    `detail` is what came of it: a result, an answer; of an escalation its context.
    """

    id: str
    workspace_id: str
    type: ActivityType
    status: str
    summary: str
    detail: str | None
    from_id: str
    to_id: str | None
    created_at: datetime


class ListActivity(Paging):
    """Items of a crew are those whose acting agent is in it; items of an agent, those on either side of which it is."""

    page_default: ClassVar[int] = 30

    crew_id: Id | None = None
    agent_id: Id | None = None


def _of_crew(column: str) -> Any:
    def value(item: Any, scope: Any) -> Any:
        agent, agents = scope.beside(Agent, item, including_deleted=True)
        crew, crews = scope.beside(Crew, item, including_deleted=True)
        joined = agent.join(crew, and_(crew.c.id == agent.c.crew_id, *crews))
        return scope.scalar(select(crew.c[column]).select_from(joined).where(agent.c.id == item.from_id, *agents))

    return derived(str, value)


graph(
    ActivityItem,
    gate=Action.READ,
    scope="crews:read",
    visible=EVERYONE,
    from_agent=one(Agent, "from_id"),
    **named("from", Agent, "from_id"),
    to_agent=one(Agent, "to_id"),
    **named("to", Agent, "to_id"),
    **{f"crew_{column}": _of_crew(column) for column in ("id", "name", "slug", "color")},
)
NEWEST_FIRST = ("-created_at", "-id")


class ActivityKind:
    """One of the three tables, and the columns of an item. The first of its `ends` is the actor."""

    def __init__(self, type: ActivityType, model: type[TenantTable], summary: str, detail: str, *ends: str) -> None:
        self.type, self.table, self.summary, self.detail = type, table_of(model), summary, detail
        self.acts, *self.others = [self.table.c[end] for end in ends]

    def rows(self, scope: QueryScope, *conditions: Any) -> Any:
        """The items of this kind, except items of agents outside crews. Such agents are few and are looked up once."""
        table = self.table
        agent, here = scope.beside(Agent, scope, including_deleted=True)
        of_none = select(agent.c.id).where(agent.c.crew_id.is_(None), *here)
        return select(
            table.c.id,
            table.c.workspace_id,
            constant(self.type, SQLText()).label("type"),
            table.c.status,
            table.c[self.summary].label("summary"),
            table.c[self.detail].label("detail"),
            self.acts.label("from_id"),
            (self.others[0] if self.others else constant(None, SQLText())).label("to_id"),
            table.c.created_at,
        ).where(table.c.workspace_id == scope.workspace_id, self.acts.not_in(of_none), *conditions)

    def of_crew(self, scope: QueryScope, crew_id: Any) -> Branch:
        agent, here = scope.beside(Agent, scope, including_deleted=True)
        return Branch(self.rows(scope), select(agent.c.id).where(agent.c.crew_id == crew_id, *here), self.acts)

    def of_agent(self, scope: QueryScope, agent_id: Any, crew_id: Any) -> list[Branch]:
        """A branch for each side that the agent may be on."""
        agent, here = scope.beside(Agent, self.table.c, including_deleted=True)
        crew = select(agent.c.crew_id).where(agent.c.id == self.acts, *here).correlate(self.table).scalar_subquery()
        narrowed = [] if crew_id is None else [crew == crew_id]
        sides = [[self.acts == agent_id], *[[end == agent_id, self.acts != agent_id] for end in self.others]]
        return [Branch(self.rows(scope, *side, *narrowed)) for side in sides]


KINDS = (
    ActivityKind(ActivityType.assignment, Assignment, "task", "result_summary", "assigned_by_id", "assigned_to_id"),
    ActivityKind(
        ActivityType.peer_conversation, PeerConversation, "question", "response", "from_agent_id", "to_agent_id"
    ),
    ActivityKind(ActivityType.escalation, Escalation, "reason", "context", "from_agent_id"),
)


@query("activity.list", Action.READ)
def list_activity(scope: QueryScope, data: ListActivity) -> Page[ActivityItem]:
    """List recent activity of agents.

    Lists assignments, questions between agents, and escalations, newest first. Includes deleted agents and
    crews.
    """
    if data.agent_id is not None:
        branches = [branch for kind in KINDS for branch in kind.of_agent(scope, data.agent_id, data.crew_id)]
    elif data.crew_id is not None:
        branches = [kind.of_crew(scope, data.crew_id) for kind in KINDS]
    else:
        branches = [Branch(kind.rows(scope)) for kind in KINDS]
    return scope.merge(ActivityItem, *branches).order_by(*NEWEST_FIRST).page(data)
