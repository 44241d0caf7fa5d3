"""stdio MCP servers, by the official client: a conversation line by line with a program, for one request.

The caller chooses where the program runs. Its output is untrusted: it is counted line by line, and lines that are not
protocol messages are ignored.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")
LARGEST: Final = 4 << 20
"""Bytes of all that a program prints for one question."""
MOST_LINES: Final = 2_000
LONGEST_SAID: Final = 2_000
"""The most characters of a fault, which may contain a secret."""
SHOWN: Final = 300


class Line(Protocol):
    """A program's input and output, as bytes."""

    async def read(self) -> bytes:
        """The program's next output; empty when it has ended."""

    async def write(self, sent: bytes) -> None:
        """Waits while the program reads nothing."""

    @property
    def end(self) -> str:
        """The program's end, and its error output."""


@dataclass(frozen=True, slots=True)
class McpProgram:
    """`start`: anew for each question; ended with the block, and all that it has started."""

    start: Callable[[], AbstractAsyncContextManager[Line]]


class McpFailed(Exception):
    """The server could not be called, or its answer violates the protocol. The text contains no secret and may be
    shown.
    """

    def __init__(self, text: str, *, timed_out: bool = False) -> None:
        super().__init__(text)
        self.timed_out = timed_out

    def told(self, redact: Callable[[str], str]) -> str:
        """The text for users: redacted first and then truncated, so that no part of a secret remains."""
        return redact(str(self))[:SHOWN]


async def ask_program(
    mcp: Any, program: McpProgram, body: Callable[[Any], Awaitable[T]], seconds: float, *, mode: str = "auto"
) -> T:
    """Runs in a task of its own, which ends with the first fault, because the client's own tasks do not report one.
    `mode`: how a session begins, with `initialize` alone if it is `legacy`.
    """
    fault: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(_session(mcp, program, body, fault, mode))
    try:
        either: set[asyncio.Future[Any]] = {task, fault}
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done() and task.exception() is None:
            return task.result()
        if fault.done():
            raise McpFailed(fault.result())
        if not task.done():
            raise McpFailed(f"The server did not answer within {seconds:g} seconds", timed_out=True)
        raise _failed(task.exception(), mcp)
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()


def _failed(error: BaseException | None, mcp: Any) -> McpFailed:
    for each in _all(error):
        if isinstance(each, McpFailed):
            return each
        if isinstance(each, mcp.MCPError):
            return McpFailed(f"The server says: {str(each)[:LONGEST_SAID]}")
    return McpFailed("The server violates the MCP protocol")


def _all(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [found for each in error.exceptions for found in _all(each)]
    return [] if error is None else [error]


async def _session(
    mcp: Any, program: McpProgram, body: Callable[[Any], Awaitable[T]], fault: "asyncio.Future[str]", mode: str
) -> T:
    info = mcp.Implementation(name="crewship", version="1.0.0")
    async with contextlib.AsyncExitStack() as stack:
        line = await stack.enter_async_context(program.start())
        transport = _transport(mcp, line, fault)
        client = await stack.enter_async_context(mcp.Client(transport, client_info=info, cache=None, mode=mode))
        return await body(client)


@contextlib.asynccontextmanager
async def _transport(mcp: Any, line: Line, fault: "asyncio.Future[str]") -> AsyncIterator[Any]:
    heard, hears = mcp.memory_stream(0)
    says, said = mcp.memory_stream(0)
    tasks = [asyncio.create_task(_hear(mcp, line, heard, fault)), asyncio.create_task(_say(line, said))]
    try:
        yield hears, says
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in (heard, hears, says, said):
            stream.close()


async def _hear(mcp: Any, line: Line, heard: Any, fault: "asyncio.Future[str]") -> None:
    with contextlib.suppress(mcp.Closed):
        why = await _messages(mcp, line, heard)
        if not fault.done():
            fault.set_result(why)


async def _messages(mcp: Any, line: Line, heard: Any) -> str:
    """Passes messages on, and returns the reason for their end."""
    rest, size, lines = b"", 0, 0
    while piece := await line.read():
        size += len(piece)
        if size > LARGEST:
            return f"The server's answers are longer than {LARGEST >> 20} MiB"
        *whole, rest = (rest + piece).split(b"\n") if b"\n" in piece else (rest + piece,)
        for one in whole:
            lines += 1
            if lines > MOST_LINES:
                return f"The server printed more than {MOST_LINES} lines"
            if (message := mcp.message_of(one)) is not None:
                await heard.send(message)
    return f"The server has ended: {line.end}"


async def _say(line: Line, said: Any) -> None:
    async for message in said:
        text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
        await line.write(text.encode(errors="replace") + b"\n")
