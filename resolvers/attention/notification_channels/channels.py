"""Channels: list, create, delete, and a try."""

import asyncio
import re
import secrets
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models import bounds
from models.attention.notification_channels import ChannelEvent, ChannelType, NotificationChannel
from resolvers.attention.notification_channels.sending import Letter, NotDelivered, send
from resolvers.kernel import (
    EVERYONE,
    TRIMMED,
    Absent,
    Action,
    ById,
    Code,
    Context,
    Input,
    NoInput,
    Output,
    QueryScope,
    Refusal,
    Rows,
    Subject,
    Text,
    Url,
    at_most,
    command,
    graph,
    instance,
    procedure,
    query,
)
from resolvers.kernel.ground.stricter import InGraph, Raw

MOST_CHANNELS = 500
CHANNEL = Subject(NotificationChannel, "id", called="Channel")
NO_URL, NO_ADDRESS = "must be http or https with a host", "must be an email address"
Address = Annotated[str, Field(strict=True, max_length=bounds.EMAIL)]
NO_MAILER = "This server cannot send mail: neither CREWSHIP_SMTP_URL nor RESEND_API_KEY is set"
NOT_DELIVERED = "The test could not be delivered"
TEST_TIME = 20.0  # seconds
BOTH = [ChannelEvent.completed, ChannelEvent.failed]
WORDS: dict[str, list[ChannelEvent]] = {
    **{word: [ChannelEvent.completed] for word in ("completed", "run.completed", "complete", "success")},
    **{word: [ChannelEvent.failed] for word in ("failed", "run.failed", "failure", "fail")},
    **dict.fromkeys(("all", "*"), BOTH),
    ChannelEvent.asked.value: [ChannelEvent.asked],
}
HOST = re.compile(r"[A-Za-z0-9._:\[\]-]+")


def _events(raw: Any) -> Any:
    """Words for events, in any case; each event once, in the order of the set."""
    if not isinstance(raw, list) or not all(isinstance(word, str) for word in raw):
        return raw
    known = [WORDS.get(word.strip().lower(), [word]) for word in raw]
    chosen = [event for events in known for event in events]
    strange = [event for event in chosen if event not in [*ChannelEvent]]
    return strange or [event for event in ChannelEvent if event in chosen] or [ChannelEvent.failed]


def is_callable(url: str) -> bool:
    """Returns true if the URL is http or https with a host. Whether the service may call it is checked at the call."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(HOST.fullmatch(parts.netloc)) and parts.hostname is not None
    except ValueError:
        return False


def _url_of(value: Any, sent: Raw) -> str | None:
    wrong = sent.get("type") == ChannelType.webhook and isinstance(value, str) and not is_callable(value.strip())
    return NO_URL if wrong else None


def _address_of(value: Any, sent: Raw) -> str | None:
    return NO_ADDRESS if sent.get("type") == ChannelType.email and isinstance(value, str) and "@" not in value else None


class CreateNotificationChannel(Input):
    """`url` and `secret` are for webhooks, `to` for email. Without a secret the server generates one.

    `events` are run.completed, run.failed (also as completed, success, failed, failure, all) and
    decision.requested. Requests for a decision contain a link that works once; it decides as the member with this
    address, otherwise as the creator of the channel. Webhooks receive links over https only.
    """

    type: ChannelType
    events: Annotated[list[ChannelEvent], at_most(20), BeforeValidator(_events)] = Field(
        default_factory=lambda: [ChannelEvent.failed]
    )
    url: Annotated[Url | None, TRIMMED, InGraph(_url_of)] = None
    to: Annotated[Address | None, TRIMMED, InGraph(_address_of)] = None
    secret: Annotated[Text | None, TRIMMED] = None

    @model_validator(mode="after")
    def _has_an_address(self) -> "CreateNotificationChannel":
        if self.type is ChannelType.webhook and not is_callable(self.url or ""):
            raise PydanticCustomError("url", f"url {NO_URL}")
        if self.type is ChannelType.email and "@" not in (self.to or ""):
            raise PydanticCustomError("to", f"to {NO_ADDRESS}")
        return self


class ChannelCreated(Output):
    """A webhook's secret is returned only here."""

    id: str
    workspace_id: str
    type: ChannelType
    url: Annotated[str | None, Absent()] = None
    to: Annotated[str | None, Absent()] = None
    events: list[ChannelEvent]
    enabled: bool
    created_by: Annotated[str | None, Absent()] = None
    secret: Annotated[str | None, Absent()] = Field(default=None, repr=False)


