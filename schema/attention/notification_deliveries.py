"""GraphQL: what members are notified of where, wording, and the log of deliveries."""

import strawberry

from models.attention.notification_deliveries import NotificationDelivery, NotificationStatus, PreferenceState
from resolvers.attention import notification_deliveries as delivery_ops
from schema.bridge.fields import enum, mutation, node, output, query

output(delivery_ops.MessageTemplate, name="NotificationTemplate")
output(delivery_ops.MessageTemplates, name="NotificationTemplates")
output(delivery_ops.TemplateRemoved, name="RemovedNotificationTemplate")
output(delivery_ops.MemberSchedule, name="NotificationSchedule")
output(delivery_ops.PreferencesStored, name="StoredNotificationPreferences")
enum(PreferenceState, name="NotificationPreferenceState")
enum(NotificationStatus, name="NotificationDeliveryStatus")


@node(NotificationDelivery)
class NotificationDeliveryType:
    """A message for one channel."""

    fields = """
        id workspace_id channel_id user_id category dedup_key source_kind source_id title status error attempts
        held_until created_at updated_at sent_at
    """
    dedup_key = strawberry.field(description="Is sent to a channel once.")
    held_until = strawberry.field(description="The end of quiet hours, or the time of a digest; null if not held.")


@strawberry.type
class NotificationDeliveryQuery:
    notification_preferences = query(delivery_ops.get_preferences)
    notification_schedule = query(delivery_ops.get_schedule)
    notification_templates = query(delivery_ops.list_templates)
    notification_deliveries = query(delivery_ops.list_deliveries, NotificationDeliveryType)


@strawberry.type
class NotificationDeliveryMutation:
    set_notification_preferences = mutation(delivery_ops.set_preferences)
    set_notification_schedule = mutation(delivery_ops.set_schedule)
    set_notification_template = mutation(delivery_ops.set_template)
    delete_notification_template = mutation(delivery_ops.delete_template)
    redeliver_notification = mutation(delivery_ops.redeliver, NotificationDeliveryType)
