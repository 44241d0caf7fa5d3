"""REST: notification channels, the services that they send to, and the agents that may send."""

from typing import Annotated

from models.attention.notification_channels import ChannelEvent, NotificationCategory, NotificationChannel
from resolvers.attention import notification_channels as channels
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.table import DELETE, GET, PATCH, POST, Absent, From, Wire


class NotificationChannelJSON(Wire, of=NotificationChannel):
    fields = """
        id workspace_id type url to events enabled created_by created_at provider scope owner_user_id categories
        min_priority
    """
    absent = "url created_by provider owner_user_id"
    to: Annotated[str | None, From("address"), Absent()]
    events: list[ChannelEvent]
    categories: Annotated[list[NotificationCategory] | None, Absent()]


BASE = "/api/v1/notification-channels"
AGENTS = f"{BASE}/{{id}}/agents"
INTERNAL = "/api/v1/internal/notifications"
ROUTES = (
    GET(
        BASE,
        channels.list_channels,
        list[NotificationChannelJSON],
        envelope="channels",
    ),
    POST(BASE, channels.create_channel, channels.ChannelCreated, status=201),
    POST(f"{BASE}/test", channels.test_draft, channels.DraftTested),
    PATCH(f"{BASE}/{{id}}", channels.update_channel, channels.ChannelUpdated),
    DELETE(f"{BASE}/{{id}}", channels.delete_channel, channels.ChannelDeleted),
    POST(f"{BASE}/{{id}}/test", channels.test_channel, channels.ChannelTested),
    GET(AGENTS, channels.list_agents, channels.ChannelAgents),
    POST(AGENTS, channels.allow_agent, channels.AgentAllowed),
    DELETE(f"{AGENTS}/{{agentId}}", channels.deny_agent, channels.AgentDenied),
    GET("/api/v1/agents/{agentId}/notification-channels", channels.list_channels_of_agent, channels.AgentChannels),
    GET("/api/v1/notification-providers", channels.list_providers, channels.NotificationProviders),
    PATCH("/api/v1/notification-providers/{provider}", channels.switch_provider, channels.ProviderSwitched),
    GET(f"{INTERNAL}/channels", channels.list_open_channels, channels.OpenChannels),
    POST(f"{INTERNAL}/send", channels.send_of_agent, channels.AgentNotificationSent, reads=workspace_in_body),
)
