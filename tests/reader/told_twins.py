"""What people and servers of others are told, and approvals, for the oracle."""

from datetime import UTC, datetime

from tests.reader.inbox_twins import precise
from tests.reader.oracle import Asker, Listing, Refused, Row, Single, Store, ordered
from tests.reader.words import NEWEST, Arguments, Root, Value, by, only, tenants

LISTS = ("notifications", "approvals", "webhookEndpoints", "webhookDeliveries")


def own(store: Store, asker: Asker) -> list[Row]:
    return [row for row in store.tables["notifications"] if row["user_id"] == asker.user_id]


def notifications(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    read = arguments.get("read")
    kept = {"true": lambda row: row["read_at"] is not None, "false": lambda row: row["read_at"] is None}
    rows = [row for row in own(store, asker) if kept.get(read or "all", lambda _: True)(row)]
    return Listing("Notification", ordered(rows, NEWEST), NEWEST, (50, 100))


def notification_count(store: Store, asker: Asker, _: Arguments) -> Single:
    return Single("NotificationCount", {"unread": sum(row["read_at"] is None for row in own(store, asker))})


def hidden_place(asker: Asker, row: Row) -> Row:
    return row if row["owner_user_id"] in (None, asker.user_id) else row | {"url": None, "address": None}


def notification_channels(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    every = [hidden_place(asker, row) for row in tenants(store, asker, "NotificationChannel")]
    seen = [row for row in every if arguments.get("scope") == "all" or row["owner_user_id"] in (None, asker.user_id)]
    return Listing("NotificationChannel", ordered(seen, NEWEST))


def is_asked_for(approval: Row, arguments: Arguments) -> bool:
    status = arguments.get("status")
    return ("pending" if status is None else status) in ("", "all", approval["status"])


def approvals(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [row for row in tenants(store, asker, "Approval") if is_asked_for(row, arguments)]
    return Listing("Approval", ordered(rows, NEWEST), NEWEST, (50, 200), clamped=False)


def approval(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([row for row in tenants(store, asker, "Approval") if row["id"] == arguments["id"]], "Approval")


def managed(store: Store, asker: Asker, model: str) -> list[Row]:
    if asker.role not in ("OWNER", "ADMIN"):
        raise Refused("FORBIDDEN")
    return tenants(store, asker, model)


def webhook_endpoints(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("WebhookEndpoint", ordered(managed(store, asker, "WebhookEndpoint"), NEWEST), NEWEST, (50, 100))


def webhook_endpoint(store: Store, asker: Asker, arguments: Arguments) -> Single:
    rows = managed(store, asker, "WebhookEndpoint")
    return only([row for row in rows if row["id"] == arguments["id"]], "WebhookEndpoint")


def webhook_deliveries(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    webhook_endpoint(store, asker, arguments)
    rows = [
        row
        for row in managed(store, asker, "WebhookDelivery")
        if row["endpoint_id"] == arguments["id"] and arguments.get("state") in (None, row["state"])
    ]
    return Listing("WebhookDelivery", ordered(rows, NEWEST), NEWEST, (50, 100))


def notification_deliveries(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [
        row
        for row in managed(store, asker, "NotificationDelivery")
        if all(arguments.get(name) in (None, row[name]) for name in ("status", "channel_id", "category"))
    ]
    return Listing("NotificationDelivery", ordered(rows, NEWEST), NEWEST, (100, 500))


def approval_gates(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("ApprovalGate", ordered(tenants(store, asker, "ApprovalGate"), NEWEST), NEWEST, (50, 100))


def runners(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("Runner", ordered(managed(store, asker, "Runner"), BY_NAME), BY_NAME)


def runner(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([row for row in managed(store, asker, "Runner") if row["id"] == arguments["id"]], "Runner")


def connected(store: Store, asker: Asker, row: Row) -> bool:
    return row["connected_until"] is not None and row["connected_until"] > datetime.now(UTC)


BY_NAME = by("name", "id")
HERE: dict[str, Root] = {
    "runners": runners, "runner": runner,
    "notifications": notifications, "notificationCount": notification_count,
    "notificationChannels": notification_channels, "approvals": approvals, "approval": approval,
    "approvalGates": approval_gates,
    "notificationDeliveries": notification_deliveries,
    "webhookEndpoints": webhook_endpoints, "webhookEndpoint": webhook_endpoint,
    "webhookDeliveries": webhook_deliveries,
}  # fmt: skip
DERIVED: dict[tuple[str, str], Value] = {
    ("Approval", "decided_at_ms"): precise("decided_at"),
    ("Runner", "connected"): connected,
}


def in_chat(store: Store, approval: Row, chat: Row) -> bool:
    """The run whose call waits is of the chat."""
    runs = [run for run in store.tables["runs"] if run["workspace_id"] == approval["workspace_id"]]
    return any(run["id"] == approval["run_id"] and run["chat_id"] == chat["id"] for run in runs)


JOINED = {
    ("Approval", "chat"): in_chat,
    ("Chat", "pending_approvals"): lambda store, chat, approval: in_chat(store, approval, chat),
}
