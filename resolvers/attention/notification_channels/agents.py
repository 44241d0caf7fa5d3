"""Agents that may send to channels: none may before a channel is opened to it."""

from datetime import datetime
from typing import Annotated, Literal

from sqlmodel import col

from models.attention.notification_channels import (
    ChannelProvider,
    ChannelType,
    NotificationChannel,
    NotificationChannelAgent,
)
from models.staff.agents import Agent
from resolvers.attention.notification_channels.channels import CHANNEL, may_change
from resolvers.kernel import (
    TRIMMED,
    Absent,
    Action,
    ById,
    Code,
    Context,
    Id,
    Input,
    Output,
    Ref,
    Refusal,
    command,
    invalid,
    procedure,
)

MOST_AGENTS = 500
NOT_PAIRED = "The agent may not send to this channel"
NO_CREW = "The agent is in no crew"


class AllowAgent(ById):
    """`agent_id` is an agent of a crew."""

    agent_id: Annotated[Id, TRIMMED, Ref(Agent)]


class DenyAgent(ById):
    """An agent that may send to the channel."""

    agent_id: Id


class OfAgentNotified(Input):
    """The agent whose channels are listed."""

    agent_id: Id


class ChannelAgent(Output):
    """An agent that may send to a channel."""

    id: str
    workspace_id: str
    channel_id: str
    agent_id: str
    granted_by: Annotated[str | None, Absent()] = None
    created_at: datetime
    agent_name: Annotated[str | None, Absent()] = None
    agent_slug: Annotated[str | None, Absent()] = None


class ChannelAgents(Output):
    """The agents that may send to a channel, oldest permission first."""

    agents: list[ChannelAgent]


class AgentChannel(Output):
    """A channel that an agent may send to, without its address."""

    id: str
    type: ChannelType
    provider: Annotated[ChannelProvider | None, Absent()] = None
    enabled: bool


class AgentChannels(Output):
    """The channels that an agent may send to, newest first."""

    channels: list[AgentChannel]


class AgentAllowed(Output):
    """The agent may send to the channel."""

    channel_id: str
    agent_id: str
    allowed: Literal[True] = True


class AgentDenied(Output):
    """The agent may no longer send to the channel."""

    channel_id: str
    agent_id: str
    allowed: Literal[False] = False


async def channels_open_to(ctx: Context, agent_id: str) -> list[NotificationChannel]:
    """The channels that an agent may send to, also of members who do not show them; newest first."""
    paired = await ctx.select(NotificationChannelAgent, col(NotificationChannelAgent.agent_id) == agent_id).all()
    ids = [pairing.channel_id for pairing in paired]
    newest = (col(NotificationChannel.created_at).desc(), col(NotificationChannel.id).desc())
    open_ = ctx.select(NotificationChannel, col(NotificationChannel.id).in_(ids), including_hidden=True)
    return await open_.order_by(*newest).all() if ids else []


@procedure("notification_channels.agents_list", Action.PARTICIPATE, subject=CHANNEL, allow=may_change, tickets=False)
async def list_agents(ctx: Context, channel: NotificationChannel, data: ById) -> ChannelAgents:
    """List agents that may send to a notification channel.

    Oldest permission first, at most 500.
    """
    of_channel = ctx.select(NotificationChannelAgent, col(NotificationChannelAgent.channel_id) == channel.id)
    oldest = (col(NotificationChannelAgent.created_at), col(NotificationChannelAgent.id))
    paired = await of_channel.order_by(*oldest).limit(MOST_AGENTS).all()
    ids = [pairing.agent_id for pairing in paired]
    known = {agent.id: agent for agent in await ctx.select(Agent, col(Agent.id).in_(ids)).all()} if ids else {}
    return ChannelAgents(
        agents=[
            ChannelAgent(
                id=pairing.id,
                workspace_id=pairing.workspace_id,
                channel_id=pairing.channel_id,
                agent_id=pairing.agent_id,
                granted_by=pairing.granted_by,
                created_at=pairing.created_at,
                agent_name=known[pairing.agent_id].name if pairing.agent_id in known else None,
                agent_slug=known[pairing.agent_id].slug if pairing.agent_id in known else None,
            )
            for pairing in paired
        ]
    )


@command(
    "notification_channels.agents_allow",
    Action.PARTICIPATE,
    audit="notification_channel.agent_allowed",
    subject=CHANNEL,
    allow=may_change,
)
async def allow_agent(ctx: Context, channel: NotificationChannel, data: AllowAgent) -> AgentAllowed:
    """Add an agent to a notification channel.

    The agent may send to it from now on. It is in a crew of the workspace. Idempotent.
    """
    agent = await ctx.get(Agent, data.agent_id)
    if agent.crew_id is None:
        raise invalid("agent_id", NO_CREW)
    ctx.audit("NOTIFICATION_CHANNEL", channel.id, agent_id=agent.id)
    await ctx.lock(f"agents of {channel.id}")
    pair = (col(NotificationChannelAgent.channel_id) == channel.id, col(NotificationChannelAgent.agent_id) == agent.id)
    if not await ctx.select(NotificationChannelAgent, *pair).exists():
        granted_by = ctx.user_id or None
        await ctx.insert(NotificationChannelAgent(channel_id=channel.id, agent_id=agent.id, granted_by=granted_by))
    return AgentAllowed(channel_id=channel.id, agent_id=agent.id)


@command(
    "notification_channels.agents_deny",
    Action.PARTICIPATE,
    audit="notification_channel.agent_denied",
    subject=CHANNEL,
    allow=may_change,
)
async def deny_agent(ctx: Context, channel: NotificationChannel, data: DenyAgent) -> AgentDenied:
    """Remove an agent from a notification channel.

    The agent may no longer send to it.
    """
    ctx.audit("NOTIFICATION_CHANNEL", channel.id, agent_id=data.agent_id)
    agent = col(NotificationChannelAgent.agent_id) == data.agent_id
    pair = (col(NotificationChannelAgent.channel_id) == channel.id, agent)
    if not await ctx.delete_where(NotificationChannelAgent, *pair):
        raise Refusal(Code.NOT_FOUND, NOT_PAIRED)
    return AgentDenied(channel_id=channel.id, agent_id=data.agent_id)


@procedure("agents.notification_channels", Action.READ, scopes=("agents:read",), tickets=False)
async def list_channels_of_agent(ctx: Context, data: OfAgentNotified) -> AgentChannels:
    """List notification channels of an agent.

    Lists the channels that the agent may send to, newest first, without addresses. Empty for an unknown agent.
    """
    return AgentChannels(
        channels=[
            AgentChannel(id=channel.id, type=channel.type, provider=channel.provider, enabled=channel.enabled)
            for channel in await channels_open_to(ctx, data.agent_id)
        ]
    )
