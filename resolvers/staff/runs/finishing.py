"""The end of a run by its worker: the stored turn, the last frames, and the run's own end (contract: chats.behaviour
19-23).
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from models import bounds
from models.staff.chats import Chat, Message, MessageRole
from models.staff.runs import BY_WEBHOOK, ChatEventType, Run, RunStatus
from resolvers.attention.inbox.events import InboxChatReplied
from resolvers.attention.reply_notices import notify_of_reply
from resolvers.kernel import (
    ENDS,
    NOW,
    Action,
    Bool,
    Code,
    ConfigText,
    Context,
    Description,
    Id,
    Input,
    Int,
    Notes,
    Output,
    Refusal,
    Text,
    command,
    plus,
    within,
)
from resolvers.kernel.writing.reports import Lock, first_with
from resolvers.resources.costs.events import ALARMS
from resolvers.resources.costs.reserving import raise_alarms
from resolvers.staff.runs.events import RUN_ENDS, ChatEvent
from resolvers.staff.runs.frames import Frame, append_frames, chat_event
from resolvers.staff.runs.lifecycle import MISSING, End, end_locked
from resolvers.staff.runs.passing_on import pass_on, turns_of
from resolvers.staff.runs.session import note_session

NO_OUTPUT = "The agent ended without output"
SERVER_RESTART = (
    "The server restarted before the agent had finished; send the message again if its answer is still needed"
)
GENERAL = "The run failed"
TAKEN_OVER = "Another worker has taken over the run"

Reply = Annotated[str, Field(strict=True, max_length=bounds.REPLY)]
Reason = Literal["no_output", "server_restart"]
RuntimeErrorCode = Literal["image_missing", "resource_limit", "provision_failed"]


class Said(Input):
    """The reply as it is stored (contract: chats.Message)."""

    most_values = 1_000_000

    content: Reply
    parts: Annotated[list[dict[str, Any]], within(bounds.TURN), ENDS]
    tool_summary: Description | None = None


class FinishRun(Input):
    """`lease` is the number under which the worker holds the run; `chat_id` spares a look at it. `reason` distinguishes
    ends of the same status. `code`: why the container that the agent works in does not run.

    `budgeted`: the workspace has budgets, whose limits the run may have reached.
    """

    most_values = 1_000_000

    id: Id
    chat_id: Id | None = None
    lease: Int
    status: Annotated[RunStatus, Field(description="Any status except RUNNING.")]
    reason: Reason | None = None
    code: RuntimeErrorCode | None = None
    error_message: ConfigText | None = None
    exit_code: Int | None = None
    model: Text | None = None
    data: Notes = Field(default_factory=dict)
    reply: Said | None = None
    budgeted: Bool = False


class RunEnd(Output):
    """The end of the run: recorded by this call, or by an earlier one."""

    id: str
    status: RunStatus


@command(
    "runs.finish",
    Action.UPDATE,
    emits=(*RUN_ENDS, ChatEvent, InboxChatReplied, *ALARMS),
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    surfaces=frozenset(),
)
async def finish_run(ctx: Context, data: FinishRun) -> RunEnd:
    """Finish a run.

    For the worker that holds it: stores the results of the turn, and publishes them.
    """
    chat_id = data.chat_id or (await ctx.get(Run, data.id, missing=MISSING)).chat_id
    chat = None if chat_id is None else await first_with(ctx, Chat, id=chat_id, lock=Lock.update)
    run = await ctx.get(Run, data.id, lock=True, missing=MISSING)
    if run.status != RunStatus.RUNNING:
        if run.lease == data.lease and run.worker is not None:  # ended elsewhere: no worker holds it any more
            await ctx.update(Run, run.id, leased_until=NOW)
        return RunEnd(id=run.id, status=run.status)
    if run.lease != data.lease:
        raise Refusal(Code.CONFLICT, TAKEN_OVER)
    if run.chat_id != chat_id:
        raise Refusal(Code.CONFLICT, "The run belongs to another chat")
    if chat is not None:
        await _close_turn(ctx, chat, run, data)
    reply = None if data.reply is None else data.reply.content
    end = End(data.status, data.error_message, data.exit_code, data.data, data.model, reply)
    ended = await end_locked(ctx, run, end)
    note_session(ctx, run, data.data)
    if chat is not None:
        pass_on(ctx, chat, ended, reply)
    if data.budgeted:
        await raise_alarms(ctx, ended)
    return RunEnd(id=ended.id, status=ended.status)


async def _close_turn(ctx: Context, chat: Chat, run: Run, data: FinishRun) -> None:
    # the chat of an agent's webhooks has no messages: a run's text is in its frames
    message, counted = (None, 0) if run.trigger_type == BY_WEBHOOK else _message(chat, run, data)
    if counted and turns_of(run)[0] > 1:  # the user's message was counted with the first turn
        counted -= 1
    changes: dict[str, Any] = {"message_count": plus(counted)} if counted else {}
    if message is not None:
        ctx.record(message)
        changes |= {"last_activity_at": NOW, "last_message_seq": message.seq}
    await append_frames(ctx, chat, run, *_last_frames(data), **changes)
    if message is not None and data.status == RunStatus.COMPLETED:
        await notify_of_reply(ctx, chat, message)
    if data.reason == "server_restart":
        metadata = {"reason": data.reason, "run_id": run.id}
        ctx.emit(ChatEvent(chat_id=chat.id, type=ChatEventType.error, content=SERVER_RESTART, metadata=metadata))


def _message(chat: Chat, run: Run, data: FinishRun) -> tuple[Message | None, int]:
    """The stored message of the turn, and the increase of the chat's message count, which includes the user's
    message.
    """
    of: dict[str, Any] = {"chat_id": chat.id, "seq": chat.last_message_seq + 1, "agent_id": run.agent_id}
    of["run_id"] = run.id
    if data.reason == "server_restart":
        return Message(id=f"msg_recovery_{run.id}", **_error(SERVER_RESTART), **of), 1
    if data.reason == "no_output":
        return Message(**_error(NO_OUTPUT), **of), 2
    if data.status not in (RunStatus.COMPLETED, RunStatus.CANCELLED):
        return None, 0
    if data.reply is None or not data.reply.parts:
        return None, 1
    said = data.reply
    return Message(
        role=MessageRole.assistant, content=said.content, parts=said.parts, tool_summary=said.tool_summary, **of
    ), 2


def _error(text: str) -> dict[str, Any]:
    return {"role": MessageRole.system, "content": text, "parts": [{"type": "error", "content": text}]}


def _last_frames(data: FinishRun) -> list[Frame]:
    """A failure is preceded by its text (contract: websocket.chat_stream.rules); a turn ends in done."""
    done = chat_event(ChatEventType.done)
    if data.reason == "no_output":
        return [chat_event(ChatEventType.error, NO_OUTPUT, reason=data.reason), done]
    if data.status in (RunStatus.FAILED, RunStatus.TIMEOUT):
        more = {"code": data.code} if data.code else {}
        return [
            chat_event(ChatEventType.error, data.error_message or GENERAL, **more),
            chat_event(ChatEventType.error, GENERAL),
            done,
        ]
    return [done]
