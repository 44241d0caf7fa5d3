"""GraphQL: recent activity of agents."""

import strawberry

from resolvers.oversight import activity as activity_ops
from schema.bridge.fields import node, query


@node(activity_ops.ActivityItem)
class ActivityItemType:
    """An assignment, a question between agents, or an escalation to a user."""

    fields = """
        id workspace_id type status summary detail from_id from_agent from_name from_slug to_id to_agent to_name to_slug
        crew_id crew_name crew_slug crew_color created_at
    """
    status = strawberry.field(description="Status of the assignment, the question or the escalation.")
    summary = strawberry.field(description="Task, question or reason.")
    detail = strawberry.field(description="Result, answer or context.")
    from_agent = strawberry.field(description="Agent that acts; null if it is deleted.")
    crew_id = strawberry.field(description="Crew of the acting agent.")
    crew_color: str | None


@strawberry.type
class ActivityQuery:
    activity = query(activity_ops.list_activity, ActivityItemType)
