"""One run from its claim to its end, in this process (contract: chats.behaviour 13, 17-23 and recovery)."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from traceback import format_exception
from typing import Any

import orjson

from models.attention.approvals import ApprovalMode
from models.bounds import CUT, ERROR, LINE, NOTES, cut
from models.staff.agents import CliAdapter, LlmProvider, ToolProfile
from models.staff.runs import BY_SCHEDULE, RunStatus
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.instance import trace_context
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.resources.costs.reserving import reserve
from resolvers.rules.consent import ConsentGate
from resolvers.rules.redaction import Redactor
from resolvers.staff.runs import work
from resolvers.staff.runs.briefing import brief
from resolvers.staff.runs.cancelling import CANCELLED
from resolvers.staff.runs.finishing import NO_OUTPUT, finish_run
from resolvers.staff.runs.work import RunClaim
from runtime.runs.engine import RunEngine
from runtime.runs.job import (
    BUDGET_EXCEEDED,
    Failed,
    Interrupted,
    Job,
    NoContainer,
    Outcome,
    Priced,
    Skill,
    StuckLoop,
    Turn,
    Waiting,
    Worker,
)
from runtime.runs.outfit import Fitted, Outfit
from runtime.runs.parts import AgentReply, fold
from runtime.runs.step_writer import StepWriter
from runtime.runs.storable import size_of, storable
from runtime.runs.turn import Guard, Lost, TurnSink
from runtime.runs.watching import watched

SERVICE = "runtime"
TIMEOUT = 1800.0  # seconds, for an agent whose own is 0
MOST_TURNS, MOST_SCHEDULED_TURNS = 50, 20
SCHEDULED = ("CRON", BY_SCHEDULE)
TRIES = 3  # of an end that is refused, before one without what was said
PATIENCE = 10.0  # seconds that an adapter may take to stop
MOST_LEASES = 25
"""A run with this many leases may be what ends its workers: it is not resumed."""
AGENT_GONE = "The agent was deleted"
INTERNAL = "The agent stopped because of an internal error"
GIVEN_UP = "The run could not be ended in its workspace"
SERVER_RESTART = "server_restart"


class Stop(StrEnum):
    """Why a run stops before its adapter has come to an end."""

    cancelled = "cancelled"  # a user cancelled it
    lost = "lost"  # another worker holds it, or may
    shutdown = "shutdown"  # another worker is to go on


@dataclass(eq=False, slots=True)
class HeldRun:
    """A run that this process holds."""

    claim: RunClaim
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    reason: Stop | None = None
    sink: TurnSink | None = None
    _claimed: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Seconds since the first claim of the run: by PostgreSQL up to this claim, by this process from then on."""
        return self.claim.age + time.monotonic() - self._claimed

    @property
    def lost(self) -> bool:
        return self.reason is Stop.lost

    def stop(self, reason: Stop) -> None:
        """The first reason counts, except that a lost run stays lost."""
        if self.reason is None or reason is Stop.lost:
            self.reason = reason
        self.stopping.set()
        if reason is Stop.lost and self.sink is not None:
            self.sink.fail(Lost())


@dataclass(frozen=True, slots=True)
class Ending:
    """The intended end of a run; its text decides between COMPLETED and no_output."""

    status: RunStatus
    error: str | None = None
    reason: str | None = None
    code: str | None = None
    exit_code: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def tightest(*limits: int | None) -> int | None:
    return min([limit for limit in limits if limit is not None], default=None)


def failed(error: str, outcome: Outcome | None = None) -> Ending:
    return Ending(
        RunStatus.FAILED, error, exit_code=outcome.exit_code if outcome else None, data=outcome.data if outcome else {}
    )


INTERRUPTED = Ending(RunStatus.CANCELLED, SERVER_RESTART, SERVER_RESTART)
CALLED_OFF = Ending(RunStatus.CANCELLED, CANCELLED)


