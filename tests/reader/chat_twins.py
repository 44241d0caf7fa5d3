"""What the oracle is told of chats; see tests/reader/twins.py."""

from tests.reader.oracle import Asker, Listing, Order, Row, Single, Store, ordered
from tests.reader.skill_twins import found
from tests.reader.words import NEWEST, Arguments, Root, Value, by, only, tenants

LATELY_ACTIVE: Order = by("-last_activity_at", "-id", "-workspace_id")
LATELY_CHANGED: Order = by("-updated_at", "-id", "-workspace_id")
SAID: Order = by("seq", "id")
LAST_SAID: Order = by("-seq", "-id")


def chats(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [r for r in tenants(store, asker, "Chat") if arguments.get("origin") in (None, r["origin"])]
    return Listing("Chat", ordered(rows, LATELY_CHANGED), LATELY_CHANGED, (20, 100))


def _unread(store: Store, asker: Asker, chat: Row) -> bool:
    marks = store.tables["chat_read_cursors"]
    own = [m["last_read_seq"] for m in marks if (m["chat_id"], m["user_id"]) == (chat["id"], asker.user_id)]
    since = own[0] if own else 0
    return chat["last_message_seq"] > since and any(
        message["chat_id"] == chat["id"]
        and message["seq"] > since
        and (message["role"] != "user" or message["author_user_id"] not in (None, asker.user_id))
        for message in store.tables["messages"]
    )


def find_chats(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    agents = {row["id"]: row for row in store.tables["agents"]}
    rows = tenants(store, asker, "Chat")
    given = {name: arguments.get(name) for name in ("agentId", "crewId", "search", "unread")}
    rows = [r for r in rows if given["agentId"] in (None, r["agent_id"])]
    rows = [r for r in rows if given["crewId"] in (None, agents[r["agent_id"]]["crew_id"])]
    if given["search"] is not None:
        texts = [(r, (r["title"], agents[r["agent_id"]]["name"])) for r in rows]
        rows = [r for r, said in texts if any(found(text, given["search"]) for text in said)]
    rows = [r for r in rows if given["unread"] in (None, _unread(store, asker, r))]
    return Listing("Chat", ordered(rows, LATELY_CHANGED), LATELY_CHANGED, (50, 100))


def agent_chats(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [r for r in tenants(store, asker, "Chat") if r["agent_id"] == arguments["agentId"]]
    return Listing("Chat", ordered(rows, LATELY_ACTIVE)[:100])


def chat(store: Store, asker: Asker, arguments: Arguments) -> Single:
    return only([r for r in tenants(store, asker, "Chat") if r["id"] == arguments["id"]], "Chat")


def messages(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [r for r in tenants(store, asker, "Message") if r["chat_id"] == arguments["chatId"]]
    return Listing("Message", ordered(rows, SAID), SAID, (50, 500))


def find_messages(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    """No seeded chat has as many messages as a search looks at."""
    rows = [r for r in tenants(store, asker, "Message") if r["chat_id"] == arguments["chatId"]]
    if arguments.get("search") is not None:
        rows = [r for r in rows if found(r["content"], arguments["search"])]
    rows = [r for r in rows if arguments.get("fromSeq") is None or r["seq"] >= arguments["fromSeq"]]
    rows = [r for r in rows if arguments.get("untilSeq") is None or r["seq"] <= arguments["untilSeq"]]
    order = SAID if arguments.get("sort") == "oldest" else LAST_SAID
    return Listing("Message", ordered(rows, order), order, (50, 100))


def counted(store: Store, asker: Asker, message_id: str, chat_id: str, workspace_id: str) -> Listing:
    """One row for each emoji; a text that is compared by code points has them in its order."""
    found: dict[str, set[str]] = {}
    for row in store.tables["message_reactions"]:
        if (row["message_id"], row["chat_id"], row["workspace_id"]) == (message_id, chat_id, workspace_id):
            found.setdefault(row["emoji"], set()).add(row["user_id"])
    rows = [
        {"emoji": emoji, "count": len(people), "mine": asker.user_id in people}
        for emoji, people in sorted(found.items())
    ]
    return Listing("ReactionCount", sorted(rows, key=lambda row: -row["count"]))


def reactions(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    return counted(store, asker, arguments["messageId"], arguments["chatId"], asker.workspace_id)


def of_message(store: Store, asker: Asker, row: Row) -> Listing:
    return counted(store, asker, row["id"], row["chat_id"], row["workspace_id"])


JOINED: Order = by("joined_at", "user_id", "id")


def participants(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [r for r in tenants(store, asker, "ChatParticipant") if r["chat_id"] == arguments["chatId"]]
    return Listing("ChatParticipant", ordered(rows, JOINED))


def webhook_receipts(store: Store, asker: Asker, arguments: Arguments) -> Listing:
    rows = [r for r in tenants(store, asker, "WebhookReceipt") if r["agent_id"] == arguments["agentId"]]
    rows = [r for r in rows if arguments.get("result") in (None, r["result"])]
    return Listing("WebhookReceipt", ordered(rows, NEWEST), NEWEST, (50, 100))


HERE: dict[str, Root] = {
    "chats": chats,
    "findChats": find_chats,
    "agentChats": agent_chats,
    "webhookReceipts": webhook_receipts,
}
OF_ROWS: dict[str, tuple[Root, str, str]] = {
    "chat": (chat, "chats", "id"),
    "messages": (messages, "chats", "chatId"),
    "findMessages": (find_messages, "chats", "chatId"),
    "messageReactions": (reactions, "chats", "chatId"),
    "chatParticipants": (participants, "chats", "chatId"),
}
ORDERS: dict[str, Order] = {
    "chats": LATELY_CHANGED,
    "findChats": LATELY_CHANGED,
    "messages": SAID,
    "findMessages": LAST_SAID,
}
STRICT = (chat, reactions, participants)
"""Roots that refuse a chat which is not there."""
REPORTS: dict[tuple[str, str], Value] = {("Message", "reactions"): of_message}
"""Of a row, as whoever asks sees it."""


def of_user(column: str) -> Value:
    return lambda store, _, row: next(u[column] for u in store.tables["users"] if u["id"] == row["user_id"])


def attached(row: Row) -> str:
    return f"attachments/{row['chat_id']}/{row['name']}"


DERIVED: dict[tuple[str, str], Value] = {
    ("ChatParticipant", column): of_user(column) for column in ("email", "full_name")
} | {
    ("Message", "part_count"): lambda _, __, row: len(row["parts"]) if isinstance(row["parts"], list) else 0,
    ("Message", "newest_parts"): lambda _, __, row: row["parts"],  # none is long
    ("ChatAttachment", "content_type"): lambda _, __, row: row["media_type"] or "application/octet-stream",
    ("ChatAttachment", "uploaded_by_name"): lambda store, _, row: next(
        (each["full_name"] for each in store.tables["users"] if each["id"] == row["uploaded_by"]), None
    ),
    ("ChatAttachment", "path"): lambda _, __, row: attached(row),
    ("ChatAttachment", "agent_path"): lambda _, __, row: f"/output/{row['folder']}/{attached(row)}",
}
