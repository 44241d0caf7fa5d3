"""Reactions of users to messages: emoji."""

from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import func, select
from sqlmodel import col

from models import bounds
from models.staff.chats import Chat, Message, MessageReaction
from resolvers.kernel import (
    EVERYONE,
    Action,
    Code,
    Context,
    Entity,
    Event,
    Id,
    Input,
    QueryScope,
    Refusal,
    Rows,
    Success,
    View,
    command,
    constant,
    extend,
    graph,
    query,
    reads,
    written,
)

MOST_EMOJI = 50
"""Different ones of one message."""
FULL = f"A message can have at most {MOST_EMOJI} different reactions"
CHAT = Entity(Chat, "chat_id")

# Unicode Technical Standard 51, 1.4.9, as far as it says what a sequence of emoji is; a flag of a region is two
# indicators. A digit by itself is an emoji to Unicode, and none to people.
_BASE = r"(?:(?![0-9#*\p{Regional_Indicator}\p{Emoji_Modifier}])\p{Emoji})"
_ELEMENT = (
    rf"(?:{_BASE}(?:\p{{Emoji_Modifier}}|\uFE0F\u20E3?)?(?:[\U000E0020-\U000E007E]+\U000E007F)?"
    r"|[0-9#*]\uFE0F?\u20E3|\p{Regional_Indicator}{2})"
)
EMOJI = rf"{_ELEMENT}(?:\u200D?{_ELEMENT})*"


@cache
def _sequence() -> Any:
    """Compiled on first use: `re` does not know properties of Unicode, and a start does not need this."""
    import regex

    return regex.compile(EMOJI)


def _emoji(text: str) -> str:
    if _sequence().fullmatch(text) is None:
        raise PydanticCustomError("emoji", f"must be 1 to {bounds.EMOJI} code points of emoji")
    return text


Emoji = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.EMOJI), AfterValidator(_emoji)]


class OfMessage(Input):
    """A message of a chat. Its id is not checked."""

    chat_id: Id
    message_id: Id


class AddReaction(OfMessage):
    """`emoji` is one or several emoji of 1 to 8 code points in total."""

    emoji: Emoji


class RemoveReaction(OfMessage):
    """Text other than an emoji matches no reaction."""

    emoji: Annotated[str, Field(strict=True, max_length=bounds.LINE)]


class ReactionCount(View):
    """The number of people who reacted to a message with an emoji, and whether the caller is one of them."""

    emoji: str
    count: int
    mine: bool


class ReactionAdded(Event, type="reaction.added", channel="session:{chat_id}"):
    """A user has reacted to a message. Not sent again for the same reaction."""

    chat_id: str
    message_id: str
    emoji: str
    user_id: str


class ReactionRemoved(Event, type="reaction.removed", channel="session:{chat_id}"):
    """A user has taken back a reaction. Not sent if there was none."""

    chat_id: str
    message_id: str
    emoji: str
    user_id: str


def _counted(reactions: Any, conditions: Any, scope: Any) -> Any:
    mine = func.coalesce(func.bool_or(reactions.c.user_id == scope.user_id), constant(False))
    columns = [reactions.c.emoji.collate("C").label("emoji"), func.count().label("count"), mine.label("mine")]
    return select(*columns).where(*conditions).group_by(reactions.c.emoji)


def _of_message(message: Any, scope: Any) -> Any:
    reactions, own = scope.beside(MessageReaction, message)
    same = (reactions.c.chat_id == message.chat_id, reactions.c.message_id == message.id)
    return _counted(reactions, (*own, *same), scope)


MOST_OFTEN = ("-count", "emoji")

graph(MessageReaction, gate=Action.READ, scope="chats:read", visible=EVERYONE)
graph(ReactionCount, gate=Action.READ, scope="chats:read", visible=EVERYONE)
extend(Success, message=written(Message))
extend(Message, reactions=reads(ReactionCount, _of_message, order_by=MOST_OFTEN))


@query("chats.reactions_list", Action.READ, tenancy=CHAT, errors=(Code.NOT_FOUND,))
def list_reactions(scope: QueryScope, data: OfMessage) -> Rows[ReactionCount]:
    """List reactions to a message.

    Sorted by use, most used first, then by code point; empty for an unknown message.
    """
    reactions = scope.table(MessageReaction)
    same = (reactions.c.chat_id == data.chat_id, reactions.c.message_id == data.message_id)
    return scope.view(ReactionCount, _counted(reactions, same, scope)).order_by(*MOST_OFTEN)


@command(
    "chats.reactions_add",
    Action.PARTICIPATE,
    audit="message_reaction.added",
    tenancy=CHAT,
    emits=ReactionAdded,
    errors=(Code.NOT_FOUND,),
)
async def add_reaction(ctx: Context, data: AddReaction) -> Success:
    """Add a reaction to a message.

    Idempotent. A message has at most 50 different reactions.
    """
    ctx.shows(Message, data.message_id)
    # two callers may not both take the last place
    await ctx.lock(f"reactions of {ctx.workspace_id}/{data.chat_id}/{data.message_id}")
    reaction = ctx.table(MessageReaction).c
    own = func.bool_or(reaction.user_id == ctx.user_id)
    found = await ctx.report(
        select(reaction.emoji, own)
        .where(reaction.chat_id == data.chat_id, reaction.message_id == data.message_id)
        .group_by(reaction.emoji)
    )
    known = dict[str, bool](found)
    if known.get(data.emoji):
        return Success()
    if data.emoji not in known and len(known) >= MOST_EMOJI:
        raise Refusal(Code.BAD_REQUEST, FULL)
    named = data.model_dump() | {"user_id": ctx.user_id}
    await ctx.insert(MessageReaction(**named))
    ctx.emit(ReactionAdded(**named))
    return Success()


@command(
    "chats.reactions_remove",
    Action.PARTICIPATE,
    audit="message_reaction.removed",
    tenancy=CHAT,
    emits=ReactionRemoved,
    errors=(Code.NOT_FOUND,),
)
async def remove_reaction(ctx: Context, data: RemoveReaction) -> Success:
    """Remove the caller's reaction.

    Idempotent.
    """
    ctx.shows(Message, data.message_id)
    named = data.model_dump() | {"user_id": ctx.user_id}
    same = [col(getattr(MessageReaction, name)) == value for name, value in named.items()]
    if await ctx.delete_where(MessageReaction, *same):
        ctx.emit(ReactionRemoved(**named))
    return Success()