def job_of(claim: RunClaim, briefing: Mapping[str, Any], max_tokens: int | None = None) -> Job:
    """The job for an adapter, from the answer of `runs.brief`. `max_tokens`: the limit of every run."""
    agent = briefing["agent"]
    scheduled = briefing["trigger_type"] in SCHEDULED
    worker = Worker(
        id=agent["id"],
        slug=agent["slug"],
        name=agent["name"],
        crew_id=agent["crew_id"],
        crew_slug=agent["crew_slug"],
        system_prompt=agent["system_prompt"],
        persona=agent["persona"],
        cli_adapter=CliAdapter(agent["cli_adapter"]),
        llm_provider=LlmProvider(agent["llm_provider"]) if agent["llm_provider"] else None,
        llm_model=agent["llm_model"],
        tool_profile=ToolProfile(agent["tool_profile"]),
    )
    return Job(
        run_id=claim.run_id,
        workspace_id=claim.workspace_id,
        chat_id=claim.chat_id,
        agent=worker,
        prompt=briefing["prompt"],
        history=tuple(Turn(turn["role"], turn["content"]) for turn in briefing["history"]),
        max_turns=briefing["max_turns"] or (MOST_SCHEDULED_TURNS if scheduled else MOST_TURNS),
        timeout_seconds=float(agent["timeout_seconds"] or TIMEOUT),
        max_tokens=max_tokens,
        max_cost=briefing["max_cost"],
        gates=tuple(ConsentGate(gate["pattern"], ApprovalMode(gate["mode"])) for gate in briefing["gates"]),
        skills=tuple(
            Skill(one["slug"], one["description"], one["content"], tuple(one["missing"])) for one in briefing["skills"]
        ),
        restricted=briefing["restricted"],
        runner=briefing["runner_id"],
        hooked=briefing["hooked"],
    )


