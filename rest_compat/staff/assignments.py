"""REST: assignments and questions between agents."""

from resolvers.staff.assignments import lists, standup
from rest_compat.http.table import GET, Wire


class AssignmentItemJSON(Wire, of=lists.AssignmentItem):
    fields = """
        id task status assigned_by_name assigned_by_slug assigned_to_name assigned_to_slug result_summary error_message
        started_at finished_at created_at
    """


class PeerConversationItemJSON(Wire, of=lists.PeerConversationItem):
    fields = """
        id from_name from_slug to_name to_slug question response status duration_ms escalated created_at finished_at
    """


ROUTES = (
    GET("/api/v1/crews/{crewId}/standup", standup.get_standup, standup.Standup),
    GET("/api/v1/crews/{crewId}/assignments", lists.list_crew_assignments, list[AssignmentItemJSON]),
    GET(
        "/api/v1/crews/{crewId}/peer-conversations",
        lists.list_peer_conversations,
        list[PeerConversationItemJSON],
    ),
)
