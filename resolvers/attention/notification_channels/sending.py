"""The content of messages about ends of runs, and the jobs that send them to the channels of a workspace."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlmodel import col

from models.attention.inbox import InboxPriority
from models.attention.notification_channels import ChannelEvent, ChannelScope, NotificationCategory, NotificationChannel
from models.staff.agents import Agent
from models.staff.chats import Message, MessageRole
from models.staff.runs import Run, RunStatus
from models.work.missions import Assignment
from resolvers.attention.notification_channels.delivery import OfEvent
from resolvers.attention.notification_channels.switches import is_off
from resolvers.kernel import AcrossWorkspaces, Context, Id, Input, clock, constant, job, log
from resolvers.kernel.background.followers import follow, news
from resolvers.rules.redaction import Redactor

PREVIEW = 1024  # bytes
ENDS = [ChannelEvent.completed.value, ChannelEvent.failed.value]
OF_ENDS = {
    ChannelEvent.completed.value: (NotificationCategory.routines_completed.value, InboxPriority.low),
    ChannelEvent.failed.value: (NotificationCategory.routines_failed.value, InboxPriority.high),
}
"""Category and priority of the end of a run."""
RANKS = {priority.value: rank for rank, priority in enumerate(reversed(InboxPriority))}


class OfEnd(Input):
    channel_id: Id
    run_id: Id


DELIVER = job("notification_channels.deliver", OfEnd, unique="{channel_id}:{run_id}", attempts=3)
"""Sends the end of one run to one channel."""
FOLLOW = clock("notification_channels.follow", every=timedelta(seconds=1), when=news("notification_channels"))
"""Ends of runs are looked for in the outbox."""
SUBSCRIBED = (col(NotificationChannel.enabled), col(NotificationChannel.scope) == constant(ChannelScope.workspace))
"""Channels of members hear of nothing by `events`: a member sees not every run."""


INDENTED = "\n  "
"""Precedes further lines of a user's text, so that none looks like a field."""


@dataclass(frozen=True, slots=True)
class Letter(OfEvent):
    """The message about the end of a run."""

    event: str
    run_id: str
    routine: str
    status: str
    output_preview: str = ""
    triggered_by: str = ""

    @property
    def subject(self) -> str:
        return f"{self.routine}: {self.event}"

    @property
    def text(self) -> str:
        told = {name: str(value).splitlines() for name, value in asdict(self).items() if value}
        return "\n".join(f"{name}: {INDENTED.join(lines)}" for name, lines in told.items())


async def enqueue_letters(rows: AcrossWorkspaces) -> bool:
    """Enqueues a job for each channel that receives the ends of these runs. Returns whether there may be more."""
    ended, more = await follow(rows, "notification_channels", NotificationChannel, SUBSCRIBED, ENDS)
    channels = await channels_of(rows, ended) if ended else []
    for event in ended:
        for channel in channels:
            if channel["workspace_id"] == event["workspace_id"] and _receives(channel, event["type"]):
                rows.enqueue(
                    DELIVER, event["workspace_id"], channel_id=channel["id"], run_id=event["payload"]["run_id"]
                )
    return more


def _receives(channel: Any, event: str) -> bool:
    category, priority = OF_ENDS[event]
    chosen = channel["categories"] or [category]
    return event in channel["events"] and category in chosen and RANKS[priority] >= RANKS[channel["min_priority"]]


async def channels_of(rows: AcrossWorkspaces, events: Sequence[Any]) -> list[Any]:
    """Enabled channels of the workspaces in which something has happened."""
    places = list({event["workspace_id"] for event in events})
    columns = ("id", "workspace_id", "events", "categories", "min_priority")
    return await rows.everywhere.select(
        NotificationChannel, *SUBSCRIBED, col(NotificationChannel.workspace_id).in_(places), columns=columns
    )


async def letter_of(ctx: Context, data: OfEnd) -> tuple[NotificationChannel, Letter] | None:
    """None where the channel or the run is gone."""
    live = (col(NotificationChannel.id) == data.channel_id, *SUBSCRIBED)
    channel = await ctx.select(NotificationChannel, *live).first()
    run = await ctx.select(Run, col(Run.id) == data.run_id).first()
    if channel is None or run is None:
        return None
    if await is_off(ctx, channel.provider):
        log.warning("a notification is not sent: its provider is switched off", channel=channel.id)
        return None
    agent = await ctx.select(Agent, col(Agent.id) == run.agent_id, including_deleted=True).first()
    event = ChannelEvent.completed if run.status is RunStatus.COMPLETED else ChannelEvent.failed
    return channel, Letter(
        event=event,
        run_id=run.id,
        routine="" if agent is None else agent.slug,
        status=run.status,
        output_preview=preview_of(await _said(ctx, run)),
        triggered_by=run.triggered_by or "",
    )


async def _said(ctx: Context, run: Run) -> str:
    """The reason of a failure, or the result."""
    if run.error_message:
        return run.error_message
    if run.assignment_id is not None:
        assignment = await ctx.select(Assignment, col(Assignment.id) == run.assignment_id).first()
        return (assignment and assignment.result_summary) or ""
    said = ctx.select(Message, col(Message.chat_id) == run.chat_id, col(Message.role) == MessageRole.assistant)
    last = await said.where(col(Message.created_at) >= run.created_at).order_by(col(Message.seq).desc()).first()
    return "" if last is None else last.content


def preview_of(text: str) -> str:
    """The beginning of a text, without secrets."""
    return Redactor().redact(text).encode()[:PREVIEW].decode(errors="ignore")
