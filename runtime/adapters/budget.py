"""The model usage of a run, and the rest of its limits."""

from dataclasses import dataclass, field
from typing import Any

from runtime.adapters.conversation import Answer, ModelReply, Request, TokenUsage
from runtime.runs.prompt import estimate


def _nothing() -> TokenUsage:
    return {"input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}


@dataclass(slots=True)
class RunBudget:
    """`limit`: tokens of all calls together, or None. `known`: the provider reported the usage of every call. `cost`:
    US dollars; None if unknown.
    """

    limit: int | None
    turns: int = 0
    api_ms: int = 0
    usage: TokenUsage = field(default_factory=_nothing)
    known: bool = True
    cost: float | None = 0.0
    _estimated: int = 0

    @property
    def spent(self) -> int:
        """Tokens by the provider's count, and by ours for calls that the provider did not count."""
        used = self.usage
        return (
            used["input_tokens"]
            + used["output_tokens"]
            + used["cache_read_input_tokens"]
            + used["cache_creation_input_tokens"]
            + self._estimated
        )

    @property
    def left(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.spent)

    def count(self, request: Request, reply: ModelReply, ms: int, cost: float | None) -> None:
        usage = reply["usage"]
        self.book(usage, ms, cost, 0 if usage is not None else sum(estimated(request, reply)))

    def book(self, usage: TokenUsage | None, ms: int, cost: float | None, guessed: int = 0) -> None:
        """Books one call. `guessed`: its tokens by our own count, if the provider reported none."""
        self.turns += 1
        self.api_ms += ms
        self.cost = None if self.cost is None or cost is None else self.cost + cost
        if usage is None:
            self.known = False
            self._estimated += guessed
            return
        self.usage = {
            "input_tokens": self.usage["input_tokens"] + usage["input_tokens"],
            "output_tokens": self.usage["output_tokens"] + usage["output_tokens"],
            "cache_read_input_tokens": self.usage["cache_read_input_tokens"] + usage["cache_read_input_tokens"],
            "cache_creation_input_tokens": self.usage["cache_creation_input_tokens"]
            + usage["cache_creation_input_tokens"],
        }

    def metadata(self, model: str) -> dict[str, Any]:
        """The metadata of the result event (contract: chats.event_metadata.result)."""
        counted = self.turns > 0 and self.known
        per_model = {
            "inputTokens": self.usage["input_tokens"],
            "outputTokens": self.usage["output_tokens"],
            "cacheReadInputTokens": self.usage["cache_read_input_tokens"],
            "cacheCreationInputTokens": self.usage["cache_creation_input_tokens"],
        }
        return {
            "duration_api_ms": self.api_ms,
            "total_cost_usd": self.cost if counted else None,
            "num_turns": self.turns,
            "usage": dict(self.usage) if counted else None,
            "model_usage": {model: per_model} if counted else {},
        }


def estimated(request: Request, reply: ModelReply) -> tuple[int, int]:
    """Tokens read and written, by our own count."""
    prompt = request.prompt
    texts = [
        prompt.system,
        *(turn.content for turn in prompt.turns),
        prompt.user,
        *map(_shown, (reply for reply, _ in request.rounds)),
    ]
    answers: list[Answer] = [answer for _, given in request.rounds for answer in given]
    return sum(map(estimate, (*texts, *(answer["content"] for answer in answers)))), estimate(_shown(reply))


def _shown(reply: ModelReply) -> str:
    return reply["text"] + "".join(str(use["input"]) for use in reply["tool_uses"])
