"""Models behind OpenAI's chat completions: its own, and what speaks the same (Ollama, vLLM, llama.cpp, gateways)."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from runtime.adapters.conversation import ModelReply, Request, TokenUsage
from runtime.adapters.native.client import AnswerReading, Piece, StreamingProvider, tool_use


class OpenAI(StreamingProvider):
    sdk = "openai"
    address = "https://api.openai.com/v1"

    def connect(self, sdk: Any, **options: Any) -> Any:
        return sdk.AsyncOpenAI(**options)

    async def begin(self, client: Any, request: Request) -> Any:
        return await client.chat.completions.create(**self._body(request))

    def reading(self) -> AnswerReading:
        return _ChunksReading()

    def _body(self, request: Request) -> dict[str, Any]:
        tools = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            }
            for tool in request.tools
        ]
        return {
            "model": self.model,
            "messages": _messages(request),
            "stream": True,
            "stream_options": {"include_usage": True},
            **({"tools": tools} if tools else {}),
        }


def _messages(request: Request) -> list[dict[str, Any]]:
    prompt = request.prompt
    messages: list[dict[str, Any]] = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages += ({"role": turn.role, "content": turn.content} for turn in prompt.turns)
    messages.append({"role": "user", "content": prompt.user})
    for reply, answers in request.rounds:
        messages.append(reply["wire"])
        messages += ({"role": "tool", "tool_call_id": answer["id"], "content": answer["content"]} for answer in answers)
    return messages


@dataclass
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass
class _ChunksReading:
    """The answer so far."""

    begun: bool = False
    finish: str | None = None
    texts: list[str] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    usage: TokenUsage | None = None
    at: dict[int, _Call] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.finish is not None

    def take(self, chunk: Any) -> Iterator[Piece]:
        self.begun = True
        if (usage := getattr(chunk, "usage", None)) is not None:
            self.usage = _usage(usage)
        for choice in (chunk.choices or [])[:1]:
            self.finish = choice.finish_reason or self.finish
            delta = choice.delta
            if delta is None:
                continue
            # Thinking has no field in OpenAI's form; these two are what the others call it.
            if thinking := getattr(delta, "reasoning_content", None) or getattr(delta, "reasoning", None):
                yield "thinking", str(thinking)
            if text := delta.content or delta.refusal:
                self.texts.append(str(text))
                yield "text", str(text)
            for call in delta.tool_calls or []:
                self._call(call)

    def _call(self, delta: Any) -> None:
        """Pieces belong together by index; some providers give every call the same one, and ids that differ."""
        call = self.at.get(delta.index)
        if call is None or (delta.id and call.id and delta.id != call.id):
            call = self.at[delta.index] = _Call()
            self.calls.append(call)
        call.id = call.id or delta.id or ""
        if delta.function is not None:
            call.name += delta.function.name or ""
            call.arguments += delta.function.arguments or ""

    def reply(self) -> ModelReply:
        text = "".join(self.texts)
        for call in self.calls:
            call.id = call.id or f"call_{secrets.token_hex(8)}"
        wire: dict[str, Any] = {"role": "assistant", "content": text or None}
        if self.calls:
            wire["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments or "{}"}}
                for c in self.calls
            ]
        stop: Literal["end", "length", "refused"] = (
            "length" if self.finish == "length" else "refused" if self.finish == "content_filter" else "end"
        )
        return {
            "text": text,
            "tool_uses": [tool_use(c.id, c.name, c.arguments) for c in self.calls],
            "usage": self.usage,
            "stop": stop,
            "wire": wire,
        }


def _usage(usage: Any) -> TokenUsage:
    """Here the tokens of the prompt hold those that came from the cache."""
    cached = int(getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None) or 0)
    return {
        "input_tokens": max(0, int(usage.prompt_tokens or 0) - cached),
        "output_tokens": int(usage.completion_tokens or 0),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": 0,
    }
