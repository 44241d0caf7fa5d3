"""GraphQL: assignments and questions between agents."""

import strawberry

from resolvers.staff.assignments import lists, standup
from schema.bridge.fields import node, query


@node(lists.AssignmentItem)
class AssignmentItemType:
    """Work that one agent assigned to another."""

    fields = """
        id workspace_id task status assigned_by_id assigned_by assigned_by_name assigned_by_slug assigned_to_id
        assigned_to assigned_to_name assigned_to_slug result_summary error_message started_at finished_at created_at
    """
    assigned_by = strawberry.field(description="The assigning agent; null if it is deleted.")
    assigned_to = strawberry.field(description="The assigned agent; null if it is deleted.")


@node(lists.PeerConversationItem)
class PeerConversationItemType:
    """A question of one agent to another, and its answer."""

    fields = """
        id workspace_id from_agent_id from_agent from_name from_slug to_agent_id to_agent to_name to_slug question
        response status duration_ms escalated created_at finished_at
    """
    from_agent = strawberry.field(description="Agent that asks; null if it is deleted.")
    to_agent = strawberry.field(description="Agent that answers; null if it is deleted.")
    escalated = strawberry.field(description="True if it was escalated to a user.")


@strawberry.type
class AssignmentQuery:
    crew_standup = query(standup.get_standup)
    crew_assignments = query(lists.list_crew_assignments, AssignmentItemType)
    peer_conversations = query(lists.list_peer_conversations, PeerConversationItemType)