class Execution:
    """`run()` returns when the run has ended, and raises Lost if it has not: another worker continues it."""

    def __init__(
        self,
        held: HeldRun,
        engine: RunEngine,
        outfit: Outfit,
        *,
        patience: float = PATIENCE,
        max_tokens: int | None = None,
        writer: StepWriter | None = None,
    ) -> None:
        self.held, self.claim = held, held.claim
        self._engine, self._outfit, self._patience = engine, outfit, patience
        self._max_tokens, self._writer = max_tokens, writer
        self._guard: Guard | None = None
        self._budgeted = False

    async def run(self) -> None:
        await self._continue_trace()
        try:
            ending = await self._attempt()
        except Lost:
            raise
        except Waiting as waiting:
            return await self._park(waiting)
        except Exception as error:
            if work.passes(error):
                raise Lost from error
            self._log("run not begun", error)
            ending = failed(INTERNAL)
        await self.end(ending)

    async def _continue_trace(self) -> None:
        """From here on this task, and those that it starts, name the run's span to the servers that they call."""
        if instance.settings.otel_traces is None:
            return
        try:
            trace_context.current.set(await work.traceparent(self.claim.workspace_id, self.claim.run_id))
        except Exception as error:  # the run continues untraced
            log.warning("the trace of a run is not known", run_id=self.claim.run_id, error=type(error).__name__)

    async def _park(self, waiting: Waiting) -> None:
        """Raises Lost: the worker that continues finds the decision, and everything done before it."""
        try:
            await work.park(self.claim, waiting.approval_id)
        except Exception as error:  # else the lease ends by itself
            log.warning("run not parked", run_id=self.claim.run_id, error=type(error).__name__)
        raise Lost

    # ---- the attempt ---------------------------------------------------------------------------------------------

    async def _attempt(self) -> Ending:
        if self.held.reason is not None and self.held.reason is not Stop.cancelled:
            raise Lost
        answer = await brief(Caller.service(SERVICE, self.claim.workspace_id), {"id": self.claim.run_id})
        briefing = orjson.loads(answer.body or b"")
        if briefing["agent"]["deleted"]:
            return failed(AGENT_GONE)
        job = job_of(self.claim, briefing, self._max_tokens)
        self._budgeted = briefing["budgeted"]
        if self._budgeted:
            reserved = await self._reserve()
            if reserved["refused"] is not None:
                return replace(failed(reserved["refused"]), data={"reason": BUDGET_EXCEEDED})
            job = replace(job, max_cost=tightest(job.max_cost, reserved["micros"]))
        left = job.timeout_seconds - self.held.elapsed()
        if left <= 0:
            return self._too_late(job)
        try:
            fitted = await self._outfit.fit(job)
        except Failed as reason:
            return failed(str(reason))
        self._guard = fitted.guard
        job = replace(job, attachments=fitted.attachments)
        async with watched(job, fitted.writes, fitted.guard.beside):
            return await self._work(await _within(job, fitted), fitted, left)

    async def _reserve(self) -> Any:
        """Raises Lost if another worker holds the run."""
        asked = {"id": self.claim.run_id, "lease": self.claim.lease}
        try:
            answer = await reserve(Caller.service(SERVICE, self.claim.workspace_id), asked)
        except Refusal as refusal:
            if refusal.code is Code.CONFLICT:
                raise Lost from refusal
            raise
        return orjson.loads(answer.body or b"")

    async def _work(self, job: Job, fitted: Fitted, left: float) -> Ending:
        sink = self.held.sink = TurnSink(self.claim, self._engine, fitted.guard, self._writer)
        await sink.open()
        if self.held.lost:  # while its tools were made ready
            raise Lost
        carrying = _hooked(fitted, job, sink) if job.hooked else _carried_out(fitted, job, sink)
        task = asyncio.create_task(carrying, name=f"run {self.claim.run_id}")
        watched = [asyncio.create_task(self.held.stopping.wait()), asyncio.create_task(sink.broken.wait())]
        try:
            await asyncio.wait([task, *watched], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            ended, broken = task.done(), sink.failure
            if not ended:
                await self._stop(task)
            if (
                self.held.reason is Stop.lost
                or isinstance(broken, Lost)
                or (self.held.reason is Stop.shutdown and not ended)
            ):
                raise Lost
            await sink.close()
        finally:
            sink.fail(Lost())
            for each in (task, *watched):
                each.cancel()
        if ended or sink.fatal is not None:
            return self._ended(task, sink)
        if broken is not None:
            return self._broken(broken)
        return CALLED_OFF if self.held.reason is Stop.cancelled else self._too_late(job)

    async def _stop(self, task: asyncio.Task[Outcome]) -> None:
        """Waits a while for the adapter; one that does not stop is left to itself, and can write nothing."""
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        task.cancel()
        await asyncio.wait([task], timeout=self._patience)
        if not task.done():
            log.warning("adapter does not stop", run_id=self.claim.run_id)

    def _ended(self, task: asyncio.Task[Outcome], sink: TurnSink) -> Ending:
        """`fatal` is the error with which the sink ended the adapter; an adapter that caught it ends with it all the
        same.
        """
        if sink.fatal is not None:
            return self._broken(sink.fatal)
        if task.cancelled():
            raise Lost  # by itself, or because the engine knows of another holder
        error = task.exception()
        if error is not None:
            return self._broken(error)
        outcome = task.result()
        return (
            Ending(RunStatus.COMPLETED, exit_code=0, data=outcome.data)
            if outcome.error is None
            else failed(outcome.error, outcome)
        )

    def _broken(self, error: BaseException) -> Ending:
        for cause in _leaves(error):
            if isinstance(cause, Lost):
                raise Lost from error
            if isinstance(cause, Waiting):
                raise cause
            if isinstance(cause, Interrupted):
                return INTERRUPTED
            if isinstance(cause, NoContainer):
                return replace(failed(str(cause)), code=cause.code)
            if isinstance(cause, (Failed, StuckLoop)):
                return failed(str(cause))
        self._log("adapter failed", error)
        return failed(INTERNAL)

    def _log(self, event: str, error: BaseException) -> None:
        """Logs without the error's text and source lines, which may contain the agent's output."""
        beside = Redactor().beside if self._guard is None else self._guard.beside
        log.error(event, run_id=self.claim.run_id, exception=beside("".join(format_exception(error))))

    def _too_late(self, job: Job) -> Ending:
        return Ending(RunStatus.TIMEOUT, f"The agent did not finish within {job.timeout_seconds:g} seconds")

    # ---- the end -------------------------------------------------------------------------------------------------

    async def end(self, ending: Ending) -> None:
        """Retries until the end is stored. The text of a turn is read from its frames: what readers have seen, from any
        worker.
        """
        wait, refused = 0.05, 0
        while self.held.reason is not Stop.lost:
            try:
                return await self._store(ending if refused < TRIES else None)
            except Lost:
                raise
            except Exception as error:
                if not work.passes(error):
                    self._log("end of a run refused", error)
                    refused += 1
                    if refused > TRIES:
                        return await work.give_up(self.claim, GIVEN_UP)
            await asyncio.sleep(wait)
            wait = min(wait * 2, 1.0)
        raise Lost

    async def _store(self, ending: Ending | None) -> None:
        """One attempt. None: an end without the agent's output."""
        report = self._bare() if ending is None else self._report(ending, await self._said())
        try:
            await finish_run(Caller.service(SERVICE, self.claim.workspace_id), report)
        except Refusal as refusal:  # a conflict may also be one of locks
            if refusal.code is Code.CONFLICT and await work.written(self.claim) is None:
                raise Lost from refusal
            raise

    async def _said(self) -> AgentReply:
        sink = self.held.sink
        return fold(await work.frames(self.claim) if self.claim.chat_id else sink.said if sink else ())

    def _report(self, ending: Ending, reply: AgentReply) -> dict[str, Any]:
        told = dict(ending.data) if self._guard is None else self._guard.whole(dict(ending.data))
        data = {"duration_ms": int(self.held.elapsed() * 1000), **reply.usage, **told}
        if reply.model:
            data.setdefault("model", reply.model)
        if ending.status is RunStatus.COMPLETED and not reply.parts:
            ending = Ending(RunStatus.FAILED, NO_OUTPUT, "no_output")
            data["reason"] = "no_output"
        elif ending.reason is not None:
            data["reason"] = ending.reason
        error = ending.error if ending.error is None or self._guard is None else self._guard.whole(ending.error)
        model = data.get("model")
        report = {
            "status": ending.status,
            "reason": ending.reason,
            "code": ending.code,
            "error_message": None if error is None else cut(error, ERROR),
            "exit_code": ending.exit_code,
            "model": cut(str(model), LINE) if model else None,
            "data": data,
            "reply": {"content": reply.content, "parts": reply.parts, "tool_summary": reply.tool_summary},
        }
        made: dict[str, Any] = storable(report)
        if size_of(made["data"]) > NOTES // 2:  # usage as the adapter reports it, of any size
            made["data"] = {key: data[key] for key in ("duration_ms", "reason") if key in data} | {"left_out": CUT}
        return made | self._whose()

    def _bare(self) -> dict[str, Any]:
        """An end without the agent's output, which might be impossible to store."""
        return {"status": RunStatus.FAILED, "error_message": INTERNAL} | self._whose()

    def _whose(self) -> dict[str, Any]:
        claim = self.claim
        return {"id": claim.run_id, "chat_id": claim.chat_id, "lease": claim.lease, "budgeted": self._budgeted}


async def _hooked(fitted: Fitted, job: Job, sink: TurnSink) -> Outcome:
    """With the hooks before its start, in a step: another worker does not ask again."""
    from resolvers.staff.hooks.happenings import BLOCKED
    from runtime.staff.hooks import RunHooks

    hooks = RunHooks(job)
    blocked = await sink.step("hooks before the start", hooks.before_start)
    if blocked is not None:
        return Outcome(error=blocked, exit_code=1, data={"reason": BLOCKED})
    sink.hears = hooks.hears
    return await _carried_out(fitted, job, sink)


async def _carried_out(fitted: Fitted, job: Job, sink: TurnSink) -> Outcome:
    begins = fitted.begins
    if begins is not None:
        await sink.step("begin", lambda: begins(sink))
    return await fitted.adapter.run(job, sink)


async def _within(job: Job, fitted: Fitted) -> Job:
    """The reserved money limits the tokens, too."""
    if job.max_cost is None or not isinstance(fitted.adapter, Priced):
        return job
    bought = await fitted.adapter.tokens_for(job.max_cost)
    if bought is None:
        return job
    most = max(bought, 1)
    if job.max_tokens is not None and job.max_tokens <= most:
        return job
    return replace(job, max_tokens=most, bought=True)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors of a group, which is what tasks side by side end in."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error
