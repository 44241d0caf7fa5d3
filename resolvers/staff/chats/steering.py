"""Words for an agent that it reads with its next turn."""

from typing import Annotated, Any, cast

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models import bounds
from models.staff.chats import Chat, Message, MessageRole
from models.staff.runs import Run, RunStatus
from resolvers.kernel import Action, Change, Code, Context, Entity, Event, Id, Input, Output, Refusal, command, plus
from resolvers.rules.content_scan import scan


def _trimmed(text: str) -> str:
    trimmed = text.strip()
    if not trimmed:
        raise PydanticCustomError("blank", "must not be blank")
    return trimmed


class SteerChat(Input):
    """Leading and trailing whitespace of the message is removed."""

    chat_id: Id
    message: Annotated[str, Field(strict=True, max_length=bounds.STEER), AfterValidator(_trimmed)]


class Steered(Output):
    """The message is queued for the agent's next turn. `in_flight`: a run was active when the message arrived; it is
    not interrupted.
    """

    queued: bool = True
    in_flight: bool


class SteeringQueued(Event, type="steering_queued", channel="session:{chat_id}"):
    """A message for the agent's next turn was stored in this chat."""

    chat_id: str
    in_flight: bool
    content: str


@command(
    "chats.steer",
    Action.PARTICIPATE,
    audit="message.sent",
    tenancy=Entity(Chat, "chat_id"),
    emits=SteeringQueued,
    errors=(Code.NOT_FOUND, Code.UNPROCESSABLE),
    tickets=True,
)
async def steer_chat(ctx: Context, data: SteerChat) -> Steered:
    """Queue a message for the next turn of an agent.

    The agent reads it in its next turn. No run is started or interrupted.
    """
    if scan(data.message) is not None:
        raise Refusal(Code.UNPROCESSABLE, "The message was refused", reason="content_refused")
    in_flight = await ctx.select(Run, col(Run.chat_id) == data.chat_id, col(Run.status) == RunStatus.RUNNING).exists()
    note = {"kind": "queued_steer", "in_flight": in_flight}
    message = Message(
        chat_id=data.chat_id,
        seq=cast(Any, col(Chat.last_message_seq)),
        role=MessageRole.user,
        content=data.message,
        data=note,
    )
    await ctx.insert(message, change=Change(Chat, data.chat_id, last_message_seq=plus(1)))
    ctx.emit(SteeringQueued(chat_id=data.chat_id, in_flight=in_flight, content=data.message))
    return Steered(in_flight=in_flight)
