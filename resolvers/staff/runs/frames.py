"""Frames of a chat that operations write: at the beginning of a turn, and at an end without a worker (contract:
websocket.chat_stream).
"""

from typing import Any, NamedTuple

from models.staff.chats import Chat
from models.staff.runs import OUTPUT, ChatEventType, Run, RunFrame
from resolvers.kernel import Context, Topic


class Frame(NamedTuple):
    """The type and payload of a frame that has no number yet."""

    type: str
    payload: dict[str, Any]


def run_begin(chat: Chat, **whose: str) -> Frame:
    """`whose`: the agent, if a chat has several."""
    return Frame("run_begin", {"from_seq": chat.last_seq} | whose)


def chat_event(type: ChatEventType, content: str = "", **metadata: Any) -> Frame:
    return Frame("chat_event", {"type": type.value, "content": content} | ({"metadata": metadata} if metadata else {}))


async def append_frames(ctx: Context, chat: Chat, run: Run | None, *frames: Frame, **changes: Any) -> int:
    """Numbers the frames from the newest of the locked chat on; returns the last number. `changes`: the chat's."""
    rows = list[RunFrame]()
    for number, frame in enumerate(frames, chat.last_seq + 1):
        logged = run.agent_id if run is not None and frame.payload.get("type") in OUTPUT else None
        run_id = None if run is None else run.id
        rows.append(
            RunFrame(
                chat_id=chat.id, seq=number, run_id=run_id, agent_id=logged, type=frame.type, payload=frame.payload
            )
        )
    ctx.record(*rows)
    last = chat.last_seq + len(frames)
    await ctx.update(Chat, chat.id, last_seq=last, **changes)
    ctx.ring(Topic.frames, f"{chat.workspace_id}/{chat.id}")
    return last
