"""Calls of tools that go on while no process of this service waits for them: on a runner.

Each part is a step: the call is shown, sent, its output is shown piece by piece, and its result. A worker that takes
the run over finds the call by its step and follows it; a part that was shown is not shown again. See docs/runners.md.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypedDict, runtime_checkable

from models.staff.runs import ChatEventType, SystemEvent
from runtime.adapters.conversation import NOTHING, Answer, ToolUse
from runtime.runs.job import Sink


class Piece(TypedDict):
    """The outcome of a step: the number of the piece that was shown, and whether the call has ended."""

    seq: int
    ended: bool


@runtime_checkable
class DetachedTool(Protocol):
    """A tool whose call is named by the step that sends it."""

    def detaches(self, arguments: dict[str, Any]) -> bool:
        """False for a call that the service executes itself."""

    async def send(self, call: str, arguments: dict[str, Any]) -> str:
        """Returns the id of the call: the same for the same step. Raises Failed."""

    async def next(self, id: str, seen: int) -> tuple[int, str, bool]:
        """The number and the text of the next piece of output, and whether the call has ended. Raises Failed for a call
        that has no result.
        """

    async def shown(self, id: str, seq: int) -> None: ...

    async def result(self, id: str) -> tuple[str, bool]: ...

    async def forget(self, id: str) -> None: ...


Kept = Callable[[str, dict[str, Any]], tuple[str, dict[str, Any]]]
"""Redacts and quarantines a result."""


async def answered(sink: Sink, name: str, use: ToolUse, tool: DetachedTool, kept: Kept) -> Answer:
    told = {"tool_name": use["name"], "tool_id": use["id"], "input": use["input"]}
    await sink.step(name, lambda: sink.emit(ChatEventType.tool_call, use["name"], told))
    id = await sink.step(f"{name} sent", lambda: tool.send(name, use["input"]))
    seen = number = 0

    async def piece() -> Piece:
        if seen:
            await tool.shown(id, seen)
        seq, output, ended = await tool.next(id, seen)
        if output:
            of_call = {"subtype": SystemEvent.tool_output.value, "tool_use_id": use["id"]}
            await sink.emit(ChatEventType.system, output, of_call)
        return {"seq": seq, "ended": ended}

    while True:
        number += 1
        part = await sink.step(f"{name} output {number}", piece)
        if part["ended"]:
            break
        seen = part["seq"]

    fresh = False

    async def result() -> Answer:
        nonlocal fresh
        content, is_error = await tool.result(id)
        content, metadata = kept(content, {"tool_use_id": use["id"], **({"is_error": True} if is_error else {})})
        await sink.emit(ChatEventType.tool_result, content, metadata)
        fresh = True
        return {"id": use["id"], "content": content or NOTHING, "is_error": is_error}

    answer = await sink.step(f"{name} result", result)
    if fresh:
        await tool.forget(id)
    return answer
