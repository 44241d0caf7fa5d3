"""Seeded messages, and what belongs to chats."""

from collections.abc import Iterator
from typing import Any

from sqlmodel import SQLModel

from models.staff.chats import (
    Chat,
    ChatAttachment,
    ChatParticipant,
    ChatReadCursor,
    Message,
    MessageReaction,
    MessageRole,
)
from models.staff.crews import Crew
from tests.reader.values import JSON, WHOLE


def said(sower: Any, chats: list[Chat], crews: list[Crew]) -> Iterator[SQLModel]:
    """Every third message is said in one chat."""
    pick = sower.random.choice
    for number in range(45):
        chat, author = chats[0] if number % 3 == 0 else pick(chats), sower.maybe(pick(sower.people).user_id)
        message = Message(
            chat_id=chat.id, seq=number + 1, agent_id=sower.maybe(chat.agent_id), role=pick(list(MessageRole)),
            content=sower.text(), run_id=sower.maybe("unknown"),
            parts=sower.maybe(pick(JSON)), data=sower.maybe({"kind": sower.text()}), author_user_id=author,
            created_at=sower.time(), **sower.here,
        )  # fmt: skip
        yield message
        for emoji, person in sower.random.sample([(e, p) for e in "👍🎉❤" for p in sower.people], number % 4):
            yield MessageReaction(
                chat_id=chat.id, message_id=message.id, emoji=emoji, user_id=person.user_id, **sower.here
            )
    for chat, person in sower.random.sample([(chat, person) for chat in chats for person in sower.people], 40):
        if person.user_id in sower.members:
            yield ChatParticipant(chat_id=chat.id, user_id=person.user_id, joined_at=sower.time(), **sower.here)
        yield ChatAttachment(
            chat_id=chat.id,
            crew_id=crews[0].id,
            folder=pick(["hand", "é"]),
            name=f"{sower.text()}{person.user_id}",
            size=pick(WHOLE),
            media_type=sower.maybe("text/plain"),
            uploaded_by=sower.maybe(person.user_id),
            deleted_at=sower.maybe(sower.time()),
            **sower.here,
            **sower.stamps(),
        )
        yield ChatReadCursor(
            chat_id=chat.id,
            user_id=person.user_id,
            last_read_seq=pick(WHOLE[:4]),
            last_read_at=sower.time(),
            **sower.here,
        )
    for number in range(6):  # more of one chat than fit on a page
        told = {"folder": "hand", "name": f"{number}", "size": number}
        yield ChatAttachment(chat_id=chats[0].id, crew_id=crews[0].id, **told, **sower.here)
