"""Channels: list, create, update and delete."""

import secrets
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import case, null, or_
from sqlmodel import col

from models.attention.inbox import InboxPriority
from models.attention.notification_channels import (
    ChannelEvent,
    ChannelProvider,
    ChannelScope,
    ChannelType,
    NotificationCategory,
    NotificationChannel,
)
from resolvers.attention.notification_channels.places import Categories, ChannelPlace, Events, LowestPriority
from resolvers.attention.notification_channels.services import NOT_INSTALLED, can_send
from resolvers.attention.notification_channels.switches import OFF, is_off
from resolvers.kernel import (
    Absent,
    Action,
    Bool,
    ById,
    Code,
    Context,
    Input,
    Otherwise,
    Output,
    Patch,
    QueryScope,
    Refusal,
    Rows,
    Subject,
    command,
    constant,
    forbidden,
    graph,
    instance,
    query,
    shown_as,
    viewer_can,
)
from resolvers.kernel.admission.row_rules import Allowed, ByRole, ByUser, Is
from resolvers.kernel.declarations.row_events import heard, of_action, of_user
from resolvers.kernel.ground.policy import GATES, lowest

MOST_CHANNELS = 500
CHANNEL = Subject(NotificationChannel, "id", hidden=True, called="Channel")
NO_MAILER = "This server cannot send mail: neither CREWSHIP_SMTP_URL nor RESEND_API_KEY is set"
NOT_YOURS = "Only the owner of a personal channel, or an administrator for a channel of the workspace, can do this"
OF_WORKSPACE = Is(NotificationChannel.scope, ChannelScope.workspace)
OWN = ByUser(NotificationChannel.owner_user_id)


def by_role(action: Action) -> Allowed:
    """Members with the role for channels of the workspace; the owner alone for a personal one."""
    return Allowed((OF_WORKSPACE & ByRole(GATES[action])) | OWN, NOT_YOURS)


may_remove, may_change = by_role(Action.CREATE), by_role(Action.MANAGE)


def _is_own(channel: Any, scope: Any) -> Any:
    return or_(channel.scope == constant(ChannelScope.workspace), channel.owner_user_id == scope.user_id)


def _masked(column: str) -> Any:
    """Administrators see that a member has a channel, and not where it leads."""
    return lambda channel, scope: case((_is_own(channel, scope), channel[column]), else_=null())


graph(
    NotificationChannel,
    gate=Action.READ,
    scope="workspace:read",
    visible=lambda channel, scope: or_(_is_own(channel, scope), scope.may(channel, Action.MANAGE)),
    viewer_can=viewer_can(NotificationChannel),
)
shown_as(NotificationChannel, url=_masked("url"), address=_masked("address"))
heard(
    NotificationChannel,
    lambda channel, changed: (
        of_action(Action.READ) if channel.owner_user_id is None else of_user(channel.owner_user_id)
    ),
)


class ListedChannels(StrEnum):
    """Which channels are listed."""

    own = "own"
    all = "all"


class ListNotificationChannels(Input):
    """`scope: all` also lists the personal channels of others, for administrators."""

    scope: Annotated[ListedChannels, Otherwise(ListedChannels.own)] = ListedChannels.own


class ForMember(Input):
    """`personal`: the channel is the caller's own. Every member may create one."""

    personal: Bool = False


class CreateNotificationChannel(ChannelPlace, ForMember):
    """`url` and `secret` are for webhooks, `to` for email. Without a secret the server generates one. For `shoutrrr`,
    `provider` names the service, and `fields` has the values that `notificationProviders` asks for; `shoutrrr_url` can
    be given instead.

    `events` are run.completed, run.failed (also as completed, success, failed, failure, all) and
    decision.requested. Requests for a decision contain a link that works once; it decides as the member with this
    address, otherwise as the creator of the channel. Webhooks receive links over https only, services none. A personal
    channel receives no `events`.

    No `categories` are all of them.
    """

    events: Events = Field(default_factory=lambda: [ChannelEvent.failed])
    categories: Categories = []
    min_priority: LowestPriority = InboxPriority.low


class UpdateNotificationChannel(Patch, ById):
    """No `categories` are all of them; no `events` are run.failed. The address of a channel cannot be changed."""

    enabled: Bool
    categories: Categories
    min_priority: LowestPriority
    events: Events


class ChannelCreated(Output):
    """A webhook's secret, or the address of a service, is returned only here."""

    id: str
    workspace_id: str
    type: ChannelType
    url: Annotated[str | None, Absent()] = None
    to: Annotated[str | None, Absent()] = None
    events: list[ChannelEvent]
    enabled: bool
    created_by: Annotated[str | None, Absent()] = None
    provider: Annotated[ChannelProvider | None, Absent()] = None
    scope: ChannelScope
    owner_user_id: Annotated[str | None, Absent()] = None
    categories: Annotated[list[NotificationCategory] | None, Absent()] = None
    min_priority: InboxPriority
    secret: Annotated[str | None, Absent()] = Field(default=None, repr=False)


