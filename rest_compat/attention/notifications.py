"""REST: notifications."""

from typing import Annotated

from models.attention.notifications import Notification
from resolvers.attention import notifications
from rest_compat.http.table import DELETE, GET, POST, Fixed, Wire


class NotificationJSON(Wire, of=Notification):
    fields = "id actor_type actor_id actor_name action entity_type entity_id entity_title read_at created_at"
    absent = "actor_name"


class NotificationCountJSON(Wire, of=notifications.NotificationCount):
    unread: int


class NotificationReadJSON(Wire, of=Notification):
    status: Annotated[str, Fixed('"ok"')]


ROUTES = (
    GET("/api/v1/notifications", notifications.list_notifications, list[NotificationJSON]),
    GET("/api/v1/notifications/count", notifications.count_notifications, NotificationCountJSON),
    POST("/api/v1/notifications/{notificationId}/read", notifications.read_notification, NotificationReadJSON),
    POST("/api/v1/notifications/read-all", notifications.read_all_notifications, notifications.NotificationsRead),
    DELETE("/api/v1/notifications/{notificationId}", notifications.delete_notification, status=204),
)
