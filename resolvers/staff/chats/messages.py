"""Messages of chats."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from sqlalchemy import and_, case, func, select
from sqlmodel import col

from models.people.auth import User
from models.staff.agents import Agent
from models.staff.chats import Chat, Message, MessageRole
from models.staff.runs import Run
from resolvers.kernel import (
    EVERYONE,
    GRAPHQL_ONLY,
    Action,
    Entity,
    Filter,
    Id,
    Int,
    Order,
    Otherwise,
    Page,
    Paging,
    QueryScope,
    Text,
    constant,
    contains,
    derived,
    extend,
    graph,
    many,
    one,
    query,
)
from resolvers.kernel.ground.inputs import INT32

oldest_first = (col(Message.seq), col(Message.id))
ALL = "all"
LOOKED_AT = 20_000
"""The newest messages of a chat, which a search looks at."""
SHORT = 64 << 10
"""Bytes of parts, as they are stored, up to which a turn is shown whole."""
NEWEST_PARTS = 12
"""Parts at the end of a longer turn, which are shown first."""


class MessageSort(StrEnum):
    """The order of messages that are found."""

    newest = "newest"
    oldest = "oldest"


ORDERS = {MessageSort.newest: (col(Message.seq).desc(), col(Message.id).desc()), MessageSort.oldest: oldest_first}


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


class FindMessages(Paging):
    """Filters are combined with AND. `search` matches a part of the content, ignoring the case of ASCII letters, among
    the newest 20,000 messages of the chat. `from_seq` and `until_seq` are inclusive.
    """

    page_maximum: ClassVar[int] = 100

    chat_id: Id
    search: Annotated[Text | None, Filter(contains(Message.content))] = None
    from_seq: Annotated[Int | None, Filter(lambda value: col(Message.seq) >= value.clause, bounds=True)] = None
    until_seq: Annotated[Int | None, Filter(lambda value: col(Message.seq) <= value.clause, bounds=True)] = None
    sort: Annotated[MessageSort, Otherwise(MessageSort.newest), Order(ORDERS)] = MessageSort.newest


def _number_of(parts: Any) -> Any:
    """Parts are an array, or null; some old rows have other JSON."""
    return case((func.jsonb_typeof(parts) == constant("array"), func.jsonb_array_length(parts)), else_=constant(0))


def _newest_parts(message: Any, _: Any) -> Any:
    """The size is that of the compressed value, so a small one is never unpacked to be measured."""
    place = constant(f"lax $[last - {NEWEST_PARTS - 1} to last]", as_="jsonpath")
    newest = func.jsonb_path_query_array(message.parts, place)
    return case((func.pg_column_size(message.parts) > constant(SHORT), newest), else_=message.parts)


graph(
    Message,
    gate=Action.READ,
    scope="chats:read",
    visible=EVERYONE,
    chat=one(Chat, "chat_id"),
    agent=one(Agent, "agent_id"),
    author=one(User, "author_user_id"),
    run=one(Run, "run_id"),
    part_count=derived(int, lambda message, _: _number_of(message.parts)),
    newest_parts=derived(list[Any] | None, _newest_parts),
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


@query(
    "chats.find_messages",
    Action.READ,
    tenancy=Entity(Chat, "chat_id", lenient=True),
    surfaces=GRAPHQL_ONLY,
    tickets=False,
)
def find_messages(scope: QueryScope, data: FindMessages) -> Page[Message]:
    """List messages of a chat by their words or numbers.

    Newest first, unless `sort` says otherwise. None for an unknown chat.
    """
    rows = scope.select(Message).where(col(Message.chat_id) == data.chat_id).matching(data)
    if data.search is not None:
        sought: Any = data.search
        chat = scope.table(Chat)
        newest = scope.scalar(select(chat.c.last_message_seq).where(chat.c.id == data.chat_id))
        # one comparison: an index begins there
        begin = case((sought.clause.is_(None), constant(0)), else_=newest - constant(LOOKED_AT))
        rows = rows.where(col(Message.seq) > begin)
    return rows.page(data)
