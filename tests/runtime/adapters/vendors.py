"""Servers that speak as OpenAI and Anthropic do, over HTTP on loopback, and say what a test tells them to.

`Vendor.says` takes the answers in the order they will be asked for. What was asked is in `Vendor.asked`.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
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

    def says(self, *answers: Says | Refuses | Breaks) -> None:
        self.answers += answers

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1" if self.wire == "openai" else self.url

    async def answer(self, request: Request) -> Response:
        self.asked.append(await request.json())
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0)
        if isinstance(answer, Refuses):
            error = {"type": answer.type, "code": answer.type, "message": answer.message}
            return JSONResponse({"type": "error", "error": error}, answer.status, headers=answer.headers)
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


def _openai(answer: Says | Breaks) -> list[str]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        return _data(
            {
                "id": "c",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": "m-1",
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            }
        )

    lines = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in answer.text)]
    if isinstance(answer, Breaks):
        broken = {
            "overloaded": [_data({"error": {"type": "server_error", "message": "too busy"}})],
            "nonsense": ["data: {this is no JSON\n\n"],
            "wrong types": [_data({"choices": [{"index": 0, "delta": {"content": None, "tool_calls": 5}}]})],
        }
        return lines + broken.get(answer.how, [])
    lines[1:1] = [chunk({"reasoning_content": piece}) for piece in answer.thinking]
    for number, call in enumerate(answer.calls):
        index = 0 if answer.one_index else number
        lines.append(
            chunk(
                {
                    "tool_calls": [
                        {
                            "index": index,
                            "id": call.id,
                            "type": "function",
                            "function": {"name": call.name, "arguments": ""},
                        }
                    ]
                }
            )
        )
        lines += (
            chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}) for piece in call.arguments
        )
    lines.append(
        chunk(
            {},
            {"end": "tool_calls" if answer.calls else "stop", "length": "length", "refused": "content_filter"}[
                answer.stop
            ],
        )
    )
    if answer.usage is not None:
        read, written, cached = answer.usage
        counted = {
            "prompt_tokens": read + cached,
            "completion_tokens": written,
            "total_tokens": 0,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        lines.append(
            _data(
                {
                    "id": "c",
                    "object": "chat.completion.chunk",
                    "created": 1,
                    "model": "m-1",
                    "choices": [],
                    "usage": counted,
                }
            )
        )
    return [*lines, "data: [DONE]\n\n"]


def _anthropic(answer: Says | Breaks) -> list[str]:
    lines: list[str] = []

    def say(value: dict[str, Any]) -> None:
        lines.append(_data(value, value["type"]))

    def block(start: dict[str, Any], *deltas: dict[str, Any]) -> None:
        index = sum('"content_block_start"' in line for line in lines)
        say({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            say({"type": "content_block_delta", "index": index, "delta": delta})
        say({"type": "content_block_stop", "index": index})

    read, written, cached = (answer.usage if isinstance(answer, Says) else None) or (0, 0, 0)
    usage = {
        "input_tokens": read,
        "output_tokens": 1,
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
    }
    message: dict[str, Any] = {
        "id": "msg",
        "type": "message",
        "role": "assistant",
        "model": "m-1",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    say({"type": "message_start", "message": message})
    say({"type": "ping"})
    if isinstance(answer, Breaks):
        block({"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in answer.text))
        broken = {
            "overloaded": [
                _data({"type": "error", "error": {"type": "overloaded_error", "message": "too busy"}}, "error")
            ],
            "nonsense": ["event: message_delta\ndata: {this is no JSON\n\n"],
            "wrong types": [
                _data(
                    {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": 5}},
                    "content_block_delta",
                )
            ],
        }
        return lines + broken.get(answer.how, [])
    if answer.thinking:
        thoughts = ({"type": "thinking_delta", "thinking": piece} for piece in answer.thinking)
        block(
            {"type": "thinking", "thinking": "", "signature": ""},
            *thoughts,
            {"type": "signature_delta", "signature": "signed"},
        )
    if answer.text:
        block({"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in answer.text))
    for call in answer.calls:
        pieces = ({"type": "input_json_delta", "partial_json": piece} for piece in call.arguments)
        block({"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, *pieces)
    stop = {"end": "tool_use" if answer.calls else "end_turn", "length": "max_tokens", "refused": "refusal"}[
        answer.stop
    ]
    say(
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": {"output_tokens": written},
        }
    )
    say({"type": "message_stop"})
    return lines


@contextlib.asynccontextmanager
async def vendor(wire: Wire) -> AsyncIterator[Vendor]:
    """A running server."""
    made = Vendor(wire)
    path = "/v1/chat/completions" if wire == "openai" else "/v1/messages"
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    made.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    made.reset()
    app = Starlette(routes=[Route(path, made.answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical", access_log=False))
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
