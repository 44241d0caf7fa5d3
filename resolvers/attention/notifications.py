"""Notifications: they tell a person what others did, over all the person's workspaces."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from sqlalchemy import func, select
from sqlmodel import col

from models.attention.notifications import TITLE, Notification
from models.bounds import LINE, cut
from models.people.auth import User, is_service_account
from resolvers.attention.inbox.events import NotificationCreated
from resolvers.kernel import (
    NOW,
    Action,
    ById,
    Context,
    Deleted,
    Domain,
    NoInput,
    Otherwise,
    Output,
    Page,
    Paging,
    QueryScope,
    Row,
    Subject,
    View,
    command,
    graph,
    query,
)
from resolvers.kernel.writing.actors import actor_of

DOMAIN = Domain("notifications", scopes=None)

NEWEST_FIRST = (col(Notification.created_at).desc(), col(Notification.id).desc())
NOTIFICATION = Subject(Notification, "id")
# spelled out: the index of these is a partial one
IS_UNREAD: Any = col(Notification.read_at).is_(None)

graph(
    Notification,
    gate=Action.SELF,
    scope=None,
    visible=lambda row, scope: row.user_id == scope.user_id,
)


class NotificationFilter(StrEnum):
    """Filter by read state."""

    read = "true"
    unread = "false"
    all = "all"


class ListNotifications(Paging):
    read: Annotated[NotificationFilter, Otherwise(NotificationFilter.all)] = NotificationFilter.all


class NotificationCount(View):
    """Unread notifications of the caller."""

    unread: int


class NotificationsRead(Output):
    """The previous number of unread notifications."""

    updated: int


async def notify(
    ctx: Context, user_id: str | None, action: str, entity: tuple[Literal["issue"], str], title: str | None
) -> None:
    """Notifies a member of the caller's action; callers are not notified of their own actions. The operation declares
    NotificationCreated.
    """
    actor = actor_of(ctx)
    if user_id is None or user_id in (actor.id, "") or is_service_account(user_id):
        return
    by = await ctx.select(User, col(User.id) == actor.id).first()
    kind, id = entity
    made = Notification(
        user_id=user_id,
        from_workspace_id=ctx.workspace_id or "",
        actor_type=actor.type,
        actor_id=actor.id,
        actor_name=None if by is None or by.full_name is None else cut(by.full_name, LINE),
        action=action,
        entity_type=kind,
        entity_id=id,
        entity_title=title and cut(title, TITLE),
    )
    ctx.record(made)
    told = {"action": action, "entity_type": kind, "entity_id": id, "entity_title": made.entity_title or ""}
    ctx.emit(NotificationCreated(user_id=user_id, id=made.id, **told))


@query("notifications.list", Action.SELF, tickets=False, personal=True)
def list_notifications(scope: QueryScope, data: ListNotifications) -> Page[Notification]:
    """List notifications.

    Lists the caller's notifications from all workspaces; newest first, ties by id, descending.
    """
    rows = scope.select(Notification).where(col(Notification.user_id) == scope.user_id)
    if data.read is NotificationFilter.read:
        rows = rows.where(col(Notification.read_at).is_not(None))
    elif data.read is NotificationFilter.unread:
        rows = rows.where(IS_UNREAD)
    return rows.order_by(*NEWEST_FIRST).page(data)


@query("notifications.count", Action.SELF, tickets=False, personal=True)
def count_notifications(scope: QueryScope, data: NoInput) -> Row[NotificationCount]:
    """Count unread notifications.

    Covers the caller's notifications from all workspaces.
    """
    own = scope.table(Notification)
    unread = select(func.count().label("unread")).where(own.c.user_id == scope.user_id, own.c.read_at.is_(None))
    return scope.view(NotificationCount, unread.select_from(own)).one("Workspace not found")


@command("notifications.read", Action.SELF, subject=NOTIFICATION, personal=True)
async def read_notification(ctx: Context, notification: Notification, data: ById) -> Notification:
    """Mark a notification as read.

    Idempotent; keeps the time of the first call.
    """
    if notification.read_at is not None:
        return notification
    unread = (col(Notification.id) == notification.id, IS_UNREAD)
    await ctx.update_where(Notification, *unread, read_at=NOW)
    return await ctx.get(Notification, notification.id)


@command("notifications.read_all", Action.SELF, personal=True)
async def read_all_notifications(ctx: Context, data: NoInput) -> NotificationsRead:
    """Mark all notifications as read.

    Covers the caller's notifications from all workspaces.
    """
    unread = (col(Notification.user_id) == ctx.user_id, IS_UNREAD)
    return NotificationsRead(updated=len(await ctx.update_where(Notification, *unread, read_at=NOW)))


@command("notifications.delete", Action.SELF, subject=NOTIFICATION, personal=True)
async def delete_notification(ctx: Context, notification: Notification, data: ById) -> Deleted:
    """Delete a notification."""
    await ctx.delete(Notification, notification.id)
    return Deleted(id=notification.id)
