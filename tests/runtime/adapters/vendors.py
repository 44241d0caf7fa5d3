"""Servers that speak as OpenAI and Anthropic do, over HTTP on loopback, and say what a test tells them to.

`Vendor.says` takes the answers in the order they will be asked for. What was asked is in `Vendor.asked`.
"""

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Wire = Literal["openai", "anthropic"]


@dataclass(frozen=True)
class Call:
    """A tool call; `arguments` as the model writes them, in pieces."""

    id: str
    name: str
    arguments: tuple[str, ...] = ("{}",)

    @classmethod
    def of(cls, id: str, name: str, **input: Any) -> "Call":
        text = json.dumps(input)
        return cls(id, name, (text[:3], text[3:]))


@dataclass(frozen=True)
class Says:
    text: tuple[str, ...] = ()
    thinking: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    usage: tuple[int, int, int] | None = (10, 5, 0)  # input, output, read from the cache
    stop: Literal["end", "length", "refused"] = "end"
    pause: float = 0.0  # between pieces
    one_index: bool = False  # every tool call has the same, as some servers like OpenAI's have it


@dataclass(frozen=True)
class Refuses:
    status: int
    type: str = "error"
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Breaks:
    """Part of an answer, and then: the connection is cut, or closed in good order, or an error, or nonsense."""

    text: tuple[str, ...] = ()
    how: Literal["cut", "closed", "overloaded", "nonsense", "wrong types"] = "cut"