class ChannelUpdated(Output):
    """The id of the updated channel."""

    updated: str


class ChannelDeleted(Output):
    """The id of the deleted channel."""

    deleted: str


@query("notification_channels.list", Action.READ, tickets=False)
def list_channels(scope: QueryScope, data: ListNotificationChannels) -> Rows[NotificationChannel]:
    """List notification channels.

    Lists channels of the workspace and the caller's own; newest first, at most 500.
    """
    newest = (col(NotificationChannel.created_at).desc(), col(NotificationChannel.id).desc())
    rows = scope.select(NotificationChannel)
    if data.scope is ListedChannels.own:
        of_workspace = col(NotificationChannel.scope) == constant(ChannelScope.workspace)
        rows = rows.where(or_(of_workspace, col(NotificationChannel.owner_user_id) == scope.user_id))
    return rows.order_by(*newest).limit(MOST_CHANNELS)


async def may_create(ctx: Context, data: ForMember | None) -> None:
    """A channel of the workspace needs the role; a personal one does not."""
    if ctx.may(Action.CREATE) or ctx.request.fault is not None or (data is not None and data.personal):
        return
    raise forbidden(role=lowest(GATES[Action.CREATE]))


async def check_place(ctx: Context, data: ChannelPlace) -> None:
    """Raises Refusal where this server, or the workspace, sends nothing to such a place."""
    if data.type is ChannelType.email and instance.mailer is None:
        raise Refusal(Code.BAD_REQUEST, NO_MAILER)
    if data.type is ChannelType.shoutrrr and await is_off(ctx, data.provider):
        raise Refusal(Code.BAD_REQUEST, OFF)
    if data.type is ChannelType.shoutrrr and not can_send(data.provider):
        raise Refusal(Code.BAD_REQUEST, NOT_INSTALLED)


@command(
    "notification_channels.create",
    Action.PARTICIPATE,
    audit="notification_channel.created",
    allow=may_create,
    secret=True,
)
async def create_channel(ctx: Context, data: CreateNotificationChannel) -> ChannelCreated:
    """Create a notification channel.

    It is notified of what happens from now on. A private address can be stored, but calls to it are refused.
    """
    await check_place(ctx, data)
    made = NotificationChannel(
        type=data.type,
        events=[event.value for event in data.events],
        categories=[category.value for category in data.categories] or None,
        min_priority=data.min_priority,
        created_by=ctx.user_id or None,
    )
    if data.personal:
        made.scope, made.owner_user_id = ChannelScope.user, ctx.user_id
    secret = None
    if data.type is ChannelType.email:
        made.address = data.to
    elif data.type is ChannelType.webhook:
        made.url, secret = data.url, data.secret or secrets.token_hex(32)
    else:
        made.provider, secret = data.provider, data.service_address()
    if secret is not None:
        made.secret = await instance.vault.seal(
            secret, table=NotificationChannel, column="secret", row_id=made.id, workspace_id=ctx.workspace_id
        )
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
        provider=made.provider,
        scope=made.scope,
        owner_user_id=made.owner_user_id,
        categories=data.categories or None,
        min_priority=made.min_priority,
        secret=secret,
    )


@command(
    "notification_channels.update",
    Action.PARTICIPATE,
    audit="notification_channel.updated",
    subject=CHANNEL,
    allow=may_change,
)
async def update_channel(ctx: Context, channel: NotificationChannel, data: UpdateNotificationChannel) -> ChannelUpdated:
    """Update a notification channel.

    Allowed for administrators, or for the owner of a personal channel alone.
    """
    changes = data.something()
    if "categories" in changes:
        changes["categories"] = [category.value for category in changes["categories"]] or None
    if "events" in changes:
        changes["events"] = [event.value for event in changes["events"]]
    await ctx.update(NotificationChannel, channel.id, **changes)
    return ChannelUpdated(updated=channel.id)


@command(
    "notification_channels.delete",
    Action.PARTICIPATE,
    audit="notification_channel.deleted",
    subject=CHANNEL,
    allow=may_remove,
)
async def delete_channel(ctx: Context, channel: NotificationChannel, data: ById) -> ChannelDeleted:
    """Delete a notification channel."""
    ctx.audit("NOTIFICATION_CHANNEL", channel.id, type=channel.type)
    await ctx.delete(NotificationChannel, channel.id)
    return ChannelDeleted(deleted=channel.id)
