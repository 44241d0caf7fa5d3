"""Sending of stored messages: attempts, digests, and what the journal says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlmodel import col

from models.attention.notification_channels import NotificationChannel
from models.attention.notification_deliveries import NotificationDelivery, NotificationStatus
from models.bounds import LINE, cut
from models.oversight.journal import JournalActor, JournalEntry, Severity
from resolvers.attention.notification_channels.delivery import NotDelivered, Refused, send
from resolvers.attention.notification_channels.messages import Announcement, Link
from resolvers.attention.notification_channels.switches import OFF, is_off
from resolvers.attention.notification_deliveries.timing import rank
from resolvers.kernel import NOW, Context

MOST_ATTEMPTS: Final = 5
PAUSES = [timedelta(seconds=s) for s in (60, 120, 120, 120)]
"""Before the second attempt, the third, …"""
MOST_TOGETHER: Final = 100
SERVICE: Final = "notify"
GONE = "The channel is gone or disabled"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Messages that a channel receives as one. `refused`: why nothing can be sent."""

    deliveries: list[NotificationDelivery]
    channel: NotificationChannel | None
    refused: str | None = None


async def outgoing(ctx: Context, deliveries: Sequence[NotificationDelivery]) -> Outgoing | None:
    """Messages of one channel; None if there are none."""
    if not deliveries:
        return None
    live = (col(NotificationChannel.id) == deliveries[0].channel_id, col(NotificationChannel.enabled))
    channel = await ctx.select(NotificationChannel, *live, including_hidden=True).first()
    refused = GONE if channel is None else OFF if await is_off(ctx, channel.provider) else None
    return Outgoing(list(deliveries), channel, refused)


async def delivery_of(ctx: Context, id: str) -> Outgoing | None:
    waits = (col(NotificationDelivery.id) == id, col(NotificationDelivery.status) == NotificationStatus.pending)
    return await outgoing(ctx, await ctx.select(NotificationDelivery, *waits).all())


async def held_for(ctx: Context, channel_id: str, due: datetime) -> Outgoing | None:
    """The held messages of a channel whose time has come, oldest first."""
    waits = (
        col(NotificationDelivery.channel_id) == channel_id,
        col(NotificationDelivery.status) == NotificationStatus.pending,
        col(NotificationDelivery.held_until) <= due,
    )
    oldest = (col(NotificationDelivery.created_at), col(NotificationDelivery.id))
    rows = await ctx.select(NotificationDelivery, *waits).order_by(*oldest).limit(MOST_TOGETHER).all()
    return await outgoing(ctx, rows)


def message_of(deliveries: Sequence[NotificationDelivery]) -> Announcement:
    """The message of one delivery; of several a list of their titles, with the highest priority."""
    first = deliveries[0]
    if len(deliveries) == 1:
        links = tuple(Link(label, path) for label, path in first.message.get("links", ()))
        return Announcement(
            category=first.category,
            title=first.title,
            body=first.message.get("body", ""),
            priority=first.message.get("priority", ""),
            source_kind=first.source_kind,
            source_id=first.source_id,
            links=links,
            vars=first.message.get("vars", {}),
        )
    categories = {one.category for one in deliveries}
    lines = [f"- {one.title}" for one in deliveries]
    return Announcement(
        category=categories.pop() if len(categories) == 1 else "digest",
        title=f"{len(deliveries)} notifications",
        body="\n".join(lines),
        priority=max((one.message.get("priority", "") for one in deliveries), key=rank),
        source_kind="digest",
        source_id=first.id,
        links=(Link("Open inbox", "/inbox"),),
        vars={"titles": [one.title for one in deliveries]},
    )


async def attempt(going: Outgoing, key: str) -> tuple[str | None, bool]:
    """One attempt: the reason of a failure, and whether another one may succeed."""
    if going.refused is not None or going.channel is None:
        return going.refused or GONE, False
    try:
        await send(going.channel, message_of(going.deliveries), key)
    except NotDelivered as error:
        return cut(str(error), LINE), not isinstance(error, Refused)
    return None, False


async def note(ctx: Context, going: Outgoing, failed: str | None, again: bool) -> None:
    """Records an attempt. A message that is to be tried again stays pending."""
    for one in going.deliveries:
        attempts = one.attempts + 1
        known: dict[str, Any] = {"attempts": attempts, "error": failed, "updated_at": NOW}
        if failed is None:
            known |= {"status": NotificationStatus.sent, "sent_at": NOW}
        elif not again or attempts >= MOST_ATTEMPTS:
            known |= {"status": NotificationStatus.failed}
        waits = (col(NotificationDelivery.id) == one.id, col(NotificationDelivery.status) == NotificationStatus.pending)
        if await ctx.update_where(NotificationDelivery, *waits, **known) and "status" in known:
            ctx.record(entry_of(one, going.channel, failed))


def entry_of(delivery: NotificationDelivery, channel: NotificationChannel | None, failed: str | None) -> JournalEntry:
    """The entry of the journal about a message that was sent, given up or dropped."""
    dropped = delivery.status is NotificationStatus.dropped_rate
    kind = "dropped" if dropped else "failed" if failed else "delivered"
    severity = {"dropped": Severity.notice, "failed": Severity.error, "delivered": Severity.info}[kind]
    payload: dict[str, Any] = {
        "channel_id": delivery.channel_id, "channel_type": channel.type.value if channel else "",
        "category": delivery.category, "target": (channel.provider or channel.type.value) if channel else "",
    }  # fmt: skip
    return JournalEntry(
        entry_type=f"notification.{kind}",
        severity=severity,
        actor_type=JournalActor.system,
        actor_id=SERVICE,
        summary=f"A notification ({delivery.category}) was {kind}",
        payload=payload | ({"detail": failed} if failed else {}),
    )
