"""What a workspace hears of runs, and a chat of what is in no run."""

from typing import Annotated, Any

from models.agents import AgentStatus
from models.runs import ChatEventType, RunStatus
from resolvers.kernel.events import Event, Routing


class RunStarted(Event, type="run.started", channel="workspace:{workspace_id}"):
    run_id: str
    agent_id: str
    agent_name: str
    status: RunStatus


class RunCompleted(Event, type="run.completed", channel="workspace:{workspace_id}"):
    run_id: str
    agent_id: str
    agent_name: str
    status: RunStatus


class RunFailed(Event, type="run.failed", channel="workspace:{workspace_id}"):
    """The run ended FAILED, CANCELLED or TIMEOUT."""

    run_id: str
    agent_id: str
    agent_name: str
    status: RunStatus


class AgentStatusChanged(Event, type="agent.status", channel="workspace:{workspace_id}"):
    """Told of every start and end of a run, whether the status is another one or not."""

    agent_id: str
    agent_name: str
    status: AgentStatus


class ChatEvent(Event, type="chat_event", channel="session:{chat_id}"):
    """An event of a chat outside any run; it has no number (contract: websocket.chat_stream.rules)."""

    chat_id: Annotated[str, Routing()]
    type: ChatEventType
    content: str
    metadata: dict[str, Any] | None = None


RUN_STARTS = (RunStarted, AgentStatusChanged)
RUN_ENDS = (RunCompleted, RunFailed, AgentStatusChanged)
"""What an operation declares that starts, or ends, a run."""
