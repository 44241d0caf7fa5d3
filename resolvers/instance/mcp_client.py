"""The official client of MCP servers, over HTTP on the guarded network or over stdio: lists tools and calls them.

Each request is a session of its own: no fact about a server is assumed to stay true.

See docs/mcp-servers.md.
"""

import asyncio
import functools
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import orjson

from resolvers.errors import Refusal
from resolvers.instance import trace_context
from resolvers.instance.mcp_programs import LONGEST_SAID, McpProgram, ask_program
from resolvers.instance.mcp_programs import McpFailed as McpFailed
from resolvers.instance.outbound import Guarding, Policy, guarded_client

T = TypeVar("T")
LARGEST: Final = 4 << 20
"""Bytes of all answers in one session."""
LIST_SECONDS, CALL_SECONDS = 15.0, 60.0
MOST_PAGES: Final = 20
MOST_LISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class McpServer:
    """The address of a server, and the headers of each request."""

    endpoint: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    policy: Policy = Policy.PUBLIC

    @property
    def by_events(self) -> bool:
        """Returns true if the server speaks the older transport, HTTP with server-sent events: by convention its path
        says so.
        """
        return urlsplit(self.endpoint).path.rstrip("/").endswith("/sse")


@dataclass(frozen=True, slots=True)
class ToolOffered:
    """A tool as its server defines it, unchecked."""

    name: str
    description: str
    schema: dict[str, Any]

    @property
    def fingerprint(self) -> str:
        told = [self.name, self.description, self.schema]
        return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    text: str
    is_error: bool


async def offered(server: McpServer | McpProgram, *, seconds: float = LIST_SECONDS) -> list[ToolOffered]:
    """The tools of a server, of a long list the beginning. Raises McpFailed."""
    return await _ask(server, _list, seconds)


async def introduced(program: McpProgram, *, seconds: float) -> dict[str, Any]:
    """A server's answer to `initialize`. Raises McpFailed."""
    mcp = await asyncio.to_thread(_load)
    return await ask_program(mcp, program, _introduce, seconds, mode="legacy")


async def called(
    server: McpServer | McpProgram, tool: str, arguments: dict[str, Any], *, seconds: float = CALL_SECONDS
) -> ToolAnswer:
    """Raises McpFailed."""
    return await _ask(server, lambda client: _call(client, tool, arguments), seconds)


async def _ask(server: McpServer | McpProgram, body: Callable[[Any], Awaitable[T]], seconds: float) -> T:
    """In a task of its own, which ends with the first refusal: the client's own tasks do not tell of one."""
    mcp = await asyncio.to_thread(_load)
    if isinstance(server, McpProgram):
        return await ask_program(mcp, server, body, seconds)
    headers = {**trace_context.headers(), **server.headers}
    try:
        async with guarded_client(server.policy, seconds=seconds, most=LARGEST, headers=headers) as (
            http,
            guard,
        ):
            task = asyncio.create_task(_session(mcp, server, http, body, seconds))
            try:
                either: set[asyncio.Future[Any]] = {task, guard.refused}
                await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                return _outcome(task, guard, seconds, mcp)
            finally:
                task.cancel()
                await asyncio.wait({task})
                if not task.cancelled():
                    task.exception()
    except Refusal as refusal:  # of headers that cannot be sent
        raise McpFailed(refusal.detail) from None


async def _session(mcp: Any, server: McpServer, http: Any, body: Callable[[Any], Awaitable[T]], seconds: float) -> T:
    if server.by_events:
        transport = mcp.sse_client(server.endpoint, httpx_client_factory=lambda **_: http, sse_read_timeout=seconds)
    else:
        transport = mcp.streamable_http_client(
            server.endpoint, http_client=http, terminate_on_close=False, max_sse_event_size=LARGEST
        )
    info = mcp.Implementation(name="crewship", version="1.0.0")
    async with mcp.Client(transport, client_info=info, cache=None) as client:
        return await body(client)


def _outcome(task: "asyncio.Task[T]", guard: Guarding, seconds: float, mcp: Any) -> T:
    if task.done() and task.exception() is None:
        return task.result()
    if guard.status in (401, 403):
        raise McpFailed("The server requires authentication")
    if guard.refused.done():
        raise McpFailed(guard.refused.result().detail)
    if not task.done():
        raise McpFailed(f"The server did not answer within {seconds:g} seconds", timed_out=True)
    said = _said(task.exception(), mcp)
    raise McpFailed("The server violates the MCP protocol" if said is None else f"The server says: {said}")


def _said(error: BaseException | None, mcp: Any) -> str | None:
    """The error that the server answered with, wherever it is among the exceptions of the client's tasks."""
    if isinstance(error, BaseExceptionGroup):
        return next((said for each in error.exceptions if (said := _said(each, mcp)) is not None), None)
    return str(error)[:LONGEST_SAID] if isinstance(error, mcp.MCPError) else None


async def _introduce(client: Any) -> dict[str, Any]:
    said = client.session.initialize_result
    return said.model_dump(mode="json", by_alias=True, exclude_unset=True)  # type: ignore[no-any-return]


async def _list(client: Any) -> list[ToolOffered]:
    found, cursor, seen = list[ToolOffered](), None, set[str]()
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += [ToolOffered(tool.name, tool.description or "", tool.input_schema) for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None or cursor in seen or len(found) >= MOST_LISTED:
            break
        seen.add(cursor)
    return found[:MOST_LISTED]


async def _call(client: Any, tool: str, arguments: dict[str, Any]) -> ToolAnswer:
    result = await client.call_tool(tool, arguments)
    parts = [_shown(block) for block in result.content]
    if not parts and result.structured_content is not None:
        parts = [orjson.dumps(result.structured_content).decode()]
    return ToolAnswer("\n".join(parts), bool(result.is_error))


def _shown(block: Any) -> str:
    """A block of a result for the model: texts unchanged, other blocks by their kind."""
    if block.type == "text":
        return str(block.text)
    if block.type == "resource" and getattr(block.resource, "text", None) is not None:
        return str(block.resource.text)
    if block.type == "resource_link":
        return f"[A link to a resource: {block.uri}]"
    return f"[Omitted: {block.type}]"


@functools.cache
def _load() -> SimpleNamespace:
    """In a thread: the import takes a second, and a server that has no MCP servers does without."""
    logging.getLogger("mcp").setLevel(logging.CRITICAL)  # McpFailed reports what a server does
    from anyio import BrokenResourceError, ClosedResourceError, create_memory_object_stream
    from mcp import Client
    from mcp.client.sse import sse_client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared.exceptions import MCPError
    from mcp.shared.message import SessionMessage
    from mcp_types import Implementation, jsonrpc_message_adapter

    def message_of(line: bytes) -> Any:
        """None for a line that is not a message, such as a program's text for people."""
        if not line.lstrip().startswith(b"{"):
            return None
        try:
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError:
            return None

    return SimpleNamespace(
        Client=Client,
        Closed=(BrokenResourceError, ClosedResourceError),
        memory_stream=create_memory_object_stream,
        message_of=message_of,
        Implementation=Implementation,
        MCPError=MCPError,
        sse_client=sse_client,
        streamable_http_client=streamable_http_client,
    )
