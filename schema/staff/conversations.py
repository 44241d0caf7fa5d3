"""GraphQL: what was said in chats, found by its words."""

from datetime import datetime

import strawberry

from models.staff.chats import MessageRole
from resolvers.staff import conversations as conversation_ops
from schema.bridge.fields import node, query


@node(conversation_ops.SearchHit)
class SearchHitType:
    """A message that was found."""

    id: strawberry.ID
    chat_id: strawberry.ID
    agent_id: strawberry.ID
    role: MessageRole
    content: str
    tool_summary: str | None
    highlight: str = strawberry.field(description="The text around the match, which is marked by `**`.")
    created_at: datetime
    rank: float = strawberry.field(description="How well it matches.")


@strawberry.type
class ConversationQuery:
    search_conversations = query(conversation_ops.search_conversations, SearchHitType)
