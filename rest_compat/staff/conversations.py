"""REST: search in messages of chats."""

from datetime import datetime
from typing import Annotated

from resolvers.staff import conversations
from rest_compat.http.envelopes import SHOWN, Envelope, FromInput
from rest_compat.http.table import POST, From, Wire


class SearchHitJSON(Wire, of=conversations.SearchHit):
    fields = "id session_id agent_id role content tool_summary ts"
    absent = "tool_summary"
    session_id: Annotated[str, From("chat_id")]
    ts: Annotated[datetime, From("created_at")]


class SearchResultJSON(Envelope):
    hits: list[SearchHitJSON]
    query: Annotated[str, FromInput()]
    count: Annotated[int, SHOWN]


ROUTES = (POST("/api/v1/conversations/search", conversations.search_conversations, SearchResultJSON),)