class ChannelDeleted(Output):
    """The id of the deleted channel."""

    deleted: str


class ChannelTested(Output):
    """The test was delivered."""

    ok: Literal[True] = True
    channel_id: str


graph(NotificationChannel, gate=Action.READ, scope="workspace:read", visible=EVERYONE)


@query("notification_channels.list", Action.READ, tickets=False)
def list_channels(scope: QueryScope, data: NoInput) -> Rows[NotificationChannel]:
    """List notification channels.

    Newest first, at most 500.
    """
    newest = (col(NotificationChannel.created_at).desc(), col(NotificationChannel.id).desc())
    return scope.select(NotificationChannel).order_by(*newest).limit(MOST_CHANNELS)


@command("notification_channels.create", Action.CREATE, audit="notification_channel.created", secret=True)
async def create_channel(ctx: Context, data: CreateNotificationChannel) -> ChannelCreated:
    """Create a notification channel.

    It is notified of runs that end from now on. A private address can be stored, but calls to it are refused.
    """
    if data.type is ChannelType.email and instance.mailer is None:
        raise Refusal(Code.BAD_REQUEST, NO_MAILER)
    secret = None if data.type is ChannelType.email else data.secret or secrets.token_hex(32)
    made = NotificationChannel(type=data.type, events=[event.value for event in data.events])
    if secret is None:
        made.address = data.to
    else:
        made.url = data.url
        made.secret = await instance.vault.seal(
            secret, table=NotificationChannel, column="secret", row_id=made.id, workspace_id=ctx.workspace_id
        )
    made.created_by = ctx.user_id or None
    ctx.audit("NOTIFICATION_CHANNEL", made.id, type=made.type, events=made.events)
    await ctx.insert(made)
    return ChannelCreated(
        id=made.id,
        workspace_id=ctx.workspace_id or "",
        type=made.type,
        url=made.url,
        to=made.address,
        events=data.events,
        enabled=True,
        created_by=made.created_by,
        secret=secret,
    )


@command("notification_channels.delete", Action.CREATE, audit="notification_channel.deleted", subject=CHANNEL)
async def delete_channel(ctx: Context, channel: NotificationChannel, data: ById) -> ChannelDeleted:
    """Delete a notification channel."""
    ctx.audit("NOTIFICATION_CHANNEL", channel.id, type=channel.type)
    await ctx.delete(NotificationChannel, channel.id)
    return ChannelDeleted(deleted=channel.id)


@procedure(
    "notification_channels.test", Action.CREATE, subject=CHANNEL, errors=(Code.BAD_GATEWAY,), late=True, tickets=False
)
async def test_channel(ctx: Context, channel: NotificationChannel, data: ById) -> ChannelTested:
    """Send a test to a notification channel.

    Sends a sample notification of a finished run. Ends after 20 seconds at the latest.
    """
    letter = Letter(event=ChannelEvent.completed, run_id="test", routine="test", status="COMPLETED")
    try:
        async with asyncio.timeout(TEST_TIME):
            await send(channel, letter, f"test of {channel.id}")
    except (NotDelivered, TimeoutError):
        raise Refusal(Code.BAD_GATEWAY, NOT_DELIVERED) from None
    return ChannelTested(channel_id=channel.id)
