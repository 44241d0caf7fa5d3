"""Messages of agents to the channels that are open to them, over the internal API."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models.attention.notification_channels import ChannelType, NotificationChannel, NotificationChannelAgent
from models.oversight.journal import JournalActor, JournalEntry, Severity
from models.staff.agents import Agent
from resolvers.attention.notification_channels.agents import channels_open_to
from resolvers.attention.notification_channels.delivery import NotDelivered, Refused, send
from resolvers.attention.notification_channels.messages import AGENTS_MESSAGE, Announcement
from resolvers.attention.notification_channels.switches import OFF, is_off
from resolvers.kernel import (
    TRIMMED,
    Action,
    Auth,
    Code,
    ConfigText,
    Context,
    Id,
    Input,
    Output,
    Refusal,
    Text,
    command,
    forbidden,
    procedure,
)
from resolvers.kernel.ground.pace import Pace
from resolvers.rules.redaction import Redactor

LONGEST: Final = 8192  # bytes
AT_ONCE = 3
TOO_OFTEN = "The agent has sent too many notifications to this channel: one a minute is possible"
SENDS = Pace(AT_ONCE, TOO_OFTEN, a_minute=1)
NO_AGENT, OTHER_CREW = "Unknown agent", "The agent is not in this crew"
NOT_PAIRED = "The agent may not send to this channel: an administrator or its owner has to allow it"
GONE, DISABLED, NOT_SENT = "Channel not found", "The channel is disabled", "The notification could not be delivered"
Required = Annotated[Id, Field(min_length=1)]


def _short(body: str) -> str:
    if len(body.encode()) > LONGEST:
        raise PydanticCustomError("body_size", "has more than {most} bytes", {"most": LONGEST})
    return body


class OfAgentInCrew(Input):
    """`crew_id` is compared with the crew of the agent."""

    agent_id: Required
    crew_id: Id | None = None


class SendAgentNotification(OfAgentInCrew):
    """A message of an agent; `body` has at most 8192 bytes."""

    workspace_id: Required
    channel_id: Required
    title: Annotated[Text, TRIMMED, Field(min_length=1)]
    body: Annotated[ConfigText, TRIMMED, AfterValidator(_short)] = ""


class OpenChannel(Output):
    """A channel that an agent may send to; `provider` is empty for mail and webhooks."""

    channel_id: str
    type: ChannelType
    provider: str
    enabled: bool


class OpenChannels(Output):
    """The channels that an agent may send to, newest first."""

    channels: list[OpenChannel]


class AgentNotificationSent(Output):
    """The message was delivered."""

    ok: Literal[True] = True
    channel_id: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """The message of an agent, and the channel that it goes to."""

    agent: Agent
    channel: NotificationChannel
    title: str


async def _agent(ctx: Context, data: OfAgentInCrew) -> Agent:
    agent = await ctx.select(Agent, col(Agent.id) == data.agent_id).first()
    if agent is None or agent.crew_id is None:
        raise forbidden(NO_AGENT)
    if data.crew_id and data.crew_id != agent.crew_id:
        raise forbidden(OTHER_CREW)
    return agent


@procedure("internal.notifications.channels", Action.NONE, auth=Auth.INTERNAL)
async def list_open_channels(ctx: Context, data: OfAgentInCrew) -> OpenChannels:
    """List notification channels (for agents).

    Lists the channels that the agent may send to, newest first.
    """
    agent = await _agent(ctx, data)
    return OpenChannels(
        channels=[
            OpenChannel(channel_id=one.id, type=one.type, provider=one.provider or "", enabled=one.enabled)
            for one in await channels_open_to(ctx, agent.id)
        ]
    )


async def _channel(ctx: Context, agent: Agent, id: str) -> NotificationChannel:
    pair = (col(NotificationChannelAgent.channel_id) == id, col(NotificationChannelAgent.agent_id) == agent.id)
    if not await ctx.select(NotificationChannelAgent, *pair).exists():
        raise forbidden(NOT_PAIRED)
    SENDS.take(f"{agent.id} {id}")
    channel = await ctx.select(NotificationChannel, col(NotificationChannel.id) == id, including_hidden=True).first()
    if channel is None:
        raise Refusal(Code.NOT_FOUND, GONE)
    if not channel.enabled:
        raise Refusal(Code.BAD_REQUEST, DISABLED)
    return channel


@command(
    "internal.notifications.send",
    Action.NONE,
    auth=Auth.INTERNAL,
    errors=(Code.NOT_FOUND, Code.RATE_LIMITED, Code.BAD_GATEWAY),
    late=True,
    writes_on_refusal=True,
)
async def send_of_agent(ctx: Context, data: SendAgentNotification) -> AgentNotificationSent:
    """Send a notification (for agents).

    An agent sends at most three at once to a channel, and then one a minute. The journal has the result.
    """
    agent = await _agent(ctx, data)
    channel = await _channel(ctx, agent, data.channel_id)
    redactor, failed = Redactor(), ""
    title, body = redactor.redact(data.title), redactor.redact(data.body)
    message = Announcement(
        category=AGENTS_MESSAGE,
        title=title,
        body=body,
        priority="medium",
        source_kind="agent",
        source_id=agent.id,
        vars={"agent_id": agent.id, "crew_id": agent.crew_id},
    )
    try:
        if await is_off(ctx, channel.provider):
            raise Refused(OFF)
        await send(channel, message, f"of {agent.id}")
    except NotDelivered as error:
        failed = str(error) or NOT_SENT
    await ctx.begin()
    ctx.record(_entry(Attempt(agent, channel, title), failed))
    if failed:
        raise Refusal(Code.BAD_GATEWAY, NOT_SENT, commit=True)
    return AgentNotificationSent(channel_id=channel.id)


def _entry(attempt: Attempt, failed: str) -> JournalEntry:
    agent, channel = attempt.agent, attempt.channel
    payload: dict[str, Any] = {
        "channel_id": channel.id, "channel_type": channel.type.value, "target": channel.provider or channel.type.value,
        "category": AGENTS_MESSAGE, "title": attempt.title, "agent_id": agent.id,
    }  # fmt: skip
    return JournalEntry(
        entry_type="notification.failed" if failed else "notification.delivered",
        severity=Severity.error if failed else Severity.info,
        actor_type=JournalActor.agent,
        actor_id=agent.id,
        crew_id=agent.crew_id,
        agent_id=agent.id,
        summary=f"{agent.name} {'could not notify' if failed else 'notifies'}: {attempt.title}",
        payload=payload | ({"detail": failed} if failed else {}),
    )
