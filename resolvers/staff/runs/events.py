"""Events about runs on a workspace's channel, and about a chat outside runs."""

from typing import Annotated, Any

from models.staff.agents import AgentStatus
from models.staff.runs import ChatEventType, RunStatus
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import Event, Routing
from resolvers.kernel.declarations.events import Distinct
from resolvers.kernel.declarations.row_events import OF_MEMBERS


class RunStarted(Event, type="run.started", channel="workspace:{workspace_id}"):
    """A run was created; it may still be waiting for a worker."""

    run_id: str
    agent_id: str
    agent_name: str
    status: Annotated[RunStatus, Distinct("run_status")]


class RunCancelRequested(Event, type="run.cancel_requested", channel="workspace:{workspace_id}"):
    """A user wants a run cancelled; it ends when its worker has stopped."""

    run_id: str
    agent_id: str


class RunStuck(Event, type="run.stuck", channel=OF_MEMBERS):
    """No worker has executed a run for ten minutes."""

    run_id: str
    agent_id: str


class RunTaken(Event, type="run.taken", channel=OF_MEMBERS):
    """A worker has taken a run that was stuck."""

    run_id: str
    agent_id: str


class RunCompleted(Event, type="run.completed", channel="workspace:{workspace_id}"):
    """A run has completed."""

    run_id: str
    agent_id: str
    agent_name: str
    agent_slug: str
    status: Annotated[RunStatus, Distinct("run_status")]


class RunFailed(Event, type="run.failed", channel="workspace:{workspace_id}"):
    """A run has ended with FAILED, CANCELLED or TIMEOUT."""

    run_id: str
    agent_id: str
    agent_name: str
    agent_slug: str
    status: Annotated[RunStatus, Distinct("run_status")]


class AgentStatusChanged(Event, type="agent.status", channel="workspace:{workspace_id}"):
    """A run of this agent has started or ended, or the agent was stopped; the status may be unchanged."""

    agent_id: str
    agent_name: str
    status: Annotated[AgentStatus, Distinct("agent_status")]


class WorkPaused(Event, type="agent.work_paused", channel="workspace:{workspace_id}"):
    """Several runs of an agent on a mission, or issue, made no progress in a row, and its work there was paused."""

    id: str
    agent_id: str
    mission_id: str


class WorkResumed(Event, type="agent.work_resumed", channel="workspace:{workspace_id}"):
    """Paused work of an agent was resumed."""

    id: str
    agent_id: str
    mission_id: str


class ChatEvent(Event, type="chat_event", channel="session:{chat_id}"):
    """Something happened in this chat outside any run; it has no number (contract: websocket.chat_stream.rules)."""

    chat_id: Annotated[str, Routing()]
    type: ChatEventType
    content: str
    metadata: dict[str, Any] | None = None


RUN_STARTS = (RunStarted, AgentStatusChanged)
RUN_ENDS = (RunCompleted, RunFailed, AgentStatusChanged, WorkPaused, InboxItemUpdated)
"""The events of an operation that starts or ends a run."""
