"""The port to models that judge: one prompt in, one text out, within limits of time and size.

Tests supply a scripted model. The operation interprets the answer and trusts none of it.
"""

import asyncio
import math
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import orjson
from pydantic import SecretStr

from resolvers.errors import Refusal
from resolvers.instance.outbound import Answered, Outbound, Policy
from resolvers.instance.prices import price

LARGEST_COMPLETION: Final = 64 * 1024
"""The most bytes of a model server's answer; a longer one is refused."""
ANTHROPIC, OPENAI = "https://api.anthropic.com", "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Model:
    """Which model is asked, and where. Without an `address` it is the vendor's own."""

    provider: str
    name: str
    address: str | None = None
    key: SecretStr | None = field(default=None, repr=False)
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One message of a user, under the instructions of the `system`, if there are any.

    `schema`: what the answer has to be as JSON, for servers that hold a model to it.
    """

    text: str = field(repr=False)
    schema: dict[str, Any] = field(default_factory=dict, repr=False)
    temperature: float = 0.0
    most_tokens: int = 256
    system: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Completed:
    """A model's answer. If the server reports no numbers, tokens are counted here and `estimated` is true.
    `cost_micros` are millionths of a US dollar, None if the price is unknown.
    """

    text: str = field(repr=False)
    input_tokens: int
    output_tokens: int
    estimated: bool = False
    cost_micros: int | None = None


class CompletionFailed(Exception):
    """The model did not answer: in time, in size, or at all. The text holds nothing that was sent."""


class Completions(Protocol):
    async def complete(self, model: Model, question: CompletionRequest) -> Completed:
        """Raises CompletionFailed, within the timeout of the model."""


class HttpCompletions:
    """Ollama, OpenAI and what speaks as it does, and Anthropic: each by one request, which follows no redirect."""

    async def complete(self, model: Model, question: CompletionRequest) -> Completed:
        wire = WIRES.get(model.provider)
        if wire is None:
            raise CompletionFailed(f"Models of {model.provider[:40]} are not supported here")
        url, headers, body = wire.request(model, question)
        try:
            async with Outbound(Policy.PRIVATE_TOO, timeout=model.timeout, most=LARGEST_COMPLETION) as http:
                answer = await http.post(
                    url, orjson.dumps(body), headers={"content-type": "application/json"} | headers
                )
            said = _read(wire, answer, question)
            return replace(said, cost_micros=await asyncio.to_thread(_cost, url, model.name, said))
        except Refusal as refusal:
            raise CompletionFailed(refusal.detail) from None


class _Wire(Protocol):
    def request(self, model: Model, question: CompletionRequest) -> tuple[str, dict[str, str], dict[str, Any]]: ...

    def text(self, said: Any) -> Any: ...

    def tokens(self, said: Any) -> tuple[Any, Any]: ...


class _Ollama:
    def request(self, model: Model, question: CompletionRequest) -> tuple[str, dict[str, str], dict[str, Any]]:
        options = {"temperature": question.temperature, "num_predict": question.most_tokens, "seed": 1}
        form: dict[str, Any] = {"format": question.schema} if question.schema else {}
        body = {"model": model.name, "messages": _messages(question), "stream": False, "options": options}
        return f"{(model.address or '').rstrip('/').removesuffix('/v1')}/api/chat", {}, body | form

    def text(self, said: Any) -> Any:
        return said["message"]["content"]

    def tokens(self, said: Any) -> tuple[Any, Any]:
        return said.get("prompt_eval_count"), said.get("eval_count")


class _OpenAI:
    def request(self, model: Model, question: CompletionRequest) -> tuple[str, dict[str, str], dict[str, Any]]:
        body = {
            "model": model.name,
            "messages": _messages(question),
            "temperature": question.temperature,
            "max_tokens": question.most_tokens,
        }
        if question.schema:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "verdict", "schema": question.schema},
            }
        headers = {} if model.key is None else {"authorization": f"Bearer {model.key.get_secret_value()}"}
        return f"{(model.address or OPENAI).rstrip('/')}/chat/completions", headers, body

    def text(self, said: Any) -> Any:
        return said["choices"][0]["message"]["content"]

    def tokens(self, said: Any) -> tuple[Any, Any]:
        usage = said.get("usage") or {}
        return usage.get("prompt_tokens"), usage.get("completion_tokens")


class _Anthropic:
    def request(self, model: Model, question: CompletionRequest) -> tuple[str, dict[str, str], dict[str, Any]]:
        headers = {"anthropic-version": "2023-06-01"}
        if model.key is not None:
            headers["x-api-key"] = model.key.get_secret_value()
        body = {
            "model": model.name,
            "messages": [_said_by_user(question)],
            "temperature": question.temperature,
            "max_tokens": question.most_tokens,
            **({"system": question.system} if question.system else {}),
        }
        return f"{(model.address or ANTHROPIC).rstrip('/')}/v1/messages", headers, body

    def text(self, said: Any) -> Any:
        return "".join(part["text"] for part in said["content"] if part.get("type") == "text")

    def tokens(self, said: Any) -> tuple[Any, Any]:
        usage = said.get("usage") or {}
        return usage.get("input_tokens"), usage.get("output_tokens")


WIRES: Final[dict[str, _Wire]] = {"ollama": _Ollama(), "openai": _OpenAI(), "anthropic": _Anthropic()}


def _messages(question: CompletionRequest) -> list[dict[str, str]]:
    instructed = [{"role": "system", "content": question.system}] if question.system else []
    return [*instructed, _said_by_user(question)]


def _said_by_user(question: CompletionRequest) -> dict[str, str]:
    return {"role": "user", "content": question.text}


def _read(wire: _Wire, answer: Answered, question: CompletionRequest) -> Completed:
    """Reads a server's answer, which may contain anything."""
    if answer.status != 200:
        raise CompletionFailed(f"The model's server answered with status {answer.status}")
    try:
        said = orjson.loads(answer.body)
        text, (read, written) = wire.text(said), wire.tokens(said)
    except (orjson.JSONDecodeError, AttributeError, IndexError, KeyError, TypeError):
        raise CompletionFailed("The model's server did not answer with a message") from None
    if not isinstance(text, str):
        raise CompletionFailed("The model's server did not answer with a message")
    if _is_count(read) and _is_count(written):
        return Completed(text, read, written)
    return Completed(text, estimated(question.system + question.text), estimated(text), estimated=True)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 31


def estimated(text: str) -> int:
    """An estimate of the number of tokens."""
    return -(-len(text) // 4)


def _cost(address: str, model: str, said: Completed) -> int | None:
    """The cost, rounded up: a call with any cost is not free."""
    dollars = price(address, model, read=said.input_tokens, wrote=said.output_tokens)
    return None if dollars is None else math.ceil(round(dollars * 1_000_000, 3))
