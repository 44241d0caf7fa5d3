"""GraphQL: notifications."""

from datetime import datetime

import strawberry

from models.attention.notifications import Notification
from resolvers.attention import notifications as notification_ops
from schema.bridge.fields import mutation, node, output, query
from schema.bridge.results import DeletedType


@node(Notification)
class NotificationType:
    """A notice to a user about an event in one of their workspaces."""

    id: strawberry.ID
    from_workspace_id: strawberry.ID
    actor_type: str = strawberry.field(description="user, agent or system.")
    actor_id: strawberry.ID
    actor_name: str | None
    action: str = strawberry.field(description="Such as assigned or commented.")
    entity_type: str = strawberry.field(description="Kind of what it is about, such as issue.")
    entity_id: strawberry.ID | None
    entity_title: str | None
    read_at: datetime | None
    created_at: datetime


@node(notification_ops.NotificationCount)
class NotificationCountType:
    """Unread notifications of the viewer."""

    unread: int


@output(notification_ops.NotificationsRead)
class NotificationsReadType:
    updated: int


@strawberry.type
class NotificationQuery:
    notifications = query(notification_ops.list_notifications, NotificationType)
    notification_count = query(notification_ops.count_notifications, NotificationCountType)


@strawberry.type
class NotificationMutation:
    mark_notification_read = mutation(notification_ops.read_notification, NotificationType)
    mark_all_notifications_read = mutation(notification_ops.read_all_notifications, NotificationsReadType)
    delete_notification = mutation(notification_ops.delete_notification, DeletedType)
