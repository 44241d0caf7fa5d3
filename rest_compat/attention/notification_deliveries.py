"""REST: what members are notified of where, wording, and the log of deliveries."""

from models.attention.notification_deliveries import NotificationDelivery
from resolvers.attention import notification_deliveries as deliveries
from rest_compat.http.table import DELETE, GET, POST, PUT, Wire


class NotificationDeliveryJSON(Wire, of=NotificationDelivery):
    fields = """
        id workspace_id channel_id user_id category dedup_key source_kind source_id title status error attempts
        held_until created_at updated_at sent_at
    """
    absent = "error sent_at held_until"


ME = "/api/v1/me/notification-prefs"
SCHEDULE = "/api/v1/me/notification-schedule"
TEMPLATES = "/api/v1/notification-templates"
LOG = "/api/v1/notification-deliveries"
ROUTES = (
    GET(ME, deliveries.get_preferences, deliveries.NotificationPreferences),
    PUT(ME, deliveries.set_preferences, deliveries.PreferencesStored),
    GET(SCHEDULE, deliveries.get_schedule, deliveries.MemberSchedule),
    PUT(SCHEDULE, deliveries.set_schedule, deliveries.MemberSchedule),
    GET(TEMPLATES, deliveries.list_templates, deliveries.MessageTemplates),
    PUT(TEMPLATES, deliveries.set_template, deliveries.MessageTemplate),
    DELETE(TEMPLATES, deliveries.delete_template, status=204),
    GET(LOG, deliveries.list_deliveries, list[NotificationDeliveryJSON], envelope="deliveries"),
    POST(f"{LOG}/{{id}}/redeliver", deliveries.redeliver, NotificationDeliveryJSON),
)
