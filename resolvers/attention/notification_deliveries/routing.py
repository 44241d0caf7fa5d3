"""Messages of a source: one for each channel that a member has chosen for its category."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlmodel import col

from models.attention.notification_channels import ChannelScope, NotificationCategory, NotificationChannel
from models.attention.notification_deliveries import (
    EVERY,
    TITLE,
    NotificationDelivery,
    NotificationPreference,
    NotificationSchedule,
    NotificationStatus,
    NotificationTemplate,
    PreferenceState,
)
from models.bounds import cut
from resolvers.attention.notification_deliveries.sending import entry_of
from resolvers.attention.notification_deliveries.sources import EVENTS, INBOX, REPLY, Occasion, sources_of
from resolvers.attention.notification_deliveries.templates import worded
from resolvers.attention.notification_deliveries.timing import held_until, rank
from resolvers.kernel import AcrossWorkspaces, Context, Id, Input, clock, job
from resolvers.kernel.background.followers import follow, news

AT_ONCE: Final = 50
EVERY_SECONDS: Final = 5
WINDOW: Final = timedelta(seconds=AT_ONCE * EVERY_SECONDS)
SENT: Final = (NotificationStatus.pending, NotificationStatus.sent, NotificationStatus.failed)
MOST_ID: Final = 200
BEFORE: Final = timedelta(seconds=10)
"""A change precedes its event by less, and what it has added is notified of once."""
UNLIMITED: Final = frozenset({NotificationCategory.agents_approval, NotificationCategory.agents_escalation})
NOT_CHOSEN, MUTED = "The channel does not take this category", "The member has muted the channel"
TOO_LOW, TOO_MANY = "The priority is too low for the channel", "Too many notifications of this category"


class OfEventOfRow(Input):
    """`event` is the type of an event, `source_id` the id of the row that it names, `since` its time in seconds."""

    event: Id
    source_id: Id
    since: Id


class OfDelivery(Input):
    delivery_id: Id


class OfHeld(Input):
    """The messages that one channel receives together, at a time in seconds."""

    channel_id: Id
    due: Id


ROUTE = job("notification_deliveries.route", OfEventOfRow, unique="{event}:{source_id}", attempts=3)
"""Finds the members and channels for an event."""
DELIVER = job("notification_deliveries.deliver", OfDelivery, unique="{delivery_id}")
"""Sends one message, in up to five attempts."""
DIGEST = job("notification_deliveries.digest", OfHeld, unique="{channel_id}:{due}")
"""Sends the held messages of a channel as one."""
FOLLOW = clock(
    "notification_deliveries.follow",
    every=timedelta(seconds=1),
    when=news("notification_deliveries", NotificationPreference),
)
"""Reads the outbox for workspaces whose members have chosen channels."""
CHOSEN = (col(NotificationPreference.state) == PreferenceState.immediate,)


def source_of(type_: str, payload: dict[str, Any]) -> str | None:
    """The id by which `sources_of` finds what an event is about."""
    if type_ != INBOX:
        return payload.get("id") or payload.get("run_id") or payload.get("crew_id")
    if payload.get("source") == "chat_reply":
        return f"{REPLY}{payload['chat']}"
    return payload.get("id") if payload.get("state") == "unread" else None


async def enqueue_sources(rows: AcrossWorkspaces) -> bool:
    """Enqueues a job for each event that may make messages. Returns whether there may be more."""
    events, more = await follow(rows, "notification_deliveries", NotificationPreference, CHOSEN, EVENTS)
    for event in events:
        id = source_of(event["type"], event["payload"])
        if id is not None and len(id) <= MOST_ID:
            since = str(int(event["created_at"].timestamp()))
            rows.enqueue(ROUTE, event["workspace_id"], event=event["type"], source_id=id, since=since)
    return more


@dataclass(frozen=True, slots=True)
class Choice:
    """The outcome of a source for one member and one channel."""

    channel: NotificationChannel
    user_id: str
    status: NotificationStatus
    error: str | None = None
    held: datetime | None = None


async def route(ctx: Context, data: OfEventOfRow) -> None:
    """Stores the messages of an event, each once for a channel, and enqueues them."""
    since = datetime.fromtimestamp(int(data.since), UTC) - BEFORE
    for source in await sources_of(ctx, data.event, data.source_id, since):
        for choice in best_of(await _choices(ctx, source)):
            await _store(ctx, source, choice)


def best_of(choices: Iterable[Choice]) -> list[Choice]:
    """One for each channel: members who have chosen the same one cause one message, and none drops another's."""
    best: dict[str, Choice] = {}
    for choice in choices:
        known = best.get(choice.channel.id)
        if known is None or (known.status is not NotificationStatus.pending is choice.status):
            best[choice.channel.id] = choice
    return list(best.values())


