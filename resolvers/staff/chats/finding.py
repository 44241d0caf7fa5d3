"""Chats found by their words, their agent, and what is unread: filters that the contract's route does not have."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import and_, func, not_, or_, select
from sqlmodel import col

from models.base import table_of
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatReadCursor, Message, MessageRole
from resolvers.kernel import (
    GRAPHQL_ONLY,
    Action,
    Bool,
    Filter,
    Id,
    Page,
    Paging,
    QueryScope,
    Text,
    constant,
    contains,
    query,
)
from resolvers.staff.chats.listing import lately_changed

ONE: Any = constant(1)
LOOKED_AT = 1_000
"""The chats of a workspace that changed last, among which unread ones are found."""
EVER: Any = constant(datetime(1970, 1, 1, tzinfo=UTC))


def _of_agent(column: str) -> Any:
    """A column of the chat's agent, deleted or not: a scalar, for which PostgreSQL never reads all agents first."""
    agent = table_of(Agent).alias().c
    own = (agent.workspace_id == col(Chat.workspace_id), agent.id == col(Chat.agent_id))
    return select(agent[column]).where(*own).correlate(table_of(Chat)).scalar_subquery()


def _says(value: Any) -> Any:
    return or_(contains(Chat.title)(value), contains(_of_agent("name"))(value))


def _of_crew(value: Any) -> Any:
    return _of_agent("crew_id") == value.clause


class FindChats(Paging):
    """Filters are combined with AND. `search` matches a part of the title or of the agent's name, ignoring the case of
    ASCII letters. `unread`: chats with, or without, messages of others after the caller's read mark; true looks at the
    1,000 chats that changed last.
    """

    page_maximum: ClassVar[int] = 100

    agent_id: Annotated[Id | None, Filter(Chat.agent_id, leads=True)] = None
    crew_id: Annotated[Id | None, Filter(_of_crew)] = None
    search: Annotated[Text | None, Filter(_says)] = None
    unread: Bool | None = None


def _is_unread(scope: QueryScope) -> Any:
    """Looks at the messages of a chat only if any of them is behind the mark, which few chats have: a scalar, for which
    PostgreSQL never reads the messages of all chats first.
    """
    chats = table_of(Chat)
    chat: Any = chats.c
    mark, message = table_of(ChatReadCursor).alias().c, table_of(Message).alias().c
    own = (mark.workspace_id == chat.workspace_id, mark.chat_id == chat.id, mark.user_id == scope.user_id)
    read = select(mark.last_read_seq).where(*own).correlate(chats).scalar_subquery()
    since = select(func.coalesce(read, constant(0))).correlate(chats).scalar_subquery()
    by_another = or_(message.role != constant(MessageRole.user), message.author_user_id != scope.user_id)
    of_chat = (message.workspace_id == chat.workspace_id, message.chat_id == chat.id)
    behind = select(ONE).where(*of_chat, message.seq > since, by_another).correlate(chats).limit(ONE).scalar_subquery()
    return and_(chat.last_message_seq > since, func.coalesce(behind, constant(0)) == ONE)


@query("chats.find", Action.READ, surfaces=GRAPHQL_ONLY, tickets=False)
def find_chats(scope: QueryScope, data: FindChats) -> Page[Chat]:
    """List chats by words, agent, crew and unread messages.

    Last changed first.
    """
    rows = scope.select(Chat).matching(data)
    if data.unread is not None:
        unread = _is_unread(scope)
        rows = rows.where(unread, col(Chat.updated_at) >= _oldest(scope)) if data.unread else rows.where(not_(unread))
    return rows.order_by(*lately_changed).page(data)


def _oldest(scope: QueryScope) -> Any:
    """When the last of the chats changed that are looked at. A scalar as a whole: no index is read from a COALESCE on,
    because PostgreSQL does not know it as safe to compare before a policy.
    """
    chats = scope.table(Chat)
    changed = select(chats.c.updated_at).order_by(chats.c.updated_at.desc()).offset(constant(LOOKED_AT - 1)).limit(ONE)
    return select(func.coalesce(scope.scalar(changed), EVER)).scalar_subquery()
