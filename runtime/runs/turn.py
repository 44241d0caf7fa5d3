"""The sink of one run: it guards, merges and stores an adapter's output in batches, and executes each step once.

Frames reach the table about every 30 ms: the first after a pause at once, later ones together. Nothing is stored for a
run that another worker holds, and the outcome of a step is stored with its last frames, in one statement.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

import orjson

from models.staff.runs import ChatEventType, SystemEvent
from resolvers.staff.runs import work
from resolvers.staff.runs.tracing import Span
from resolvers.staff.runs.work import Batch, RunClaim, Step
from runtime.runs.engine import RunEngine
from runtime.runs.job import Charge, Failed, Interrupted, StuckLoop
from runtime.runs.spans import Trace
from runtime.runs.step_writer import StepWriter
from runtime.runs.storable import kept, size_of, some, storable, within

T = TypeVar("T")

WINDOW = 0.03  # seconds between batches
MOST_FRAMES = 256
MOST_BYTES = 64 << 10
SAME_CALLS = 5
STREAMED = (ChatEventType.text, ChatEventType.thinking)
REDACTED = "A secret was removed from the agent's output"
CHAT_GONE = "The chat was deleted"

_step: ContextVar[str | None] = ContextVar("step", default=None)


class Lost(Exception):
    """Another worker holds the run, or it has ended: nothing more is written for it."""


class Closed(Exception):
    """The run has ended; its adapter went on all the same."""


class Guard(Protocol):
    """The guard between an adapter and readers: it redacts secrets and quarantines injections (contract:
    chats.behaviour 15, 16).
    """

    @property
    def hit(self) -> bool:
        """True if something was redacted."""

    def feed(self, stream: ChatEventType, content: str) -> str:
        """The part of a stream that may leave now; the end is held back if it may begin a secret."""

    def rest(self, stream: ChatEventType) -> str:
        """The text that was held back."""

    def whole(self, value: Any) -> Any:
        """A JSON value that comes all at once."""

    def beside(self, text: str) -> str:
        """Redacts texts about the run that are not the agent's words: names of files, its log. They count for
        no `hit`.
        """

    def result(self, content: str, metadata: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """A tool's result, quarantined if necessary."""


