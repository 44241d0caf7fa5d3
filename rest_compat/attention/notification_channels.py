"""REST: notification channels."""

from typing import Annotated

from models.attention.notification_channels import ChannelEvent, NotificationChannel
from resolvers.attention import notification_channels as channels
from rest_compat.http.table import DELETE, GET, POST, Absent, From, Wire


class NotificationChannelJSON(Wire, of=NotificationChannel):
    fields = "id workspace_id type url to events enabled created_by created_at"
    absent = "url created_by"
    to: Annotated[str | None, From("address"), Absent()]
    events: list[ChannelEvent]


ROUTES = (
    GET(
        "/api/v1/notification-channels",
        channels.list_channels,
        list[NotificationChannelJSON],
        envelope="channels",
    ),
    POST("/api/v1/notification-channels", channels.create_channel, channels.ChannelCreated, status=201),
    DELETE("/api/v1/notification-channels/{id}", channels.delete_channel, channels.ChannelDeleted),
    POST("/api/v1/notification-channels/{id}/test", channels.test_channel, channels.ChannelTested),
)
