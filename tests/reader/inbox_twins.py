"""The inbox, for the oracle."""

from datetime import UTC
from typing import Any

from tests.reader import agent_twins
from tests.reader.oracle import Asker, Listing, Row, Single, Store, ordered
from tests.reader.words import Arguments, Root, Value, by, only, tenants

RANKS = ("VIEWER", "MEMBER", "MANAGER", "ADMIN", "OWNER")
NEWEST = by("-created_at", "-id", "-workspace_id")
STATES = {"active": ("unread", "read"), None: ("unread", "read", "resolved"), "all": ("unread", "read", "resolved")}


def is_for(store: Store, asker: Asker, row: Row) -> bool:
    role = row["target_role"]
    if row["target_user_id"] is None and role is None:
        return True
    if row["target_user_id"] == asker.user_id:
        return True
    own = [
        member["role"]
        for member in store.live("memberships")
        if (member["workspace_id"], member["user_id"]) == (row["workspace_id"], asker.user_id)
    ]
    return role is not None and any(RANKS.index(role) <= RANKS.index(rank) for rank in own)


def seen(store: Store, asker: Asker) -> list[Row]:
    return [row for row in tenants(store, asker, "InboxItem") if is_for(store, asker, row)]


def matches(row: Row, arguments: Arguments) -> bool:
    state, kinds = arguments.get("state"), arguments.get("kind")
    return row["state"] in STATES.get(state, (state,)) and (kinds is None or row["kind"] in kinds)


def inbox(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [row for row in seen(store, asker) if matches(row, arguments)]
    return Listing("InboxItem", ordered(rows, NEWEST), NEWEST, (100, 500), clamped=False)


def inbox_item(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([row for row in seen(store, asker) if row["id"] == arguments["id"]], "InboxItem")


def inbox_count(store: Store, asker: Asker, _: Arguments) -> Single:
    return Single("InboxCount", {"unread_count": sum(row["state"] == "unread" for row in seen(store, asker))})


def precise(column: str) -> Value:
    def value(store: Store, asker: Asker, row: Row) -> Any:
        time = row[column]
        return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    return value


def picture(store: Store, asker: Asker, row: Row) -> str | None:
    [sender] = [agent for agent in tenants(store, asker, "Agent") if agent["id"] == row["sender_id"]] or [None]
    return None if sender is None else agent_twins.picture(store, asker, sender)


HERE: dict[str, Root] = {"inbox": inbox, "inboxItem": inbox_item, "inboxCount": inbox_count}
DERIVED: dict[tuple[str, str], Value] = {
    ("InboxItem", "avatar_url"): picture,
} | {
    ("InboxItem", f"{time}_ms"): precise(time) for time in ("created_at", "updated_at", "read_at", "resolved_at")
} | {
    ("InboxItem", name): lambda *_: None  # no question here asks for a credential
    for name in (
        "second_approver_required", "second_approver_by_workspace", "second_approver_by_tier", "security_level_label",
    )
}  # fmt: skip
