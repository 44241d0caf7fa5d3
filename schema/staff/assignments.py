"""GraphQL: what agents give and ask each other."""

from datetime import datetime

import strawberry

from models.staff.assignments import PeerConversationStatus
from models.work.missions import AssignmentStatus
from resolvers.staff.assignments import lists, standup
from schema.bridge.fields import Edge, node, output, query


@node(lists.AssignmentItem)
class AssignmentItemType:
    """A piece of work that one agent has given another."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    task: str
    status: AssignmentStatus
    assigned_by_id: strawberry.ID
    assigned_by: Edge | None = strawberry.field(description="Agent that gave it; null if it is deleted.")
    assigned_by_name: str
    assigned_by_slug: str
    assigned_to_id: strawberry.ID
    assigned_to: Edge | None = strawberry.field(description="Agent that does it; null if it is deleted.")
    assigned_to_name: str
    assigned_to_slug: str
    result_summary: str | None
    error_message: str | None
    started_at: datetime | None
    finished_at: datetime | None
    created_at: datetime


@node(lists.PeerConversationItem)
class PeerConversationItemType:
    """A question of one agent to another, and its answer."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    from_agent_id: strawberry.ID
    from_agent: Edge | None = strawberry.field(description="Agent that asks; null if it is deleted.")
    from_name: str
    from_slug: str
    to_agent_id: strawberry.ID
    to_agent: Edge | None = strawberry.field(description="Agent that answers; null if it is deleted.")
    to_name: str
    to_slug: str
    question: str
    response: str | None
    status: PeerConversationStatus
    duration_ms: int | None
    escalated: bool = strawberry.field(description="Whether it went on to a person.")
    created_at: datetime
    finished_at: datetime | None


@output(standup.Standup)
class StandupType:
    standup: str
    crew_id: strawberry.ID
    since: datetime


@strawberry.type
class AssignmentQuery:
    crew_standup = query(standup.get_standup, StandupType)
    crew_assignments = query(lists.list_crew_assignments, AssignmentItemType)
    peer_conversations = query(lists.list_peer_conversations, PeerConversationItemType)
