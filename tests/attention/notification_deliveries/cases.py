"""Cases of what members are notified of, for the tests that are made for every operation."""

from models.attention.notification_deliveries import (
    NotificationDelivery,
    NotificationPreference,
    NotificationSchedule,
    NotificationStatus,
    NotificationTemplate,
    PreferenceState,
)
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.reader.words import listed
from tests.world import now

READS = {"notificationDeliveries": listed("NotificationDelivery", "-created_at", "-id")}
IDS = {"channel_id": "notification_channel"}
PROSE = ("me.notification_prefs_set",)


@entity
def notification_preference(plot: Plot) -> NotificationPreference:
    return NotificationPreference(
        user_id=plot.owner.user_id,
        channel_id=plot["notification_channel"].id,
        category="memory",
        state=PreferenceState.immediate,
        **plot.here,
    )


@entity
def notification_schedule(plot: Plot) -> NotificationSchedule:
    return NotificationSchedule(
        user_id=plot.owner.user_id, quiet_from=22 * 60, quiet_until=7 * 60, digest_minutes=30, **plot.here
    )


@entity
def notification_template(plot: Plot) -> NotificationTemplate:
    return NotificationTemplate(
        category="memory",
        channel_id=plot["notification_channel"].id,
        title="Memory",
        body="{{ source.body }}",
        **plot.here,
    )


@entity
def notification_delivery(plot: Plot) -> NotificationDelivery:
    return NotificationDelivery(
        channel_id=plot["notification_channel"].id,
        user_id=plot.owner.user_id,
        category="memory",
        dedup_key="memory:one",
        source_kind="memory_consolidation",
        source_id="one",
        title="A proposal",
        message={"body": "Read it", "priority": "low", "links": [], "vars": {}},
        status=NotificationStatus.failed,
        error="the receiver answered with status 500",
        attempts=5,
        held_until=now(),
        created_at=now(),
        updated_at=now(),
        sent_at=now(),
        **plot.here,
    )


RECIPES = {
    "me.notification_prefs_set": Recipe(
        {
            "cells": lambda world: [
                {"category": "*", "channel_id": world.home["notification_channel"].id, "state": "off"}
            ]
        }
    ),
    "me.notification_schedule_set": Recipe(
        {"time_zone": "Europe/Prague", "quiet_from": "22:00", "quiet_until": "06:30", "digest_minutes": 60}
    ),
    "notification_templates.set": Recipe({"category": "memory", "title": "Memory: {{ source.title }}"}),
    "notification_templates.delete": Recipe(
        {"category": "memory", "channel_id": lambda world: world.home["notification_channel"].id}
    ),
    "notification_deliveries.redeliver": Recipe(ids={"id": "notification_delivery"}),
}
