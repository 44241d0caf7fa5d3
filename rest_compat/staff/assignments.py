"""REST: what agents give and ask each other."""

from models.staff.assignments import PeerConversationStatus
from models.work.missions import AssignmentStatus
from resolvers.staff.assignments import lists, standup
from rest_compat.http.table import GET, Wire


class AssignmentItemJSON(Wire, of=lists.AssignmentItem):
    id: str
    task: str
    status: AssignmentStatus
    assigned_by_name: str
    assigned_by_slug: str
    assigned_to_name: str
    assigned_to_slug: str
    result_summary: str | None
    error_message: str | None
    started_at: str | None
    finished_at: str | None
    created_at: str


class PeerConversationItemJSON(Wire, of=lists.PeerConversationItem):
    id: str
    from_name: str
    from_slug: str
    to_name: str
    to_slug: str
    question: str
    response: str | None
    status: PeerConversationStatus
    duration_ms: int | None
    escalated: bool
    created_at: str
    finished_at: str | None


ROUTES = (
    GET("/api/v1/crews/{crewId}/standup", standup.get_standup, standup.Standup),
    GET("/api/v1/crews/{crewId}/assignments", lists.list_crew_assignments, list[AssignmentItemJSON]),
    GET(
        "/api/v1/crews/{crewId}/peer-conversations",
        lists.list_peer_conversations,
        list[PeerConversationItemJSON],
    ),
)
