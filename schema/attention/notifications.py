"""GraphQL: notifications."""

import strawberry

from models.attention.notifications import Notification
from resolvers.attention import notifications as notification_ops
from schema.bridge.fields import mutation, node, query


@node(Notification)
class NotificationType:
    """A notice to a user about an event in one of their workspaces."""

    fields = """
        id from_workspace_id actor_type actor_id actor_name action entity_type entity_id entity_title read_at created_at
    """
    actor_type: str = strawberry.field(description="user, agent or system.")
    action = strawberry.field(description="The event, such as assigned or commented.")
    entity_type = strawberry.field(description="The kind of the subject, such as issue.")


@node(notification_ops.NotificationCount)
class NotificationCountType:
    """Unread notifications of the viewer."""

    unread: int


@strawberry.type
class NotificationQuery:
    notifications = query(notification_ops.list_notifications, NotificationType)
    notification_count = query(notification_ops.count_notifications, NotificationCountType)


@strawberry.type
class NotificationMutation:
    mark_notification_read = mutation(notification_ops.read_notification, NotificationType)
    mark_all_notifications_read = mutation(notification_ops.read_all_notifications)
    delete_notification = mutation(notification_ops.delete_notification)
