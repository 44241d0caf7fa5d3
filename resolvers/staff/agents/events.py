"""Events about hired agents, and about runs without a chat."""

from typing import Annotated, Any, Literal

from pydantic import Field

from models.staff.agents import AgentStatus
from models.staff.runs import ChatEventType
from resolvers.kernel import Event
from resolvers.kernel.declarations.events import Distinct, Time

AgentSlug = Annotated[str, Field(description="The slug of an agent.")]


class AgentLogged(Event, type="agent.log", channel="workspace:{workspace_id}"):
    """One event of a run that was started by a webhook or by the engine.

    Runs started by chats, schedules and assignments do not send it.
    """

    ts: Time
    level: str
    agent: Annotated[AgentSlug, Distinct("logged_agent_slug")]
    agent_id: str
    event: ChatEventType
    content: str
    metadata: dict[str, Any] | None


class AgentHired(Event, type="agent.hired", channel="workspace:{workspace_id}"):
    """An ephemeral agent was hired into a crew, by a user or by another agent."""

    id: str
    crew_id: str
    name: str
    slug: str
    ephemeral: Literal["true"]


class AgentRehired(Event, type="agent.rehired", channel="workspace:{workspace_id}"):
    """An ephemeral agent was hired again, or its time was extended."""

    id: str
    crew_id: str
    name: str
    expires_at: Time


class AgentHireApproved(Event, type="agent.hire_approved", channel="workspace:{workspace_id}"):
    """A hire was approved: the agent can work."""

    id: str
    crew_id: str
    name: str
    status: Annotated[Literal[AgentStatus.IDLE], Distinct("agent_status")]


class AgentExpired(Event, type="agent.expired", channel="workspace:{workspace_id}"):
    """An ephemeral agent has expired."""

    id: str
    crew_id: str
    name: str
    expired_at: Time
