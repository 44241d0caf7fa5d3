"""One list of what needs attention, of rows of many kinds."""

from datetime import datetime
from typing import Any

from models.attention.inbox import InboxItem
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.attention.inbox.handovers import Handover, handover_of
from resolvers.attention.inbox.kinds import AttentionKind, AttentionSubject
from resolvers.attention.inbox.needs import NEEDS, ListAttention
from resolvers.kernel import (
    EVERYONE,
    GRAPHQL_ONLY,
    Action,
    Branch,
    Page,
    QueryScope,
    View,
    graph,
    one,
    query,
    sums_up,
)

SCOPES = ("workspace:read", "crews:read", "issues:read", "runs:read", "credentials:read")
"""A token needs the scopes of all kinds of rows."""


class Attention(View):
    """A row that needs something from people. `item_id`: the inbox item whose resolution removes the entry."""

    id: str
    workspace_id: str
    kind: AttentionKind
    urgency: int
    since: datetime
    title: str
    subject_type: AttentionSubject
    subject_id: str
    crew_id: str | None
    agent_id: str | None
    item_id: str | None


MOST_URGENT_FIRST = ("urgency", "since", "id")

graph(
    Attention,
    gate=Action.READ,
    scope="workspace:read",
    visible=EVERYONE,
    crew=one(Crew, "crew_id"),
    agent=one(Agent, "agent_id"),
    item=one(InboxItem, "item_id"),
    handover=sums_up(Handover, handover_of),
)


def entries_of(scope: Any, kind: Any, subject_id: Any) -> list[Any]:
    """The entry of one row of a kind, if it needs attention, as one of these statements."""
    return [need.entry(scope, kind, subject_id) for need in NEEDS]


@query("attention.list", Action.READ, surfaces=GRAPHQL_ONLY, scopes=SCOPES)
def list_attention(scope: QueryScope, data: ListAttention) -> Page[Attention]:
    """List what needs attention.

    Pending approvals, open questions of agents, tasks that wait for approval, failed and stuck runs, spent and nearly
    spent budgets, paused work, reviews, expired credentials, and other inbox items. Lists rows that the caller can
    read; reviews only if they are the caller's. Most urgent first, then those that have waited longest, ties by id.
    """
    branches = [Branch(need.rows(scope, data)) for need in NEEDS]
    return scope.merge(Attention, *branches).order_by(*MOST_URGENT_FIRST).page(data)
