"""GraphQL: search in messages of chats."""

from datetime import datetime

import strawberry

from resolvers.staff import conversations as conversation_ops
from schema.bridge.fields import node, query


@node(conversation_ops.SearchHit)
class SearchHitType:
    """A matching message."""

    fields = "id message_id chat_id agent_id role content tool_summary highlight created_at rank"
    id = strawberry.field(deprecation_reason="A message is a hit of several searches. Use `messageId`.")
    highlight = strawberry.field(description="The text around the match, marked by `**`.")
    created_at: datetime
    rank = strawberry.field(description="The rank of the match.")


@strawberry.type
class ConversationQuery:
    search_conversations = query(conversation_ops.search_conversations, SearchHitType)
