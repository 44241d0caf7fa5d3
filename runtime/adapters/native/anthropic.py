"""Models behind an API like Anthropic's messages."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from runtime.adapters.conversation import ModelReply, Request, TokenUsage
from runtime.adapters.native.client import AnswerReading, Piece, StreamingProvider, tool_use

LONGEST_REPLY = 16_384  # tokens; the API wants a number, and every model listed may give as many
CACHED = {"cache_control": {"type": "ephemeral"}}


class Anthropic(StreamingProvider):
    sdk = "anthropic"
    address = "https://api.anthropic.com"

    def connect(self, sdk: Any, **options: Any) -> Any:
        return sdk.AsyncAnthropic(**options)

    async def begin(self, client: Any, request: Request) -> Any:
        return await client.messages.create(**self._body(request))

    def reading(self) -> AnswerReading:
        return _MessagesReading()

    def _body(self, request: Request) -> dict[str, Any]:
        tools = [
            {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
            for tool in request.tools
        ]
        system = [{"type": "text", "text": request.prompt.system, **CACHED}] if request.prompt.system else []
        return {
            "model": self.model,
            "messages": _messages(request),
            "max_tokens": max(1, min(LONGEST_REPLY, request.max_tokens or LONGEST_REPLY)),
            "stream": True,
            **({"system": system} if system else {}),
            **({"tools": tools} if tools else {}),
        }


def _messages(request: Request) -> list[dict[str, Any]]:
    """The end of the conversation is marked for the cache: the next call of the run reads all of this again."""
    prompt = request.prompt
    messages: list[dict[str, Any]] = [{"role": turn.role, "content": turn.content} for turn in prompt.turns]
    messages.append({"role": "user", "content": [{"type": "text", "text": prompt.user}]})
    for reply, answers in request.rounds:
        messages.append({"role": "assistant", "content": reply["wire"]})
        results = [
            {"type": "tool_result", "tool_use_id": a["id"], "content": a["content"], "is_error": a["is_error"]}
            for a in answers
        ]
        messages.append({"role": "user", "content": results})
    messages[-1]["content"][-1].update(CACHED)
    return messages


@dataclass
class _MessagesReading:
    """The answer so far. `json`: the arguments of tool calls, which arrive in pieces."""

    begun: bool = False
    ended: bool = False
    stop: str | None = None
    blocks: dict[int, dict[str, Any]] = field(default_factory=dict)
    json: dict[int, str] = field(default_factory=dict)
    usage: TokenUsage | None = None

    def take(self, event: Any) -> Iterator[Piece]:
        self.begun = True
        match event.type:
            case "message_start":
                self._count(event.message.usage)
            case "content_block_start":
                block = self.blocks[event.index] = event.content_block.model_dump(mode="json", exclude_none=True)
                if text := block.get("text") or block.get("thinking"):
                    yield "text" if block["type"] == "text" else "thinking", text
            case "content_block_delta":
                yield from self._delta(self.blocks[event.index], event)
            case "message_delta":
                self.stop = event.delta.stop_reason or self.stop
                self._count(event.usage)
            case "message_stop":
                self.ended = True

    def _delta(self, block: dict[str, Any], event: Any) -> Iterator[Piece]:
        delta = event.delta
        if delta.type == "text_delta":
            block["text"] = block.get("text", "") + delta.text
            yield "text", delta.text
        elif delta.type == "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta.thinking
            yield "thinking", delta.thinking
        elif delta.type == "signature_delta":
            block["signature"] = delta.signature
        elif delta.type == "input_json_delta":
            self.json[event.index] = self.json.get(event.index, "") + delta.partial_json

    def _count(self, usage: Any) -> None:
        """Numbers come at the start and, as they then stand, at the end."""
        if usage is None:
            return
        before = self.usage or {
            "input_tokens": 0,
            "output_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
        }
        now = {name: getattr(usage, name, None) for name in before}
        self.usage = {
            "input_tokens": _newer(now["input_tokens"], before["input_tokens"]),
            "output_tokens": _newer(now["output_tokens"], before["output_tokens"]),
            "cache_read_input_tokens": _newer(now["cache_read_input_tokens"], before["cache_read_input_tokens"]),
            "cache_creation_input_tokens": _newer(
                now["cache_creation_input_tokens"], before["cache_creation_input_tokens"]
            ),
        }

    def reply(self) -> ModelReply:
        wire, uses = list[dict[str, Any]](), []
        for index, block in sorted(self.blocks.items()):
            if block["type"] == "tool_use":
                use = tool_use(block["id"], block["name"], self.json.get(index) or json.dumps(block["input"]))
                uses.append(use)
                wire.append({"type": "tool_use", "id": use["id"], "name": use["name"], "input": use["input"]})
            elif _is_taken_back(block):
                wire.append(block)
        stop: Literal["end", "length", "refused"] = "end"
        if self.stop in ("max_tokens", "model_context_window_exceeded"):
            stop = "length"
        elif self.stop == "refusal":
            stop = "refused"
        text = "".join(block["text"] for block in wire if block["type"] == "text")
        return {"text": text, "tool_uses": uses, "usage": self.usage, "stop": stop, "wire": wire}


def _newer(now: Any, before: int) -> int:
    return before if now is None else int(now)


def _is_taken_back(block: dict[str, Any]) -> bool:
    """Returns true for empty text and unsigned thinking, which the next call would refuse."""
    return (
        bool(block.get("text"))
        if block["type"] == "text"
        else block["type"] != "thinking" or bool(block.get("signature"))
    )
