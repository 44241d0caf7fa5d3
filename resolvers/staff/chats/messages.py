"""Messages of chats."""

from typing import Any

from sqlalchemy import and_
from sqlmodel import col

from models.people.auth import User
from models.staff.agents import Agent
from models.staff.chats import Chat, Message, MessageRole
from models.staff.runs import Run
from resolvers.kernel import (
    EVERYONE,
    Action,
    Entity,
    Id,
    Page,
    Paging,
    QueryScope,
    constant,
    extend,
    graph,
    many,
    one,
    query,
)
from resolvers.kernel.ground.inputs import INT32

oldest_first = (col(Message.seq), col(Message.id))
ALL = "all"


class PageOfMessages(Paging):
    """A page of messages: 50 by default, at most 500."""

    page_maximum = 500


class ListMessages(PageOfMessages):
    """Messages of one chat; none for an unknown chat."""

    chat_id: Id

    @classmethod
    def size(cls, raw: dict[str, Any]) -> int:
        return INT32 if raw.get("limit") == ALL else super().size(raw)

    @classmethod
    def size_rule(cls) -> str:
        return f"{super().size_rule()} `{ALL}` returns all messages, which is the default without limit and offset."


graph(
    Message,
    gate=Action.READ,
    scope="chats:read",
    visible=EVERYONE,
    chat=one(Chat, "chat_id"),
    agent=one(Agent, "agent_id"),
    author=one(User, "author_user_id"),
    run=one(Run, "run_id"),
)


def _asked(run: Any, message: Any) -> Any:
    """The message of a user that started the run: the one that its number names, if no agent passed the work on."""
    place = (message.chat_id == run.chat_id, message.seq == run.message_seq)
    return and_(*place, message.run_id == run.id, message.role == constant(MessageRole.user))


extend(Run, message=one(Message, on=_asked))
extend(Chat, messages=many(Message, "chat_id", order_by=oldest_first, input=PageOfMessages))


@query("chats.messages", Action.READ, tenancy=Entity(Chat, "chat_id", lenient=True))
def list_messages(scope: QueryScope, data: ListMessages) -> Page[Message]:
    """List messages of a chat.

    Oldest first.
    """
    return scope.select(Message).where(col(Message.chat_id) == data.chat_id).order_by(*oldest_first).page(data)
