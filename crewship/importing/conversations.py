"""Messages of chats: the Go server keeps them in a file for each chat, one message in each line."""

import os
from collections.abc import Iterator
from typing import IO, Any, Final

import orjson
from sqlalchemy import text

from crewship.importing.landing import Arrival, Filling
from crewship.importing.report import TableReport
from crewship.importing.source import Row, Source, portions
from crewship.importing.tables import Take, derived
from models.staff.chats import Message
from resolvers.instance.confined import open_directory, open_file

FOLDERS: Final = (("chats", "conversations"), ("conversations",), ("chats",))
LONGEST: Final = 16 << 20
"""Bytes of a line."""
ROLES: Final = {"agent": "assistant", "bot": "assistant", "human": "user"}
COUNTED: Final = """
    UPDATE chats SET message_count = n.count, last_message_seq = n.last, last_seq = greatest(last_seq, n.last),
        last_activity_at = n.at
    FROM unnest(CAST(:ids AS text[])) AS given (id)
    CROSS JOIN LATERAL (
        SELECT count(*)::integer AS count, max(seq) AS last, max(created_at) AS at FROM messages
        WHERE workspace_id = :workspace AND chat_id = given.id
    ) AS n
    WHERE chats.workspace_id = :workspace AND chats.id = given.id AND chats.last_message_seq < n.last
    RETURNING chats.id
"""
PORTION: Final = 500


def _parts(row: Row) -> Any:
    found = row.get("parts")
    return found if isinstance(found, list) else None


def _data(row: Row) -> Any:
    found = row.get("metadata")
    return found if isinstance(found, dict) else None


def _role(row: Row) -> Any:
    return ROLES.get(str(row.get("role")).lower(), row.get("role"))


TAKE: Final = Take(
    Message,
    "conversation_messages",
    made={
        "id": lambda row: row.get("id") or derived("chat_id", "seq")(row),
        "seq": lambda row: row["seq"],
        "chat_id": lambda row: row["chat_id"],
        "agent_id": lambda row: row.get("agent_id") if _role(row) == "assistant" else None,
        "role": _role,
        "content": lambda row: row.get("content") or "",
        "parts": _parts,
        "tool_name": lambda row: row.get("tool_name"),
        "tool_summary": lambda row: row.get("tool_summary"),
        "data": _data,
        "author_user_id": lambda row: row.get("author_user_id"),
        "run_id": lambda row: row.get("run_id"),
        "created_at": lambda row: row.get("ts") or row.get("created_at"),
    },
)


async def land_messages(arrival: Arrival) -> None:
    """The messages of all chats of the workspace, and their numbers in the chats."""
    filling = Filling(arrival, TAKE, ())
    of_chat = arrival.source.rows("chats", "t.workspace_id = ?", (arrival.workspace,))
    kept, ids = arrival.known.get("chats", set()), list[str]()
    for chat in of_chat:
        if str(chat["id"]) not in kept:
            continue
        for portion in portions(messages_of(arrival.source, chat, filling.told)):
            await filling.land(portion)
        ids.append(str(chat["id"]))
        if len(ids) == PORTION:
            await _count(arrival, ids)
            ids = []
    await _count(arrival, ids)


async def _count(arrival: Arrival, ids: list[str]) -> None:
    if ids:
        statement = text(COUNTED).bindparams(ids=ids, workspace=arrival.workspace)
        await arrival.rows.report(statement)


def messages_of(source: Source, chat: Row, told: TableReport) -> Iterator[Row]:
    """The messages of a chat, numbered. Without a file, what the search of the old server knows."""
    found_in = _in_file(source, chat, told) or _in_search(source, str(chat["id"]))
    for seq, found in enumerate(found_in, 1):
        yield found | {"seq": seq, "chat_id": str(chat["id"]), "agent_id": chat.get("agent_id")}


def _in_search(source: Source, chat_id: str) -> Iterator[Row]:
    if "conversation_messages" in source.tables:
        yield from source.rows("conversation_messages", "t.session_id = ?", (chat_id,))


def _in_file(source: Source, chat: Row, told: TableReport) -> Iterator[Row] | None:
    file = _opened(source, chat)
    return None if file is None else _lines(file, str(chat["id"]), told)


def _opened(source: Source, chat: Row) -> IO[bytes] | None:
    """The file of a chat, by its name in the known folders: no path of the database leads out of them."""
    named = os.path.basename(str(chat.get("jsonl_path") or ""))
    base = os.open(source.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in FOLDERS:
            for name in dict.fromkeys((f"{chat['id']}.jsonl", named)):
                if not name or "/" in name or "\0" in name or name in (".", ".."):
                    continue
                try:
                    here = open_directory(base, folder)
                    try:
                        return os.fdopen(open_file(here, name), "rb")
                    finally:
                        os.close(here)
                except (OSError, UnicodeEncodeError):
                    continue
        return None
    finally:
        os.close(base)


def _lines(file: IO[bytes], chat_id: str, told: TableReport) -> Iterator[Row]:
    number = 0
    with file:
        while line := file.readline(LONGEST):
            number += 1
            if len(line) == LONGEST and not line.endswith(b"\n"):
                while (rest := file.readline(LONGEST)) and not rest.endswith(b"\n"):
                    pass
                told.read += 1
                told.leave_out(f"the line is longer than {LONGEST} bytes", f"{chat_id}:{number}")
                continue
            if not line.strip():
                continue
            found = _read(line)
            if found is None:
                told.read += 1
                told.leave_out("the line is no message", f"{chat_id}:{number}")
                continue
            yield found


def _read(line: bytes) -> Row | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:  # bytes that are not UTF-8
            found = orjson.loads(line.decode("utf-8", "replace"))
        except orjson.JSONDecodeError:
            return None
    if not isinstance(found, dict):
        return None
    if not isinstance(found.get("content", ""), str):
        found["content"] = orjson.dumps(found["content"]).decode()
    return found
