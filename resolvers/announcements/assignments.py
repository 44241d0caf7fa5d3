"""Work and questions from agent to agent, and what they bring before people."""

from typing import Annotated, Literal

from pydantic import Field

from models.missions import AssignmentStatus
from resolvers.announcements.agents import AgentSlug
from resolvers.kernel import Event, Routing

ChatId = Annotated[str, Routing()]
FromAgent = Annotated[str, Field(serialization_alias="from", description="The slug of an agent.")]


class AssignmentCreated(Event, type="assignment_created", channel="session:{chat_id}", planned=True):
    """An agent of this chat has given work to another."""

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


class ChatAssignmentQueued(WaitingAssignment, type="assignment_queued", channel="session:{chat_id}", planned=True):
    """An assignment of this chat waits: all run slots of the crew are taken."""

    chat_id: ChatId


class AssignmentQueued(WaitingAssignment, type="assignment_queued", channel="workspace:{workspace_id}", planned=True):
    """An assignment waits: all run slots of the crew are taken."""


class ChatAssignmentUnqueued(Event, type="assignment_unqueued", channel="session:{chat_id}", planned=True):
    """An assignment of this chat that waited has got a run slot."""

    chat_id: ChatId
    id: str
    crew_id: str


class AssignmentUnqueued(Event, type="assignment_unqueued", channel="workspace:{workspace_id}", planned=True):
    """An assignment that waited has got a run slot."""

    id: str
    crew_id: str


class AssignmentRunning(Event, type="assignment_running", channel="session:{chat_id}", planned=True):
    """An assignment of this chat has started."""

    chat_id: ChatId
    id: str
    target: AgentSlug


class AssignmentCompleted(Event, type="assignment_completed", channel="session:{chat_id}", planned=True):
    """An assignment of this chat has ended well."""

    chat_id: ChatId
    id: str
    target: AgentSlug
    result: str


class AssignmentFailed(Event, type="assignment_failed", channel="session:{chat_id}", planned=True):
    """An assignment of this chat has ended otherwise; `error` is a text for users."""

    chat_id: ChatId
    id: str
    target: AgentSlug
    error: str


class AssignmentUpdated(Event, type="assignment.updated", channel="workspace:{workspace_id}", planned=True):
    """An assignment has started or ended."""

    id: str
    status: Literal[AssignmentStatus.RUNNING, AssignmentStatus.COMPLETED, AssignmentStatus.FAILED]
    target: AgentSlug


class ChatEscalationCreated(Event, type="escalation_created", channel="session:{chat_id}", planned=True):
    """An agent of this chat needs a person's decision."""

    chat_id: ChatId
    id: str
    from_: FromAgent
    reason: str


class EscalationCreated(Event, type="escalation.created", channel="workspace:{workspace_id}", planned=True):
    """An agent needs a person's decision."""

    id: str
    crew_id: str
    from_slug: AgentSlug
    reason: str


class TaskEscalated(Event, type="escalation.created", channel="workspace:{workspace_id}", planned=True):
    """A task was put before a person because its agent is not sure of it."""

    id: str
    task_id: str
    reason: str


class ChatEscalationResolved(Event, type="escalation_resolved", channel="session:{chat_id}", planned=True):
    """A person has decided on an escalation of this chat; a credential that was given is not in `resolution`."""

    chat_id: ChatId
    id: str
    resolution: str
    action: str


class EscalationResolved(Event, type="escalation.resolved", channel="workspace:{workspace_id}", planned=True):
    """A person has decided on an escalation."""

    id: str
    crew_id: str
    from_slug: AgentSlug
    action: str


class PeerQueryRunning(Event, type="peer_query_running", channel="session:{chat_id}", planned=True):
    """An agent of this chat asks another one."""

    chat_id: ChatId
    id: str
    from_: FromAgent
    target: AgentSlug


class PeerQueryCompleted(Event, type="peer_query_completed", channel="session:{chat_id}", planned=True):
    """An agent of this chat was answered by the one it asked."""

    chat_id: ChatId
    id: str
    from_: FromAgent
    target: AgentSlug
    response: str


class PeerQueryFailed(Event, type="peer_query_failed", channel="session:{chat_id}", planned=True):
    """An agent of this chat got no answer from the one it asked."""

    chat_id: ChatId
    id: str
    from_: FromAgent
    target: AgentSlug
    error: str


class PeerConversationUpdated(Event, type="peer_conversation.updated", channel="workspace:{workspace_id}", planned=True):
    """A question from one agent to another has come to its end."""

    id: str
    from_: FromAgent
    target: AgentSlug
    status: str
