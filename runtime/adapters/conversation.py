"""The types that an agent loop and a model's provider exchange, independent of the provider's wire format.

TypedDicts are outcomes of steps, and JSON.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypedDict

from runtime.runs.prompt import Prompt


class CallResult(Protocol):
    @property
    def content(self) -> str: ...

    @property
    def is_error(self) -> bool: ...


class CallableTool(Protocol):
    """A tool that a model may call. `parameters`: an object's JSON schema; `run` returns every failure that the model
    may see.
    """

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    @property
    def run(self) -> Callable[[dict[str, Any]], Awaitable[CallResult]]: ...


class TokenUsage(TypedDict):
    """Tokens. `input_tokens` are those that were neither read from nor written to a cache."""

    input_tokens: int
    output_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int


class ToolUse(TypedDict):
    """A call that the model asks for. `unreadable`: its arguments were no JSON object, and `input` is empty."""

    id: str
    name: str
    input: dict[str, Any]
    unreadable: bool


class ModelReply(TypedDict):
    """One answer of a model. `wire` is the turn in the provider's format; `usage` is None if the provider
    reports none.
    """

    text: str
    tool_uses: list[ToolUse]
    usage: TokenUsage | None
    stop: Literal["end", "length", "refused"]
    wire: Any


NOTHING: Final = "(no output)"
"""The content of an answer without any, which not every model takes."""


class Answer(TypedDict):
    """The result of a ToolUse, for the model."""

    id: str
    content: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model. `rounds`: its replies of this run so far, each with the answers to its tool calls."""

    prompt: Prompt
    rounds: Sequence[tuple[ModelReply, Sequence[Answer]]]
    tools: Sequence[CallableTool]
    max_tokens: int | None
    """The maximum length of the reply; None: the model's own maximum."""


Delta = Callable[[Literal["text", "thinking"], str], Awaitable[None]]


class Provider(Protocol):
    """A model that can be called. `name` is for people."""

    name: str
    model: str

    async def call(self, request: Request, delta: Delta) -> ModelReply:
        """Streams: `delta` gets text and thinking as they come. Raises ProviderError."""

    async def cost(self, usage: TokenUsage) -> float | None:
        """US dollars of one call; None where its price is not known."""

    async def close(self) -> None: ...


class ProviderError(Exception):
    """A failed call, in a text for users. `again`: another one may do better, not before `retry_after` seconds."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error: str = "",
        again: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.error, self.again, self.retry_after = message, status, error, again, retry_after
