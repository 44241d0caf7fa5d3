"""A sink that keeps what a run has shown and done, and can be taken over: what adapters are tested against.

A Journal is a run; every `attempt` is a process that works on it. It holds adapters to the rules of
`runtime.runs.job.Sink`: events come inside steps only, names of steps are unique in an attempt, outcomes are JSON.
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from models.staff.agents import CliAdapter, LlmProvider, ToolProfile
from models.staff.runs import ChatEventType
from runtime.runs.job import Charge, Interrupted, Job, StuckLoop, Turn, Worker

T = TypeVar("T")
SAME_CALLS = 5

_step: ContextVar[str | None] = ContextVar("step", default=None)


class Crash(BaseException):
    """The process is gone."""


@dataclass(frozen=True)
class Event:
    step: str
    type: ChatEventType
    content: str
    metadata: dict[str, Any] | None


@dataclass
class Journal:
    """What outlives a process: `outcomes` of steps that ended, `begun` ones that showed something or act."""

    events: list[Event] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    charges: dict[str, Charge] = field(default_factory=dict)

    def attempt(self, *, crash_before: str = "", crash_in: str = "", crash_after: str = "") -> "RecordingSink":
        """`crash_in`: as soon as the step has done all it does, before its outcome is known."""
        return RecordingSink(self, crash_before, crash_in, crash_after)

    def of(self, *types: ChatEventType) -> list[Event]:
        return [event for event in self.events if event.type in types]

    @property
    def kinds(self) -> list[str]:
        """Types in order; pieces of one text once."""
        kinds: list[str] = []
        for event in self.events:
            if event.type not in (ChatEventType.text, ChatEventType.thinking) or kinds[-1:] != [event.type]:
                kinds.append(str(event.type))
        return kinds

    @property
    def text(self) -> str:
        return "".join(event.content for event in self.of(ChatEventType.text))

    @property
    def result(self) -> dict[str, Any]:
        (event,) = self.of(ChatEventType.result)
        return {**(event.metadata or {}), "content": event.content}


class RecordingSink:
    def __init__(self, journal: Journal, crash_before: str, crash_in: str, crash_after: str) -> None:
        self.journal = journal
        self.steps: list[str] = []  # of this attempt
        self.done: list[str] = []  # whose bodies were called
        self.acting: list[str] = []
        self._crash_before, self._crash_in, self._crash_after = crash_before, crash_in, crash_after
        self._last_call, self._same_calls = "", 0

    async def emit(self, type: ChatEventType, content: str = "", metadata: dict[str, Any] | None = None) -> None:
        step = _step.get()
        assert step is not None, "an event outside of a step"
        assert isinstance(content, str)
        assert metadata is None or json.loads(json.dumps(metadata)) == metadata, "metadata is not JSON"
        self.journal.begun.add(step)
        self.journal.events.append(Event(step, type, content, metadata))
        if type is ChatEventType.tool_call:
            call = json.dumps([content, metadata and metadata.get("input")], sort_keys=True)
            self._same_calls = self._same_calls + 1 if call == self._last_call else 1
            self._last_call = call
            if self._same_calls >= SAME_CALLS:
                raise StuckLoop("the same call again and again")

    def charge(self, charge: Charge) -> None:
        step = _step.get()
        assert step is not None, "a charge outside of a step"
        assert step not in self.journal.charges, "two calls of a model in one step"
        self.journal.charges[step] = charge

    async def step(self, name: str, body: Callable[[], Awaitable[T]], *, acts: bool = False) -> T:
        assert name not in self.steps, f"two steps called {name!r}"
        assert _step.get() is None, "a step inside a step"
        self.steps.append(name)
        if name in self.journal.outcomes:
            return json.loads(self.journal.outcomes[name])  # type: ignore[no-any-return]
        if name in self.journal.begun:
            raise Interrupted(name)
        if name == self._crash_before:
            raise Crash(name)
        if acts:
            self.acting.append(name)
            self.journal.begun.add(name)
        token = _step.set(name)
        try:
            outcome = await body()
        finally:
            _step.reset(token)
        self.done.append(name)
        if name == self._crash_in:
            raise Crash(name)
        self.journal.outcomes[name] = json.dumps(outcome)
        if name == self._crash_after:
            raise Crash(name)
        return json.loads(self.journal.outcomes[name])  # type: ignore[no-any-return]


def job(
    prompt: str,
    *,
    history: Iterable[Turn] = (),
    system_prompt: str = "You write clearly.",
    provider: LlmProvider | None = None,
    model: str | None = None,
    cli_adapter: CliAdapter = CliAdapter.CLAUDE_CODE,
    **changes: Any,
) -> Job:
    agent = Worker(
        "a1", "viktor", "Viktor", "c1", "backend", system_prompt, cli_adapter, provider, model, ToolProfile.CODING
    )
    return Job(
        run_id="r1", workspace_id="w1", chat_id="c1", agent=agent, prompt=prompt, history=tuple(history), **changes
    )