class TurnSink:
    """`Sink` of one attempt at a run. `broken` is set when the adapter is to end: for `fatal`, or as nothing more is
    stored, for `failure`.
    """

    def __init__(self, claim: RunClaim, engine: RunEngine, guard: Guard, writer: StepWriter | None = None) -> None:
        self._claim, self._engine, self._guard, self._writer = claim, engine, guard, writer or StepWriter()
        self._batch, self._bytes = Batch(), 0
        self._written = 0  # frames of the run that are stored
        self._known: dict[str, Step] = {}
        self._charges: dict[str, Charge] = {}  # of steps that have not ended
        self._added = self._stored = 0  # changes
        self._progress, self._hurry = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._last_store = 0.0
        self._stream: tuple[ChatEventType, dict[str, Any] | None, str] | None = None  # whose end is held back
        self._call, self._same_calls = b"", 0
        self._told = False
        self.fatal: Exception | None = None
        """The error that ended the adapter: every further call raises it again."""
        self.failure: Exception | None = None
        self.broken = asyncio.Event()
        self.said: list[Mapping[str, Any]] = []
        """Events of a run without a chat, beginning with earlier attempts. Such a run has no frames; its text is stored
        with the step's outcome.
        """
        self._saying: dict[str, list[dict[str, Any]]] = {}  # of steps that have not ended
        self._trace = Trace(self._spanned)
        self.hears: Callable[[ChatEventType, str, Mapping[str, Any]], None] | None = None
        """Receives each whole event of the run, as readers see it; pieces of streamed text are left out."""

    async def open(self) -> None:
        """Reads the state that earlier workers have stored. Raises Lost."""
        if self._claim.lease == 1:
            return
        written = await work.written(self._claim)
        if written is None:
            raise Lost
        self._written, self._known = written, await work.steps(self._claim)
        self._trace.last = await work.last_span(self._claim)
        if self._claim.chat_id is None:
            self.said = [event for step in self._known.values() for event in step.said]
        for event in self.said or await work.frames(self._claim):
            if event["type"] == ChatEventType.tool_call:
                self._count_call(event["content"], event.get("metadata") or {})

    # ---- what an adapter calls -----------------------------------------------------------------------------------

    async def emit(self, type: ChatEventType, content: str = "", metadata: dict[str, Any] | None = None) -> None:
        step = _step.get()
        if step is None:
            raise RuntimeError("events are emitted inside a step only")
        self._may_go_on()
        if type == ChatEventType.tool_call:
            self._count_call(content, metadata or {})
        content, metadata = within(storable(content), storable(metadata))
        if type in STREAMED:
            if self._stream is not None and self._stream != (type, metadata, step):
                self._release()
            self._stream = (type, metadata, step)
            self._add(type, self._guard.feed(type, content), metadata, step)
        else:
            self._release()
            content, metadata = self._guarded(type, content, metadata)
            if self.hears is not None:
                self.hears(type, content, metadata or {})
            self._add(type, content, metadata, step)
        if self._same_calls >= SAME_CALLS:
            raise self._end_with(
                StuckLoop(f"The agent called the same tool with the same input {SAME_CALLS} times in a row")
            )
        await self._room()

    def charge(self, charge: Charge) -> None:
        step = _step.get()
        if step is None or step in self._charges:
            raise RuntimeError("a call of a model is charged inside a step, which makes no other")
        self._charges[step] = charge

    async def step(self, name: str, body: Callable[[], Awaitable[T]], *, acts: bool = False) -> T:
        self._may_go_on()
        outcome: T = await self._perform(name, body, acts)
        self._engine.record(self._claim.run_id, name)
        return outcome

    def _may_go_on(self) -> None:
        self._check()
        if self.fatal is not None:
            raise self.fatal

    async def _perform(self, name: str, body: Callable[[], Awaitable[Any]], acts: bool) -> Any:
        known = self._known.get(name)
        if known is not None and known.finished:
            return known.outcome
        if known is not None:
            raise self._end_with(Interrupted(f"{name} began, but its end is unknown"))
        token = _step.set(name)
        self._trace.step_begins(name)
        try:
            if acts:
                self._announce(name)
                await self._until(self._added)
            outcome = kept(storable(await body()))
        finally:
            _step.reset(token)
            if self.failure is None and self._stream is not None and self._stream[2] == name:
                self._release()
        self._known[name] = Step(True, outcome)
        self._batch.finished[name] = outcome
        if name in self._saying:
            self._batch.said[name] = some(self._saying.pop(name))
        charge = self._charges.pop(name, None)
        if charge is not None:
            self._batch.charges[name] = charge
        self._trace.step_ends(name, charge)
        await self._until(self._changed())
        return outcome

    # ---- events become frames ------------------------------------------------------------------------------------

    def _guarded(
        self, type: ChatEventType, content: str, metadata: dict[str, Any] | None
    ) -> tuple[str, dict[str, Any] | None]:
        if type == ChatEventType.tool_result:
            content, metadata = self._guard.result(content, metadata or {})
        shown = content if type == ChatEventType.image else self._guard.whole(content)
        return shown, self._guard.whole(metadata) or None

    def _release(self) -> None:
        """Writes the text that was held back of an ended stream."""
        if self._stream is not None:
            (type, metadata, step), self._stream = self._stream, None
            self._add(type, self._guard.rest(type), metadata, step)

    def _add(self, type: ChatEventType, content: str, metadata: dict[str, Any] | None, step: str) -> None:
        if self._guard.hit and not self._told:
            self._told = True
            self._add(ChatEventType.system, REDACTED, {"subtype": SystemEvent.redacted.value}, step)
        if type in STREAMED and not content:
            return
        event: dict[str, Any] = {"type": type.value, "content": content} | ({"metadata": metadata} if metadata else {})
        self._trace.event(step, type, content, metadata or {})
        if self._claim.chat_id is None:  # it has no readers: the step may be repeated
            of_step = self._saying.setdefault(step, [])
            if not _joined(of_step, event):
                of_step.append(event)
                self.said.append(event)
            return
        self._announce(step)
        if not _joined(self._batch.frames, event):
            self._batch.frames.append(event)
        self._bytes += len(content) + size_of(metadata)
        self._changed()

    def _spanned(self, span: Span) -> None:
        self._batch.spans[span.seq] = span
        self._changed()

    def _announce(self, step: str) -> None:
        if step not in self._known:
            self._known[step] = Step(False, None)
            self._batch.announced.append(step)
            self._changed()

    def _count_call(self, content: str, metadata: dict[str, Any]) -> None:
        call = orjson.dumps(
            [metadata.get("tool_name") or content, storable(metadata.get("input"))], option=orjson.OPT_SORT_KEYS
        )
        self._same_calls = self._same_calls + 1 if call == self._call else 1
        self._call = call

    # ---- frames are stored ---------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _end_with(self, error: Exception) -> Exception:
        self.fatal = self.fatal or error
        self.broken.set()
        return error

    def _changed(self) -> int:
        self._added += 1
        if self._task is None:
            self._task = asyncio.create_task(self._drain())
        return self._added

    async def _room(self) -> None:
        """Waits while as much as a batch may hold waits to be stored."""
        while self._bytes >= MOST_BYTES or len(self._batch.frames) >= MOST_FRAMES:
            await self._until(self._stored + 1)

    async def _until(self, change: int) -> None:
        while self._stored < change:
            self._check()
            self._hurry.set()
            await self._progress.wait()
        self._check()

    async def _drain(self) -> None:
        """Stores until nothing is left. It is never cancelled with the adapter, so no output is lost."""
        try:
            while self._batch:
                pause = self._last_store + WINDOW - asyncio.get_running_loop().time()
                if pause > 0:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._hurry.wait()
                batch, change = self._batch, self._added
                self._batch, self._bytes = Batch(), 0
                self._hurry.clear()
                self._last_store = asyncio.get_running_loop().time()
                await self._store(batch)
                self._stored = change
                self._tell()
        except Exception as error:
            self.fail(error)
        finally:
            self._task = None

    def _tell(self) -> None:
        progress, self._progress = self._progress, asyncio.Event()
        progress.set()

    def fail(self, error: Exception) -> None:
        """Stores nothing more; every further write raises the reason."""
        self.failure = self.failure or error
        self.broken.set()
        self._tell()

    async def _store(self, batch: Batch) -> None:
        """Stores a batch once: the number of frames shows whether a statement without an answer was executed."""
        wait = 0.05
        while self.failure is None:
            try:
                if await self._writer.append(self._claim, batch, self._written):
                    break
                written = await work.written(self._claim)
            except Exception as error:
                if not work.passes(error):
                    raise
                await asyncio.sleep(wait)
                wait = min(wait * 2, 1.0)
                continue
            if written is None:
                raise Lost
            if written != self._written + len(batch.frames):
                raise Failed(CHAT_GONE)
            break
        else:
            raise self.failure
        self._written += len(batch.frames)

    async def close(self) -> None:
        """Stores the rest, unless the run is lost; then refuses everything."""
        if self.failure is None:
            self._release()
            try:
                await self._until(self._added)
            except Exception as error:
                self.fail(error)
        self.fail(Closed("the run is over"))
        if self._task is not None:
            await asyncio.wait({self._task})


def _joined(events: list[dict[str, Any]], event: dict[str, Any]) -> bool:
    """Returns true if the event was appended to the last one: pieces of one stream are one text."""
    last = events[-1] if events else None
    joins = (
        last is not None
        and event["type"] in STREAMED
        and last["type"] == event["type"]
        and last.get("metadata") == event.get("metadata")
    )
    if joins and last is not None:
        last["content"] += event["content"]
    return joins
