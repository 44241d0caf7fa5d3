"""REST: what was said in chats, found by its words."""

from datetime import datetime
from typing import Annotated

from models.staff.chats import MessageRole
from resolvers.staff import conversations
from rest_compat.http.envelopes import SHOWN, Envelope, FromInput
from rest_compat.http.table import POST, Absent, From, Wire


class SearchHitJSON(Wire, of=conversations.SearchHit):
    id: str
    session_id: Annotated[str, From("chat_id")]
    agent_id: str
    role: MessageRole
    content: str
    tool_summary: Annotated[str | None, Absent()]
    ts: Annotated[datetime, From("created_at")]


class SearchResultJSON(Envelope):
    hits: list[SearchHitJSON]
    query: Annotated[str, FromInput()]
    count: Annotated[int, SHOWN]


ROUTES = (POST("/api/v1/conversations/search", conversations.search_conversations, SearchResultJSON),)
