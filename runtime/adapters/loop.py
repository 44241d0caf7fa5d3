"""Our own agent loop: calls the model, executes the requested tools in order, and repeats until the model requests
none.

Every call of a model or a tool is a step. The failure of a call is the outcome of its step too, so that a run that is
taken over continues in the same way.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from models.bounds import NAME
from models.staff.runs import ChatEventType, SystemEvent
from resolvers.instance.telemetry import log
from resolvers.resources.costs.money import micros
from resolvers.rules.consent import question
from resolvers.rules.redaction import Redactor
from runtime.adapters.budget import RunBudget, estimated
from runtime.adapters.conversation import (
    NOTHING,
    Answer,
    CallableTool,
    ModelReply,
    Provider,
    ProviderError,
    Request,
    TokenUsage,
    ToolUse,
)
from runtime.adapters.detached import DetachedTool, answered
from runtime.runs.job import (
    ApprovalStep,
    Charge,
    Consent,
    Decision,
    Failed,
    Interrupted,
    Job,
    Outcome,
    Sink,
    StuckLoop,
    ToolHooks,
    Waiting,
    over_budget,
)
from runtime.runs.prompt import Prompt
from runtime.runs.quarantine import Scan, quarantine

MAX_TURNS = 50  # of a job that names none
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds before another call: `first`, doubled each time up to `longest`, less up to a quarter by chance.

    A provider's own Retry-After is kept to; one beyond `patience` ends the run.
    """

    retries: int = 4
    first: float = 1.0
    longest: float = 30.0
    patience: float = 120.0

    def delay(self, attempt: int, asked: float | None) -> float:
        """`attempt` counts from 0."""
        return asked if asked is not None else min(self.longest, self.first * 2**attempt) * (1 - random.random() / 4)  # noqa: S311


