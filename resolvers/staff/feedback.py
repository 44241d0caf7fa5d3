"""Feedback: a user's opinion of an answer, stored in the workspace of the answer."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import select
from sqlmodel import col

from models.people.workspaces import Workspace
from models.staff.chats import Chat
from models.staff.feedback import LONGEST_ID, LONGEST_REASON, FeedbackSignal, MessageFeedback
from resolvers.kernel import (
    TRIMMED,
    Action,
    Code,
    Context,
    Domain,
    Entity,
    Input,
    QueryScope,
    Rows,
    Success,
    Tenancy,
    command,
    forbidden,
    graph,
    query,
)
from resolvers.people.workspaces.workspaces import joined_last, workspaces_of

DOMAIN = Domain("feedback", scopes="chats")

TAKEN = "message_feedback_user_id_message_id_signal_key"
MOST = 1_000
CHAT = Entity(Chat, "chat_id")

graph(MessageFeedback, gate=Action.SELF, scope="chats:read", visible=lambda row, scope: row.user_id == scope.user_id)


def _named(raw: Any) -> Any:
    """A text without the blanks around it; one that is blank names nothing."""
    return raw.strip() or None if isinstance(raw, str) else raw


FreeId = Annotated[str, Field(strict=True, max_length=LONGEST_ID)]
MessageId = Annotated[str, TRIMMED, Field(strict=True, min_length=1, max_length=LONGEST_ID)]
Signal = Annotated[FeedbackSignal, TRIMMED]
Named = Annotated[FreeId | None, BeforeValidator(_named)]


class OfSignal(Input):
    """`message_id` is the id of a message or a turn, as the client received it."""

    message_id: MessageId
    signal: Signal

    @model_validator(mode="before")
    @classmethod
    def _choices_are_told(cls, raw: Any) -> Any:
        """Lists the choices also if the signal is absent (contract: feedback.create)."""
        return {"signal": "", **raw} if isinstance(raw, dict) else raw


class CreateFeedback(OfSignal):
    """Without `reason`, the reason is cleared; without `chat_id` or `trace_id`, the stored ones are kept."""

    chat_id: Named = None
    trace_id: Named = None
    reason: Annotated[str, Field(strict=True, max_length=LONGEST_REASON)] = ""


class ListFeedback(Input):
    """`trace_id` is ignored if `message_id` is sent."""

    message_id: Named = None
    trace_id: Named = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "ListFeedback":
        if self.message_id is None and self.trace_id is None:
            raise PydanticCustomError("nothing_named", "message_id or trace_id is required")
        return self


@query("feedback.list", Action.SELF, tenancy=Tenancy.NONE)
def list_feedback(scope: QueryScope, data: ListFeedback) -> Rows[MessageFeedback]:
    """List own feedback.

    Lists the caller's feedback on a message or a trace, newest first, at most 1000, in workspaces that the
    caller belongs to.
    """
    named = (
        col(MessageFeedback.trace_id) == data.trace_id
        if data.message_id is None
        else col(MessageFeedback.message_id) == data.message_id
    )
    live = scope.table(Workspace)
    here = col(MessageFeedback.workspace_id).in_(select(live.c.id).where(live.c.id.in_(workspaces_of(scope.user_id))))
    newest = (col(MessageFeedback.created_at).desc(), col(MessageFeedback.id).desc())
    return scope.select(MessageFeedback).where(named, here).order_by(*newest).limit(MOST)


@command(
    "feedback.create",
    Action.SELF,
    tenancy=Tenancy.NONE,
    errors=(Code.NOT_FOUND, Code.FORBIDDEN),
    again=TAKEN,
)
async def create_feedback(ctx: Context, data: CreateFeedback) -> MessageFeedback:
    """Create feedback on an answer.

    There is one entry per message and signal; repeating it replaces the reason. It is stored in the chat's
    workspace, or, without a chat, in the workspace that the caller joined last.
    """
    workspace_id = None if data.chat_id is None else await ctx.place_of(CHAT, data.chat_id)
    given = {name: value for name in ("chat_id", "trace_id") if (value := getattr(data, name)) is not None}
    given["reason"] = data.reason or None
    same = (col(MessageFeedback.message_id) == data.message_id, col(MessageFeedback.signal) == data.signal)
    known = await ctx.select(MessageFeedback, col(MessageFeedback.user_id) == ctx.user_id, *same).locked().first()
    if known is None or known.chat_id is None:
        given["workspace_id"] = workspace_id or await _own_workspace(ctx)
    elif workspace_id is not None:
        given["workspace_id"] = workspace_id
    if known is not None:
        return await ctx.edit(known, **given)
    return await ctx.insert(
        MessageFeedback(user_id=ctx.user_id, message_id=data.message_id, signal=data.signal, **given)
    )


@command("feedback.delete", Action.SELF, tenancy=Tenancy.NONE)
async def delete_feedback(ctx: Context, data: OfSignal) -> Success:
    """Delete own feedback.

    Idempotent.
    """
    same = (col(MessageFeedback.message_id) == data.message_id, col(MessageFeedback.signal) == data.signal)
    await ctx.delete_where(MessageFeedback, col(MessageFeedback.user_id) == ctx.user_id, *same)
    return Success()


async def _own_workspace(ctx: Context) -> str:
    workspace = await joined_last(ctx)
    if workspace is None:
        raise forbidden("You are not a member of a workspace")
    return workspace.id
