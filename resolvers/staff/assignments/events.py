"""Work and questions from agent to agent, and what they bring before people."""

from typing import Annotated, Literal

from pydantic import Field

from models.staff.assignments import EscalationStatus
from models.work.missions import AssignmentStatus
from resolvers.kernel import Event, Routing
from resolvers.kernel.declarations.events import Distinct
from resolvers.kernel.declarations.row_events import OF_MEMBERS
from resolvers.staff.agents.events import AgentSlug

ChatId = Annotated[str, Routing()]
FromAgent = Annotated[str, Field(serialization_alias="from", description="The slug of an agent.")]


class AssignmentCreated(Event, type="assignment_created", channel="session:{chat_id}"):
    """An agent of this chat assigned work to another agent."""

    chat_id: ChatId
    id: str
    target: AgentSlug
    task: str


class WaitingAssignment(Event):
    """An assignment that waits because all run slots of the crew are taken."""

    id: str
    crew_id: str
    target: AgentSlug
    ahead_of: int
    queue_depth: int


class ChatAssignmentQueued(WaitingAssignment, type="assignment_queued", channel="session:{chat_id}"):
    """An assignment of this chat is waiting: all run slots of the crew are in use."""

    chat_id: ChatId


class AssignmentQueued(WaitingAssignment, type="assignment_queued", channel="workspace:{workspace_id}"):
    """An assignment is waiting: all run slots of the crew are in use."""


class ChatAssignmentUnqueued(Event, type="assignment_unqueued", channel="session:{chat_id}"):
    """A waiting assignment of this chat got a run slot."""

    chat_id: ChatId
    id: str
    crew_id: str


class AssignmentUnqueued(Event, type="assignment_unqueued", channel="workspace:{workspace_id}"):
    """A waiting assignment got a run slot."""

    id: str
    crew_id: str


class AssignmentRunning(Event, type="assignment_running", channel="session:{chat_id}"):
    """An assignment of this chat has started."""

    chat_id: ChatId
    id: str
    target: AgentSlug


class AssignmentCompleted(Event, type="assignment_completed", channel="session:{chat_id}"):
    """An assignment of this chat has completed."""

    chat_id: ChatId
    id: str
    target: AgentSlug
    result: str


class AssignmentFailed(Event, type="assignment_failed", channel="session:{chat_id}"):
    """An assignment of this chat has ended without success; `error` is a message for users."""

    chat_id: ChatId
    id: str
    target: AgentSlug
    error: str


class AssignmentUpdated(Event, type="assignment.updated", channel="workspace:{workspace_id}"):
    """An assignment has started or ended."""

    id: str
    status: Annotated[
        Literal[AssignmentStatus.RUNNING, AssignmentStatus.COMPLETED, AssignmentStatus.FAILED],
        Distinct("assignment_status"),
    ]
    target: AgentSlug


class ChatEscalationCreated(Event, type="escalation_created", channel="session:{chat_id}"):
    """An agent of this chat requires the decision of a user."""

    chat_id: ChatId
    id: str
    from_: FromAgent
    reason: str


class EscalationCreated(Event, type="escalation.created", channel="workspace:{workspace_id}"):
    """An agent requires the decision of a user."""

    id: str
    crew_id: str
    from_slug: AgentSlug
    reason: str


class EscalationsPurgedEvent(Event, type="escalations.purged", channel=OF_MEMBERS):
    """Escalations of a crew were deleted. Not sent if none was."""

    crew_id: str


class ChatEscalationResolved(Event, type="escalation_resolved", channel="session:{chat_id}"):
    """A user has resolved an escalation of this chat; a credential provided is not part of `resolution`."""

    chat_id: ChatId
    id: str
    resolution: str
    action: str


class EscalationResolved(Event, type="escalation.resolved", channel="workspace:{workspace_id}"):
    """A user has resolved an escalation."""

    id: str
    crew_id: str
    from_slug: AgentSlug
    action: str


class ChatEscalationCancelled(Event, type="escalation_cancelled", channel="session:{chat_id}"):
    """A user has cancelled an escalation of this chat."""

    chat_id: ChatId
    id: str
    status: Annotated[Literal[EscalationStatus.CANCELLED], Distinct("escalation_status")]
    reason: str


class EscalationCancelled(Event, type="escalation.cancelled", channel="workspace:{workspace_id}"):
    """A user has cancelled an escalation."""

    id: str
    crew_id: str
    from_slug: AgentSlug


class ChatEscalationExpired(Event, type="escalation_expired", channel="session:{chat_id}"):
    """An escalation of this chat was not answered in time."""

    chat_id: ChatId
    id: str
    status: Annotated[Literal[EscalationStatus.EXPIRED], Distinct("escalation_status")]
    warning: str


class EscalationExpired(Event, type="escalation.expired", channel="workspace:{workspace_id}"):
    """An escalation was not answered in time."""

    id: str
    crew_id: str
    status: Annotated[Literal[EscalationStatus.EXPIRED], Distinct("escalation_status")]


class PeerQueryRunning(Event, type="peer_query_running", channel="session:{chat_id}"):
    """An agent of this chat is asking another agent."""

    chat_id: ChatId
    id: str
    from_: FromAgent
    target: AgentSlug


class PeerQueryCompleted(Event, type="peer_query_completed", channel="session:{chat_id}"):
    """An agent of this chat got an answer from another agent."""

    chat_id: ChatId
    id: str
    from_: FromAgent
    target: AgentSlug
    response: str


class PeerQueryFailed(Event, type="peer_query_failed", channel="session:{chat_id}"):
    """An agent of this chat got no answer from another agent."""

    chat_id: ChatId
    id: str
    from_: FromAgent
    target: AgentSlug
    error: str


class PeerConversationUpdated(Event, type="peer_conversation.updated", channel="workspace:{workspace_id}"):
    """A question from one agent to another has ended."""

    id: str
    from_: FromAgent
    target: AgentSlug
    status: Annotated[str, Distinct("conversation_status")]
