"""Notifications outside this server: what members choose, wording, routing, and the log of deliveries."""

from resolvers.attention.notification_deliveries.log import list_deliveries, redeliver
from resolvers.attention.notification_deliveries.preferences import (
    MemberSchedule,
    NotificationPreferences,
    PreferencesStored,
    get_preferences,
    get_schedule,
    set_preferences,
    set_schedule,
)
from resolvers.attention.notification_deliveries.templates import (
    MessageTemplate,
    MessageTemplates,
    TemplateRemoved,
    delete_template,
    list_templates,
    set_template,
)
from resolvers.kernel import Domain

DOMAIN = Domain("notification_deliveries", scopes="workspace")
