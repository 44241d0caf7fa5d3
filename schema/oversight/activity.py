"""GraphQL: recent activity of agents."""

from datetime import datetime

import strawberry

from resolvers.oversight import activity as activity_ops
from schema.bridge.fields import Edge, node, query


@node(activity_ops.ActivityItem)
class ActivityItemType:
    """An assignment, a question between agents, or an escalation to a user."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    type: activity_ops.ActivityType
    status: str = strawberry.field(description="Status of the assignment, the question or the escalation.")
    summary: str = strawberry.field(description="Task, question or reason.")
    detail: str | None = strawberry.field(description="Result, answer or context.")
    from_id: strawberry.ID
    from_agent: Edge | None = strawberry.field(description="Agent that acts; null if it is deleted.")
    from_name: str
    from_slug: str
    to_id: strawberry.ID | None
    to_agent: Edge | None
    to_name: str | None
    to_slug: str | None
    crew_id: strawberry.ID = strawberry.field(description="Crew of the acting agent.")
    crew_name: str
    crew_slug: str
    crew_color: str | None
    created_at: datetime


@strawberry.type
class ActivityQuery:
    activity = query(activity_ops.list_activity, ActivityItemType)