async def _choices(ctx: Context, source: Occasion) -> list[Choice]:
    """For each member whom the source concerns, the channels that the member has chosen for its category."""
    of_members = col(NotificationPreference.user_id).in_(source.users)
    named = col(NotificationPreference.category).in_([source.category.value, EVERY])
    cells = await ctx.select(NotificationPreference, of_members, named, *CHOSEN, including_hidden=True).all()
    wanted = [cell for cell in cells if cell.category != EVERY]
    if not wanted:
        return []
    muted = {(cell.user_id, cell.channel_id) for cell in cells if cell.category == EVERY}
    live = (
        col(NotificationChannel.id).in_(sorted({cell.channel_id for cell in wanted})),
        col(NotificationChannel.enabled),
    )
    channels = {one.id: one for one in await ctx.select(NotificationChannel, *live, including_hidden=True).all()}
    own = col(NotificationSchedule.user_id).in_(sorted({cell.user_id for cell in wanted}))
    schedules = {row.user_id: row for row in await ctx.select(NotificationSchedule, own, including_hidden=True).all()}
    now = await ctx.now()
    made = list[Choice]()
    for cell in wanted:
        channel = channels.get(cell.channel_id)
        if channel is None or channel.owner_user_id not in (None, cell.user_id):
            continue
        dropped = _dropped(source, channel, (cell.user_id, channel.id) in muted)
        if dropped is not None:
            made.append(Choice(channel, cell.user_id, NotificationStatus.dropped_pref, dropped))
        elif source.category not in UNLIMITED and await _is_too_many(ctx, source, channel, cell.user_id, now):
            made.append(Choice(channel, cell.user_id, NotificationStatus.dropped_rate, TOO_MANY))
        else:
            is_own = channel.scope is ChannelScope.user
            held = held_until(schedules.get(cell.user_id), source.priority, now) if is_own else None
            made.append(Choice(channel, cell.user_id, NotificationStatus.pending, held=held))
    return made


def _dropped(source: Occasion, channel: NotificationChannel, muted: bool) -> str | None:
    if channel.categories and source.category.value not in channel.categories:
        return NOT_CHOSEN
    if muted:
        return MUTED
    return TOO_LOW if rank(source.priority) < rank(channel.min_priority) else None


async def _is_too_many(
    ctx: Context, source: Occasion, channel: NotificationChannel, user_id: str, now: datetime
) -> bool:
    """Returns true if the member's messages of the category in this channel have used up what may be sent."""
    recent = (
        col(NotificationDelivery.channel_id) == channel.id,
        col(NotificationDelivery.created_at) > now - WINDOW,
        col(NotificationDelivery.user_id) == user_id,
        col(NotificationDelivery.category) == source.category.value,
        col(NotificationDelivery.status).in_(SENT),
    )
    return await ctx.select(NotificationDelivery, *recent).count() >= AT_ONCE


async def _store(ctx: Context, source: Occasion, choice: Choice) -> None:
    key = f"{source.category.value}:{source.key}"
    await ctx.lock(f"notification {ctx.workspace_id}/{choice.channel.id}/{key}")
    same = (col(NotificationDelivery.channel_id) == choice.channel.id, col(NotificationDelivery.dedup_key) == key)
    if await ctx.select(NotificationDelivery, *same).exists():
        return
    title, body = await _wording(ctx, source, choice.channel.id)
    made = NotificationDelivery(
        channel_id=choice.channel.id,
        user_id=choice.user_id,
        category=source.category.value,
        dedup_key=key,
        source_kind=source.kind,
        source_id=source.id,
        title=cut(title, TITLE),
        message={
            "body": body,
            "priority": source.priority,
            "links": [[link.label, link.path] for link in source.links],
            "vars": source.facts,
        },
        status=choice.status,
        error=choice.error,
        held_until=choice.held,
    )
    ctx.record(made)
    if choice.status is NotificationStatus.dropped_rate:
        ctx.record(entry_of(made, choice.channel, TOO_MANY))
    elif choice.held is not None:
        due = str(int(choice.held.timestamp()))
        ctx.enqueue(DIGEST, at=choice.held, channel_id=choice.channel.id, due=due)
    elif choice.status is NotificationStatus.pending:
        ctx.enqueue(DELIVER, delivery_id=made.id)


async def _wording(ctx: Context, source: Occasion, channel_id: str) -> tuple[str, str]:
    """Title and body by the template of the channel or, without one, of all channels."""
    if source.worded:
        return source.title, source.body
    places = col(NotificationTemplate.channel_id).in_([channel_id, ""])
    category = col(NotificationTemplate.category) == source.category.value
    found = {one.channel_id: one for one in await ctx.select(NotificationTemplate, category, places).all()}
    template = found.get(channel_id) or found.get("")
    if template is None:
        return source.title, source.body
    about = {"title": source.title, "body": source.body, "category": source.category.value, "kind": source.kind}
    facts = {"source": about, "vars": source.facts}
    return worded(template.title, source.title, facts), worded(template.body, source.body, facts)
