"""What was said in chats."""

from typing import Any

from sqlmodel import col

from models.agents import Agent
from models.auth import User
from models.chats import Chat, Message
from resolvers.kernel import EVERYONE, INT32, Action, Entity, Id, Page, Paging, QueryScope, extend, graph, many, one, query

oldest_first = (col(Message.seq), col(Message.id))
ALL = "all"


class PageOfMessages(Paging):
    """A page of messages: 50 unless told otherwise, at most 500."""

    page_maximum = 500


class ListMessages(PageOfMessages):
    """One chat's messages. Of an unknown chat there are none."""

    chat_id: Id

    @classmethod
    def size(cls, raw: dict[str, Any]) -> int:
        return INT32 if raw.get("limit") == ALL else super().size(raw)

    @classmethod
    def size_rule(cls) -> str:
        return f"At most {cls.page_maximum}, or `{ALL}`, as without limit and offset; without a whole number above 0, {cls.page_default}."


graph(
    Message, gate=Action.READ, scope="chats:read", visible=EVERYONE, chat=one(Chat, "chat_id"), agent=one(Agent, "agent_id"), author=one(User, "author_user_id")
)
extend(Chat, messages=many(Message, "chat_id", order_by=oldest_first, input=PageOfMessages))


@query("chats.messages", Action.READ, tenancy=Entity(Chat, "chat_id", lenient=True))
def list_messages(scope: QueryScope, data: ListMessages) -> Page[Message]:
    """Messages of a chat, oldest first."""
    return scope.select(Message).where(col(Message.chat_id) == data.chat_id).order_by(*oldest_first).page(data)
