"""The ledger of a run in the database."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from models.base import new_id
from models.bounds import CONFIG, LINE, PROMPT, cut
from models.work.routine_runs import LARGEST_OUTPUT, RoutineStepState, SignalStatus, WaitpointStatus
from models.work.routines.document import AgentRunStep, Routine, Step
from models.work.saved_routines import LONGEST_KEY
from resolvers.errors import Refusal
from resolvers.kernel.writing.context import Context
from resolvers.work.routine_runs import recording
from resolvers.work.routine_runs.advancing import BegunRun
from resolvers.work.routine_runs.agents import AgentLimits, costs_of, is_asked, start_agent, stop_agents
from resolvers.work.routine_runs.recording import RunStoppedError, StepPlace
from resolvers.work.routine_runs.states import bucket_of
from resolvers.work.routine_state import keep_state
from runtime.engine.background import Work
from runtime.work.routines.failures import StepError
from runtime.work.routines.ledger import StepRecord, StoppedError, Wait, WaitOutcome
from runtime.work.routines.retrying import retry_of

APPROVED: Final = "waited:approval:approved"
REFUSALS: Final = {
    WaitpointStatus.denied: "the approval was denied",
    WaitpointStatus.timed_out: "the approval timed out",
    WaitpointStatus.cancelled: "the approval was cancelled",
}
AGENT_TIMED_OUT: Final = "the agent did not answer in time"
EVENT_TIMED_OUT: Final = "the wait for the event timed out"
FOREVER: Final = timedelta(days=3660)


class RecordedLedger:
    """Every step of a run in a transaction of its own: the rows decide what was done, and no mark is looked up."""

    def __init__(self, work: Work, begun: BegunRun, document: Routine) -> None:
        self._work, self._run, self._routine = work, begun.run, begun.routine
        self._agents = frozenset(step.id for step in document.steps if isinstance(step, AgentRunStep))
        self._numbers = {step.id: number for number, step in enumerate(document.steps)}
        self._records = {
            row.path: StepRecord(row.state, row.attempt, row.output or "", row.error or "", row.cost_usd, row.due_at)
            for row in begun.steps
        }
        self._outcomes = dict[str, WaitOutcome]()
        for waitpoint in begun.waitpoints:
            if waitpoint.status is not WaitpointStatus.pending:
                self._outcomes[waitpoint.path] = _decided(waitpoint.status)
        for signal in begun.signals:
            if signal.status is not SignalStatus.pending:
                self._outcomes[signal.path] = WaitOutcome(signal.payload or "")
        for step in filter(is_asked, begun.steps):
            if step.output is not None or step.error is not None:
                cost = begun.costs.get(step.path, 0.0)
                self._outcomes[step.path] = WaitOutcome(step.output or "", step.error or "", cost)

    def find(self, path: str) -> StepRecord | None:
        return self._records.get(path)

    def spent(self) -> float:
        return sum(record.cost for record in self._records.values())

    def answer(self, path: str) -> WaitOutcome | None:
        return self._outcomes.get(path)

    async def begin(self, path: str, step: Step, attempt: int) -> None:
        changes = {"state": RoutineStepState.started, "attempt": attempt, "error": None, "due_at": None}
        await self._record(path, step, changes, attempt=attempt)

    async def skip(self, path: str, step: Step) -> None:
        await self._record(path, step, {"state": RoutineStepState.skipped, "ended_at": self._work.now})

    async def complete(self, path: str, step: Step, output: str, cost: float, state: Mapping[str, str]) -> None:
        if len(output) > LARGEST_OUTPUT:
            raise StepError(f"the output has more than {LARGEST_OUTPUT} characters", final=True)
        output = storable(output)
        changes = {"state": RoutineStepState.completed, "output": output, "error": None, "ended_at": self._work.now}
        kept = {
            key: storable(value)
            for key, value in state.items()
            if key.strip() and len(key.encode()) <= LONGEST_KEY and len(value) <= PROMPT
        }

        async def write(ctx: Context) -> None:
            await keep_state(ctx, self._routine.id, bucket_of(self._run), kept)

        try:
            await self._record(path, step, changes, cost=cost, output=output, also=write if kept else None)
        except Refusal as refusal:
            raise StepError(refusal.detail, final=True) from None

    async def retry(self, path: str, step: Step, error: str, cost: float, due: datetime) -> None:
        changes = {"state": RoutineStepState.retrying, "error": storable(error), "due_at": due}

        async def forget(ctx: Context) -> None:
            await recording.forget_failures(ctx, self._run.id, path)

        await self._record(
            path, step, changes, cost=cost, error=error, due=due, also=forget if step.type == "foreach" else None
        )
        for below in [each for each in self._records if each.startswith(f"{path}[")]:
            if self._records[below].state is RoutineStepState.failed:
                del self._records[below]

    async def fail(self, path: str, step: Step, error: str, cost: float) -> None:
        changes = {"state": RoutineStepState.failed, "error": storable(error), "ended_at": self._work.now}
        await self._record(path, step, changes, cost=cost, error=error)

    async def warn(self, stage: str, message: str) -> None:
        await self._write("warn", lambda ctx: recording.warn(ctx, self._run.id, stage, storable(message)))

    async def park(self, path: str, step: Step, wait: Wait) -> StepRecord:
        changes: dict[str, Any] = {"state": RoutineStepState.parked, "due_at": wait.until}
        if wait.kind == "agent":
            changes |= {"attempt": wait.attempt, "output": None, "error": None}
            self._outcomes.pop(path, None)

        trusted = False

        async def ask(ctx: Context) -> None:
            nonlocal trusted
            if wait.kind == "approval":
                until = wait.until or self._work.now + FOREVER
                prompt = cut(storable(wait.text), PROMPT)
                trusted = await recording.await_decision(ctx, self._routine, self._run, path, prompt, until)
            elif wait.kind == "event":
                await recording.await_signal(ctx, self._run.id, path, cut(storable(wait.text), LINE))
            elif isinstance(step, AgentRunStep):
                prompt = cut(storable(wait.text), CONFIG)
                limits = AgentLimits(step.model_override, wait.most)
                await start_agent(ctx, self._routine, self._run, path, wait.attempt, step.agent_slug, prompt, limits)

        try:
            await self._record(path, step, changes, due=wait.until, also=ask, attempt=wait.attempt)
        except Refusal as refusal:
            raise StepError(refusal.detail, final=True) from None
        if trusted:
            self._outcomes[path] = WaitOutcome(APPROVED)
        return self._records[path]

    async def time_out(self, path: str) -> WaitOutcome:
        if self._records[path].state is RoutineStepState.parked and path in self._agents:
            costs = await self._write("time out", lambda ctx: self._stopped(ctx, path))
            return WaitOutcome(refusal=AGENT_TIMED_OUT, cost=costs.get(path, 0.0))
        status = await self._write("time out", lambda ctx: recording.time_out(ctx, self._run.id, path))
        outcome = WaitOutcome(refusal=EVENT_TIMED_OUT) if status is None else _decided(status)
        self._outcomes[path] = outcome
        return outcome

    async def _stopped(self, ctx: Context, path: str) -> dict[str, float]:
        return await costs_of(ctx, self._run.id, await stop_agents(ctx, self._run.id, path))

    async def _record(
        self,
        path: str,
        step: Step,
        changes: Mapping[str, Any],
        *,
        cost: float = 0.0,
        also: Callable[[Context], Awaitable[None]] | None = None,
        **known: Any,
    ) -> None:
        place, now = self._place(path, step), self._work.now

        async def write(ctx: Context) -> None:
            await recording.record(ctx, self._routine, self._run.id, place, changes, now=now, cost=cost)
            if also is not None:
                await also(ctx)

        await self._write(changes["state"], write)
        was = self._records.get(path)
        attempt = known.pop("attempt", 1 if was is None else was.attempt)
        spent = cost + (0.0 if was is None else was.cost)
        self._records[path] = StepRecord(changes["state"], attempt, cost=spent, **known)

    def _place(self, path: str, step: Step) -> StepPlace:
        top = path.partition("[")[0].partition(":")[0] if not path.startswith("hook:") else step.id
        retry = retry_of(step)
        attempts = 1 if retry is None else retry.max_attempts
        return StepPlace(path, step.type, top, self._numbers.get(top, 0), step.condition or "", attempts)

    async def _write(self, name: str, change: Callable[[Context], Awaitable[Any]]) -> Any:
        try:
            return await self._work.write(f"{name} {new_id()}", change)
        except RunStoppedError:
            raise StoppedError from None


def _decided(status: WaitpointStatus) -> WaitOutcome:
    return WaitOutcome(APPROVED) if status is WaitpointStatus.approved else WaitOutcome(refusal=REFUSALS[status])


def storable(text: str) -> str:
    """A text without what PostgreSQL does not store."""
    return text.replace("\0", "").encode(errors="replace").decode()