class AgentLoop:
    """`prompt` gives what the model reads of a job. Tool results are redacted and scanned before the model, a reader or
    a table sees them.
    """

    def __init__(
        self,
        name: str,
        provider: Provider,
        prompt: Callable[[Job], Prompt],
        *,
        tools: Mapping[str, CallableTool],
        scan: Scan,
        redactor: Redactor,
        cwd: str = "",
        backoff: Backoff | None = None,
        consent: Consent | None = None,
        hooks: ToolHooks | None = None,
        servers: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self.name = name
        self._provider, self._prompt, self._tools = provider, prompt, dict(tools)
        self._scan, self._redactor, self._cwd = scan, redactor, cwd
        self._backoff, self._consent, self._servers = backoff or Backoff(), consent, list(servers)
        self._hooks = hooks

    async def tokens_for(self, micros: int) -> int | None:
        million = TokenUsage(
            input_tokens=1_000_000, output_tokens=0, cache_read_input_tokens=0, cache_creation_input_tokens=0
        )
        price = await self._provider.cost(million)
        return int(micros / price) if price else None

    async def run(self, job: Job, sink: Sink) -> Outcome:
        try:
            return await _LoopRun(self, job, sink).work()
        finally:
            await self._provider.close()


class _LoopRun:
    """One job in the loop."""

    def __init__(self, loop: AgentLoop, job: Job, sink: Sink) -> None:
        self.loop, self.job, self.sink = loop, job, sink
        self.provider, self.backoff = loop._provider, loop._backoff
        self.prompt = loop._prompt(job)
        self.budget = RunBudget(job.max_tokens)
        self.rounds: list[tuple[ModelReply, list[Answer]]] = []

    async def work(self) -> Outcome:
        began = await self.sink.step("init", self._init)
        try:
            return await self._converse(began)
        except Failed as failed:
            await self._result(began, "error_during_execution", error=str(failed))
            raise

    async def _init(self) -> float:
        metadata = {
            "subtype": SystemEvent.init.value,
            "model": self.provider.model,
            "tools": list(self.loop._tools),
            "cwd": self.loop._cwd,
            "mcp_servers": self.loop._servers,
        }
        await self.sink.emit(ChatEventType.system, "init", metadata)
        return time.time()

    async def _converse(self, began: float) -> Outcome:
        allowed = self.job.max_turns if self.job.max_turns > 0 else MAX_TURNS
        while self.budget.turns < allowed:
            used = self.budget.left == 0
            if used and not self.job.bought:
                error = f"The run has used its {self.job.max_tokens:,} tokens, and was ended before the work was done."
                return await self._result(began, "error_max_tokens", error=error)
            if used or self._has_spent():
                over = over_budget(self.job.max_cost or 0)
                outcome = await self._result(began, "error_max_budget_usd", error=over.error)
                return replace(outcome, data=outcome.data | over.data)
            reply = await self._reply()
            if reply["stop"] == "refused":
                raise Failed(f"{self.provider.name} declined to answer.")
            if not reply["tool_uses"]:
                return await self._result(began, "success", text=reply["text"], cut=reply["stop"] == "length")
            answers = [await self._answer(number, use) for number, use in enumerate(reply["tool_uses"], 1)]
            self.rounds.append((reply, answers))
        turns = "its one turn" if allowed == 1 else f"its {allowed} turns"
        return await self._result(
            began, "error_max_turns", error=f"The agent has used {turns}, and was ended before the work was done."
        )

    def _has_spent(self) -> bool:
        most, spent = self.job.max_cost, micros(self.budget.cost)
        return most is not None and spent is not None and spent >= max(most, 1)

    async def _reply(self) -> ModelReply:
        request = Request(self.prompt, self.rounds, tuple(self.loop._tools.values()), self.budget.left)
        turn = self.budget.turns + 1
        for attempt in range(self.backoff.retries + 1):
            name = f"{turn} model" if not attempt else f"{turn} model, again {attempt}"
            outcome = await self.sink.step(name, lambda attempt=attempt: self._attempt(request, attempt))  # type: ignore[misc]
            if "reply" in outcome:
                reply: ModelReply = outcome["reply"]
                self.budget.count(request, reply, outcome["ms"], outcome["cost"])
                return reply
            if outcome["again_in"] is None:
                break
            await asyncio.sleep(outcome["again_in"])
        raise Failed(outcome["failed"])

    async def _attempt(self, request: Request, attempt: int) -> dict[str, Any]:
        """One call. Its outcome is a reply, or why there is none and whether to try again."""
        shown, began = False, time.monotonic()

        async def delta(kind: Literal["text", "thinking"], text: str) -> None:
            nonlocal shown
            shown = True
            await self.sink.emit(ChatEventType(kind), text, {"streaming": True} if kind == "thinking" else None)

        try:
            reply = await self.provider.call(request, delta)
        except ProviderError as error:
            return await self._failed(error, attempt, shown)
        ms = round((time.monotonic() - began) * 1000)
        cost = await self._charged(request, reply)
        return {"reply": reply, "ms": ms, "cost": None if reply["usage"] is None else cost}

    async def _charged(self, request: Request, reply: ModelReply) -> float | None:
        usage = reply["usage"]
        if usage is None:
            read, wrote = estimated(request, reply)
            usage = TokenUsage(
                input_tokens=read, output_tokens=wrote, cache_read_input_tokens=0, cache_creation_input_tokens=0
            )
        cost = await self.provider.cost(usage)
        charge = Charge(
            self.provider.name,
            self.provider.model,
            usage["input_tokens"],
            usage["output_tokens"],
            usage["cache_read_input_tokens"],
            usage["cache_creation_input_tokens"],
            micros(cost),
            estimated=reply["usage"] is None,
        )
        self.sink.charge(charge)
        return cost

    async def _failed(self, error: ProviderError, attempt: int, shown: bool) -> dict[str, Any]:
        again_in = self.backoff.delay(attempt, error.retry_after)
        if not error.again or shown or attempt >= self.backoff.retries or again_in > self.backoff.patience:
            wait = (
                f" It asks to wait {round(again_in)} seconds."
                if error.again and again_in > self.backoff.patience
                else ""
            )
            return {"failed": f"{error.message}{wait}", "again_in": None}
        metadata = {
            "subtype": SystemEvent.api_retry.value,
            "attempt": attempt + 1,
            "max_retries": self.backoff.retries,
            "retry_delay_ms": round(again_in * 1000),
            "error_status": error.status,
            "error": error.error,
        }
        await self.sink.emit(ChatEventType.system, "api_retry", metadata)
        return {"failed": error.message, "again_in": again_in}

    async def _answer(self, number: int, use: ToolUse) -> Answer:
        known = use["name"] if use["name"] in self.loop._tools else UNKNOWN  # a name that a model makes up is its words
        name = f"{self.budget.turns} tool {number} {known[:NAME]}"
        refused = await self._hooked(name, use) or await self._refused(name, use)
        tool = None if refused is not None or use["unreadable"] else self.loop._tools.get(use["name"])
        if isinstance(tool, DetachedTool) and tool.detaches(use["input"]):
            return await answered(self.sink, name, use, tool, self._kept)

        async def body() -> Answer:
            await self.sink.emit(
                ChatEventType.tool_call,
                use["name"],
                {"tool_name": use["name"], "tool_id": use["id"], "input": use["input"]},
            )
            content, is_error = await self._used(use) if refused is None else (refused, True)
            metadata = {"tool_use_id": use["id"], **({"is_error": True} if is_error else {})}
            content, metadata = self._kept(content, metadata)
            await self.sink.emit(ChatEventType.tool_result, content, metadata)
            return {"id": use["id"], "content": content or NOTHING, "is_error": is_error}

        return await self.sink.step(name, body, acts=True)

    def _kept(self, content: str, metadata: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        return quarantine(self.loop._redactor.redact(content), metadata, self.loop._scan)

    async def _hooked(self, call: str, use: ToolUse) -> str | None:
        """The reason for which a hook refuses the call, or None: a step, so that another worker does not ask again."""
        hooks = self.loop._hooks
        if hooks is None or use["unreadable"] or use["name"] not in self.loop._tools:
            return None
        arguments = self.loop._redactor.redact_json(use["input"])
        return await self.sink.step(f"{call} hooked", lambda: hooks.before_tool(use["name"], arguments))

    async def _refused(self, call: str, use: ToolUse) -> str | None:
        """The reason to refuse the call, or None. Raises Waiting until a user has decided.

        The request and the decision are steps: a worker that takes the run over neither asks nor waits again.
        """
        consent = self.loop._consent
        if consent is None or use["unreadable"] or use["name"] not in self.loop._tools:
            return None
        asks = question(use["name"], use["input"], self.job.gates)
        if asks is None:
            return None

        async def ask() -> ApprovalStep:
            arguments = self.loop._redactor.redact_json(use["input"])
            told_why = replace(asks, reason=self.loop._redactor.redact(asks.reason))
            asked = await consent.ask(self.job, call, use["name"], arguments, told_why)
            told = {"subtype": SystemEvent.approval_requested.value, "tool_name": use["name"], **asked}
            await self.sink.emit(ChatEventType.system, asks.reason, told)
            return asked

        async def decide() -> Decision:
            decision = await consent.decision(asked["approval_id"], self.job)
            if decision is None:
                raise Waiting(asked["approval_id"])
            return decision

        asked = await self.sink.step(f"{call} asks", ask)
        if not asked["waits"]:
            return None
        decision = await self.sink.step(f"{call} decided", decide)
        return None if decision["granted"] else decision["why"]

    async def _used(self, use: ToolUse) -> tuple[str, bool]:
        tool = self.loop._tools.get(use["name"])
        if tool is None:
            return f"There is no tool called {use['name']!r}. There are: {', '.join(self.loop._tools) or 'none'}.", True
        if use["unreadable"]:
            return (
                (
                    "The arguments of this call are not a JSON object, so nothing was done."
                    " They may have been cut off: try again with less."
                ),
                True,
            )
        try:
            result = await tool.run(use["input"])
        except (Failed, Interrupted, StuckLoop):
            raise
        except Exception:
            log.exception("tool_failed", tool=use["name"], run_id=self.job.run_id)
            return "The tool failed. It may have done part of its work.", True
        return result.content, result.is_error

    async def _result(
        self, began: float, subtype: str, *, text: str = "", error: str | None = None, cut: bool = False
    ) -> Outcome:
        """The one result event, and the end of the run. `cut`: the reply reached the longest the model may give."""
        known = self.budget.metadata(self.provider.model)

        async def body() -> None:
            metadata = {
                "subtype": subtype,
                "duration_ms": round((time.time() - began) * 1000),
                **known,
                "is_error": error is not None,
            }
            metadata |= ({"errors": [error]} if error else {}) | ({"stop_reason": "max_tokens"} if cut else {})
            await self.sink.emit(ChatEventType.result, text, metadata)

        await self.sink.step("result", body)
        data = {
            "model": self.provider.model,
            **{key: value for key, value in known.items() if value is not None and key != "duration_api_ms"},
        }
        return Outcome(error=error, exit_code=None if error else 0, data=data)
