"""The log of deliveries, and another delivery."""

from typing import Annotated, Any, ClassVar

from sqlmodel import col

from models.attention.notification_deliveries import NotificationDelivery, NotificationStatus
from resolvers.attention.notification_deliveries.routing import DELIVER
from resolvers.kernel import (
    EVERYONE,
    Action,
    ById,
    Code,
    Context,
    Filter,
    Page,
    Paging,
    QueryScope,
    Refusal,
    Subject,
    Text,
    command,
    graph,
    query,
)

NEWEST_FIRST = (col(NotificationDelivery.created_at).desc(), col(NotificationDelivery.id).desc())
DELIVERY = Subject(NotificationDelivery, "id", called="Delivery")
WAITS = "The delivery is still pending"

graph(NotificationDelivery, gate=Action.MANAGE, scope="workspace:read", visible=EVERYONE)


class ListNotificationDeliveries(Paging):
    """Deliveries with a status, to a channel, or of a category. An unknown value matches nothing."""

    page_default: ClassVar[int] = 100
    page_maximum: ClassVar[int] = 500
    status: Annotated[Text | None, Filter(NotificationDelivery.status, leads=True)] = None
    channel_id: Annotated[Text | None, Filter(NotificationDelivery.channel_id, leads=True)] = None
    category: Annotated[Text | None, Filter(NotificationDelivery.category)] = None


@query("notification_deliveries.list", Action.MANAGE, tickets=False)
def list_deliveries(scope: QueryScope, data: ListNotificationDeliveries) -> Page[NotificationDelivery]:
    """List notification deliveries.

    Newest first, ties by id, descending. Kept for 30 days.
    """
    return scope.select(NotificationDelivery).matching(data).order_by(*NEWEST_FIRST).page(data)


@command(
    "notification_deliveries.redeliver",
    Action.MANAGE,
    audit="notification_delivery.repeated",
    subject=DELIVERY,
    errors=(Code.CONFLICT,),
)
async def redeliver(ctx: Context, delivery: NotificationDelivery, data: ById) -> NotificationDelivery:
    """Send a notification again.

    Also sends one that was dropped, at once. CONFLICT while it is pending.
    """
    ended = (
        col(NotificationDelivery.id) == delivery.id,
        col(NotificationDelivery.status) != NotificationStatus.pending,
    )
    fresh: dict[str, Any] = {"status": NotificationStatus.pending, "attempts": 0, "held_until": None, "error": None}
    if not await ctx.update_where(NotificationDelivery, *ended, **fresh):
        raise Refusal(Code.CONFLICT, WAITS)
    ctx.enqueue(DELIVER, delivery_id=delivery.id)
    return await ctx.get(NotificationDelivery, delivery.id)