class Vendor:
    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.address = ""
        self.reset()

    def reset(self) -> None:
        self.url = self.address
        self.answers: list[Says | Refuses | Breaks] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.gone = asyncio.Event()  # a client has left before the end
        self.silent = False
        self.knows: set[str] | None = None  # keys, where others are refused
        self.plays: Callable[[dict[str, Any]], Says] | None = None  # makes the answer to what is asked

    def says(self, *answers: Says | Refuses | Breaks) -> None:
        self.answers += answers

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1" if self.wire == "openai" else self.url

    async def answer(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        if self.silent:
            await self.gone.wait()
        key = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.knows is not None and key not in self.knows:
            error = {"type": "authentication_error", "message": "no"}
            return JSONResponse({"type": "error", "error": error}, 401)
        answer = self.answers.pop(0) if self.plays is None else self.plays(self.asked[-1])
        if isinstance(answer, Refuses):
            error = {"type": answer.type, "code": answer.type, "message": answer.message}
            return JSONResponse({"type": "error", "error": error}, answer.status, headers=answer.headers)
        if not self.asked[-1].get("stream"):
            return _anthropic_message(answer)
        lines = _openai(answer) if self.wire == "openai" else _anthropic(answer)
        return StreamingResponse(self._paced(lines, answer), media_type="text/event-stream")

    async def _paced(self, lines: list[str], answer: Says | Breaks) -> AsyncIterator[str]:
        try:
            for line in lines:
                yield line
                await asyncio.sleep(answer.pause if isinstance(answer, Says) else 0)
            if isinstance(answer, Breaks) and answer.how == "cut":
                await asyncio.sleep(0.05)
                raise ConnectionAbortedError("told to")
        except (asyncio.CancelledError, GeneratorExit):
            self.gone.set()
            raise


def _data(value: Any, event: str | None = None) -> str:
    return (f"event: {event}\n" if event else "") + f"data: {json.dumps(value)}\n\n"


def _openai_chunk(**more: Any) -> str:
    return _data({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-1", **more})


def _openai_delta(delta: dict[str, Any], finish: str | None = None) -> str:
    return _openai_chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


OPENAI_BREAKS = {
    "overloaded": _data({"error": {"type": "server_error", "message": "too busy"}}),
    "nonsense": "data: {this is no JSON\n\n",
    "wrong types": _data({"choices": [{"index": 0, "delta": {"content": None, "tool_calls": 5}}]}),
}


def _openai_call(index: int, call: Call) -> list[str]:
    begun = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    pieces = [{"index": index, "function": {"arguments": piece}} for piece in call.arguments]
    return [_openai_delta({"tool_calls": [part]}) for part in (begun, *pieces)]


def _openai_usage(read: int, written: int, cached: int) -> str:
    usage = {"prompt_tokens": read + cached, "completion_tokens": written, "total_tokens": 0}
    return _openai_chunk(choices=[], usage={**usage, "prompt_tokens_details": {"cached_tokens": cached}})


def _openai(answer: Says | Breaks) -> list[str]:
    lines = [_openai_delta({"role": "assistant", "content": ""})]
    if isinstance(answer, Says):
        lines += (_openai_delta({"reasoning_content": piece}) for piece in answer.thinking)
    lines += (_openai_delta({"content": piece}) for piece in answer.text)
    if isinstance(answer, Breaks):
        return lines + [line for how, line in OPENAI_BREAKS.items() if how == answer.how]
    for number, call in enumerate(answer.calls):
        lines += _openai_call(0 if answer.one_index else number, call)
    ends = {"end": "tool_calls" if answer.calls else "stop", "length": "length", "refused": "content_filter"}
    lines.append(_openai_delta({}, ends[answer.stop]))
    if answer.usage is not None:
        lines.append(_openai_usage(*answer.usage))
    return [*lines, "data: [DONE]\n\n"]


def _typed(type: str, **more: Any) -> str:
    return _data({"type": type, **more}, type)


ANTHROPIC_BREAKS = {
    "overloaded": _typed("error", error={"type": "overloaded_error", "message": "too busy"}),
    "nonsense": "event: message_delta\ndata: {this is no JSON\n\n",
    "wrong types": _typed("content_block_delta", index=7, delta={"type": "text_delta", "text": 5}),
}


def _anthropic_start(answer: Says | Breaks) -> str:
    read, _, cached = (answer.usage if isinstance(answer, Says) else None) or (0, 0, 0)
    usage = {"input_tokens": read, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0}
    # fmt: off
    message = {
        "id": "msg", "type": "message", "role": "assistant", "model": "m-1", "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1},
    }
    # fmt: on
    return _typed("message_start", message=message)


def _anthropic_block(index: int, start: dict[str, Any], deltas: list[dict[str, Any]]) -> list[str]:
    return [
        _typed("content_block_start", index=index, content_block=start),
        *(_typed("content_block_delta", index=index, delta=delta) for delta in deltas),
        _typed("content_block_stop", index=index),
    ]


def _anthropic_blocks(answer: Says | Breaks) -> list[str]:
    blocks = list[tuple[dict[str, Any], list[dict[str, Any]]]]()
    if isinstance(answer, Says) and answer.thinking:
        thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in answer.thinking]
        signed = {"type": "signature_delta", "signature": "signed"}
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]))
    if isinstance(answer, Breaks) or answer.text:
        texts = [{"type": "text_delta", "text": piece} for piece in answer.text]
        blocks.append(({"type": "text", "text": ""}, texts))
    for call in answer.calls if isinstance(answer, Says) else ():
        pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in call.arguments]
        blocks.append(({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, pieces))
    return [line for index, block in enumerate(blocks) for line in _anthropic_block(index, *block)]


def _anthropic(answer: Says | Breaks) -> list[str]:
    lines = [_anthropic_start(answer), _typed("ping"), *_anthropic_blocks(answer)]
    if isinstance(answer, Breaks):
        return lines + [line for how, line in ANTHROPIC_BREAKS.items() if how == answer.how]
    stop = {"end": "tool_use" if answer.calls else "end_turn", "length": "max_tokens", "refused": "refusal"}
    _, written, _ = answer.usage or (0, 0, 0)
    delta = {"stop_reason": stop[answer.stop], "stop_sequence": None}
    return [*lines, _typed("message_delta", delta=delta, usage={"output_tokens": written}), _typed("message_stop")]


def _anthropic_message(answer: Says | Breaks) -> Response:
    """The whole of an answer at once."""
    if isinstance(answer, Breaks):
        return Response("{this is no JSON", media_type="application/json")
    usage = None if answer.usage is None else dict(zip(("input_tokens", "output_tokens"), answer.usage, strict=False))
    content = [{"type": "text", "text": piece} for piece in answer.text]
    message = {"id": "msg", "type": "message", "role": "assistant", "model": "m-1", "stop_reason": "end_turn"}
    return JSONResponse(message | {"content": content, "usage": usage})


@contextlib.asynccontextmanager
async def vendor(wire: Wire, tls: ssl.SSLContext | None = None) -> AsyncIterator[Vendor]:
    """A running server, with `tls` where it is given."""
    made = Vendor(wire)
    path = "/v1/chat/completions" if wire == "openai" else "/v1/messages"
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    made.address = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
    made.reset()
    app = Starlette(routes=[Route(path, made.answer, methods=["POST"])])
    config = uvicorn.Config(app, lifespan="off", log_level="critical", access_log=False)
    config.load()
    config.ssl = tls
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve([listener]))
    while not server.started:
        if task.done():
            await task
        await asyncio.sleep(0.01)
    try:
        yield made
    finally:
        server.should_exit = True
        await task
        listener.close()
