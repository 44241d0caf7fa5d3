"""The content of messages to notification channels, and their delivery."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, ClassVar, Protocol

import orjson
from sqlmodel import col

from models.attention.notification_channels import ChannelEvent, ChannelType, NotificationChannel
from models.staff.agents import Agent
from models.staff.chats import Message, MessageRole
from models.staff.runs import Run, RunStatus
from models.work.missions import Assignment
from resolvers.instance.outbound import Policy
from resolvers.instance.ports import Mail, MailFailed, Undeliverable
from resolvers.kernel import AcrossWorkspaces, Code, Context, Id, Input, Refusal, clock, instance, job
from resolvers.kernel.background.followers import follow, news
from resolvers.rules.redaction import Redactor

AGENT = "crewship-notify/1"
TIMEOUT = 15.0  # seconds
PREVIEW = 1024  # bytes
ANSWER = 4096  # bytes that are read of an answer
BUSY = 429


ENDS = [ChannelEvent.completed.value, ChannelEvent.failed.value]


class OfEnd(Input):
    channel_id: Id
    run_id: Id


DELIVER = job("notification_channels.deliver", OfEnd, unique="{channel_id}:{run_id}", attempts=3)
"""Sends the end of one run to one channel."""
FOLLOW = clock("notification_channels.follow", every=timedelta(seconds=1), when=news("notification_channels"))
"""Ends of runs are looked for in the outbox."""
SUBSCRIBED = (col(NotificationChannel.enabled),)


class NotDelivered(Exception):
    """It has to be tried again. The text names neither address nor answer."""


class Refused(NotDelivered):
    """Another try is in vain."""


class Notice(Protocol):
    """The content of a message: an object of its fields for webhooks, subject and text for mail."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def event(self) -> str: ...

    @property
    def subject(self) -> str: ...

    @property
    def text(self) -> str: ...


INDENTED = "\n  "
"""Precedes further lines of a user's text, so that none looks like a field."""


@dataclass(frozen=True, slots=True)
class Letter:
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
            if channel["workspace_id"] == event["workspace_id"] and event["type"] in channel["events"]:
                rows.enqueue(
                    DELIVER, event["workspace_id"], channel_id=channel["id"], run_id=event["payload"]["run_id"]
                )
    return more


async def channels_of(rows: AcrossWorkspaces, events: Sequence[Any]) -> list[Any]:
    """Enabled channels of the workspaces in which something has happened."""
    places = list({event["workspace_id"] for event in events})
    columns = ("id", "workspace_id", "events")
    return await rows.everywhere.select(
        NotificationChannel, *SUBSCRIBED, col(NotificationChannel.workspace_id).in_(places), columns=columns
    )


async def letter_of(ctx: Context, data: OfEnd) -> tuple[NotificationChannel, Letter] | None:
    """None where the channel or the run is gone."""
    live = (col(NotificationChannel.id) == data.channel_id, col(NotificationChannel.enabled))
    channel = await ctx.select(NotificationChannel, *live).first()
    run = await ctx.select(Run, col(Run.id) == data.run_id).first()
    if channel is None or run is None:
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


async def send(channel: NotificationChannel, notice: Notice, key: str) -> None:
    """Raises NotDelivered."""
    await (_mail if channel.type is ChannelType.email else _post)(channel, notice, key)


async def _mail(channel: NotificationChannel, notice: Notice, key: str) -> None:
    mailer = instance.mailer
    if mailer is None:
        raise Refused("this server sends no mail")
    try:
        await mailer.send(Mail(channel.address or "", notice.subject, notice.text), key)
    except Undeliverable as error:
        raise Refused(str(error)) from None
    except MailFailed as error:
        raise NotDelivered(str(error)) from None


async def _post(channel: NotificationChannel, notice: Notice, key: str) -> None:
    body = orjson.dumps(asdict(notice))
    policy = Policy.PRIVATE_TOO if instance.settings.hooks_allow_private else Policy.PUBLIC
    signature = hmac.new(await _secret(channel), body, hashlib.sha256).hexdigest()
    headers = {
        "content-type": "application/json",
        "user-agent": AGENT,
        "x-crewship-event": notice.event,
        "x-crewship-signature": f"sha256={signature}",
    }
    try:
        async with instance.http(policy, timeout=TIMEOUT, most=ANSWER, cut=True) as http:
            answer = await http.post(channel.url or "", body, headers=headers)
    except Refusal as refusal:
        raise (NotDelivered if refusal.code is Code.BAD_GATEWAY else Refused)(refusal.detail) from None
    if not 200 <= answer.status < 300:
        again = answer.status == BUSY or answer.status >= 500
        raise (NotDelivered if again else Refused)(f"the receiver answered with status {answer.status}")


async def _secret(channel: NotificationChannel) -> bytes:
    if channel.secret is None:
        return b""
    where: Any = {"table": NotificationChannel, "column": "secret", "row_id": channel.id}
    opened = await instance.vault.open(channel.secret, **where)
    return opened.reveal().encode()
