"""The runner of all coding agents: a process in the sandbox, whose stream becomes the run's frames.

A step ends with each model call, which is booked with it. The work of such a process cannot be resumed: a worker that
takes the run over finds its steps, and ends it with the recovery message unless the last step was the end.
"""

import asyncio
import contextlib
import secrets
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from models.bounds import LINE
from models.resources.costs import BillingMode
from models.staff.agents import LlmProvider
from models.staff.runs import ChatEventType, SystemEvent
from resolvers.instance.store import INCOMING
from resolvers.resources.costs.money import micros
from resolvers.resources.integrations.configuration import McpConfiguration
from runtime.adapters.budget import RunBudget
from runtime.adapters.conversation import TokenUsage
from runtime.adapters.native.prices import price
from runtime.adapters.native.refusals import Refusals
from runtime.coding.account import Booking, RunAccount
from runtime.coding.allowance import REACHED, SPENT, USED, Allowance
from runtime.coding.declaration import CodingAgent, Task
from runtime.coding.events import Answered, Began, Called, Ended, Event, Pictured, Said, TriesAgain
from runtime.coding.gateway import MODEL, OF_KEYS, KeyRefused, ModelGateway, ProviderWay
from runtime.coding.inbox import Inbox
from runtime.coding.installed import Installed
from runtime.coding.keys import Key, KeyStandIn
from runtime.coding.lines import Lines, NoJson
from runtime.coding.metering import usage_of
from runtime.coding.session_facts import session_facts
from runtime.coding.sessions import Session
from runtime.runs.job import Charge, Failed, Interrupted, Job, Outcome, Sink, over_budget
from runtime.runs.keys import ProviderKey
from runtime.runs.prompt import Prompt, assemble
from runtime.sandbox.boundary import Network
from runtime.sandbox.namespace import Bubblewrap
from runtime.sandbox.program import Program, Start
from runtime.sandbox.workdir import Workdir

SILENCE: Final = 900.0  # seconds without a word; a tool may work for ten minutes
LONGEST_ERROR: Final = 500
PROMPT_BUDGET: Final = 60_000
TURNS: Final = 50  # of a job that names none
READ_ON: Final = 0.01
STAND_IN: Final = "sk-stand-in-"


@dataclass(frozen=True, slots=True)
class Gone:
    """The program has ended by itself, or was killed for `excess` of a limit."""

    exit_code: int | None
    stderr: str
    excess: str


@dataclass(frozen=True, slots=True)
class Over:
    """The run has used up a limit."""


@dataclass(frozen=True, slots=True)
class Model:
    """The provider, name and address of a model."""

    provider: LlmProvider
    vendor: str
    name: str
    address: str
    access: ProviderKey
    variable: str
    of_login: bool = False
    workspace_id: str = ""


@dataclass(frozen=True, slots=True)
class Equipment:
    """The environment of a run's coding agent. `environment`: the agent's variables; none contains the key."""

    installed: Installed
    sandbox: Bubblewrap
    workdir: Workdir
    network: Network
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    mcp: McpConfiguration = field(default_factory=McpConfiguration)
    ways: Mapping[str, ProviderWay] = field(default_factory=dict, repr=False)


class CodingAdapter:
    name = "cli"

    def __init__(self, agent: CodingAgent, model: Model, equipment: Equipment, *, silence: float = SILENCE) -> None:
        self.agent, self.model, self.equipment, self.silence = agent, model, equipment, silence

    async def tokens_for(self, micros: int) -> int | None:
        cost = await self.cost(self.model.name, usage_of(1_000_000, 0))
        return int(micros / cost) if cost else None

    async def cost(self, model: str, usage: TokenUsage) -> float | None:
        """The cost of a call; unknown with a login, which is paid monthly."""
        if self.model.of_login:
            return None
        return await price(self.model.workspace_id, self.model.address, model, usage)

    async def run(self, job: Job, sink: Sink) -> Outcome:
        async with _AgentRun(self, job, sink) as run:
            return await run.work()


class _AgentRun:
    """One job. The process is there from the first step on, and gone when the block ends."""

    def __init__(self, adapter: CodingAdapter, job: Job, sink: Sink) -> None:
        self.adapter, self.job, self.sink = adapter, job, sink
        self.agent, self.model, self.equipment = adapter.agent, adapter.model, adapter.equipment
        self.budget = RunBudget(job.max_tokens)
        self.turns = job.max_turns if job.max_turns > 0 else TURNS
        self.began = time.time()
        self._stack = contextlib.AsyncExitStack()
        self._inbox: Inbox[Booking | KeyRefused, Event | Gone | Exception] = Inbox()
        allowance = Allowance(turns=self.turns, tokens=job.max_tokens, micros=job.max_cost)
        self._account = RunAccount(adapter.model.name, adapter.cost, allowance, self._inbox)
        self._last: Gone | Exception | Over | None = None
        self._works = self._told = self._shown = False
        self._began: Began | None = None
        self._ended: Ended | None = None

    async def __aenter__(self) -> "_AgentRun":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def work(self) -> Outcome:
        number, over, error = 0, "", None
        while True:
            number += 1
            outcome = await self.sink.step(f"{number} call", self._segment, acts=True)
            self._count(outcome)
            if outcome["ended"]:
                over, error = outcome["over"], outcome["error"]
                break
        await self._stack.aclose()
        return await self._result(over, error)

    # ---- the process ---------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        adapter, stack = self.agent.adapter, self._stack
        session = await asyncio.to_thread(Session.open, self.equipment.workdir, self.job, adapter)
        stack.push_async_callback(asyncio.to_thread, session.close)
        self.session = session
        await self._launch()

    async def _launch(self) -> None:
        """Starts again with a new session if the old one is not found."""
        prompt = assemble(self.job, PROMPT_BUDGET)
        stand_in = f"{STAND_IN}{secrets.token_hex(16)}"
        access = self.model.access
        key = access.key.get_secret_value().strip() if access.key else ""
        shown = KeyStandIn(stand_in, Key(key, access.before), OF_KEYS)
        ways = {MODEL: ProviderWay(self.model.address, shown), **self.equipment.ways}
        gateway = ModelGateway(
            ways, self.equipment.network, self._account, folder=self.equipment.workdir.storage / INCOMING
        )
        task = Task(
            prompt=self.job.prompt if self.session.known else _with_history(prompt),
            system=prompt.system,
            model=self.model.name,
            provider=self.model.provider,
            session=self.session.known or str(uuid.uuid4()),
            resumes=self.session.known is not None,
            profile=self.job.agent.tool_profile,
            address=gateway.address,
            stand_in=stand_in,
            of_login=self.model.of_login,
            mcp=self.equipment.mcp,
        )
        line = self.agent.command(task)
        given = {path: content.encode() for path, content in line.files.items()}
        start = Start(
            line.argv(self.equipment.installed.argv),
            (line.prompt or task.prompt).encode(errors="replace"),
            {**_without(self.equipment.environment, key), **line.environment},
            self.equipment.installed.mounts,
            gateway,
        )
        workdir = replace(self.session.workdir, given={**self.session.workdir.given, **given})
        process = contextlib.AsyncExitStack()
        await self._stack.enter_async_context(process)
        program = await process.enter_async_context(self.equipment.sandbox.program(start, workdir=workdir))
        pump = asyncio.create_task(self._pump(program, gateway))
        process.push_async_callback(_ended, pump)
        self._process, self._program, self._works = process, program, True

    async def _pump(self, program: Program, gateway: ModelGateway) -> None:
        lines, reading = Lines(), self.agent.reading()
        try:
            while piece := await program.read():
                await self._take(lines.feed(piece), reading)
            await self._take(lines.end(), reading)
            await gateway.close()
            await self._inbox.put(Gone(program.exit_code, program.stderr, program.excess))
        except NoJson as error:
            await self._inbox.put(Failed(f"{self.agent.name} printed {error}"))
        except Exception as error:
            await self._inbox.put(error)

    async def _take(self, told: list[dict[str, Any]], reading: Any) -> None:
        for each in told:
            try:
                events = list(reading.take(each))
            except (AttributeError, IndexError, KeyError, TypeError, ValueError):
                kind = str(each.get("type"))[:LINE]
                raise NoJson(f"an unreadable event: {kind}") from None
            for event in events:
                await self._inbox.put(event)

    # ---- a step --------------------------------------------------------------------------------------------------

    async def _segment(self) -> dict[str, Any]:
        """Until the next call of its model is answered, or its end."""
        if not self._works:
            if self.budget.turns or self._told:
                raise Interrupted("the process of the coding agent is gone")
            await self._start()
        while True:
            happened = await self._next()
            if isinstance(happened, Booking):
                return self._booked(happened)
            if isinstance(happened, Gone):  # of the refusal of one more call, it may be
                return _end(over=self._account.over, error=self._fault(happened))
            if isinstance(happened, Exception):
                raise happened
            if isinstance(happened, Over):
                return _end(over=self._account.over)
            await self._show(happened)

    async def _next(self) -> Event | Booking | Gone | Exception | Over:
        """Returns pending bookings before the end, because they have to be paid."""
        while self._last is None:
            happened = await self._heard()
            if isinstance(happened, KeyRefused):
                refusals = Refusals(self.model.vendor, self.model.name, self.model.variable)
                happened = Failed(refusals.of_key(happened.status).message)
            if isinstance(happened, Gone) and self._is_lost(happened):
                await self._again()
            elif isinstance(happened, Over) and self._program.has_more and time.monotonic() < self._account.patience:
                await asyncio.sleep(READ_ON)  # what it printed before it asked once more
            elif isinstance(happened, (Gone, Exception, Over)):
                self._last = happened
                await self._stack.aclose()
            else:
                return happened
        while (call := self._inbox.call_left()) is not None:
            if isinstance(call, Booking):
                return call
        return self._last

    async def _heard(self) -> Event | Booking | KeyRefused | Gone | Exception | Over:
        try:
            return await self._inbox.next(self.adapter.silence) or Over()
        except TimeoutError:
            silence = self.adapter.silence
            how_long = f"{silence / 60:g} minutes" if silence >= 60 else f"{silence:g} seconds"
            return Failed(f"{self.agent.name} printed nothing for {how_long} and was ended.")

    def _booked(self, call: Booking) -> dict[str, Any]:
        usage = call.usage
        self.sink.charge(
            Charge(
                self.model.vendor,
                call.model[:LINE],
                usage["input_tokens"],
                usage["output_tokens"],
                usage["cache_read_input_tokens"],
                usage["cache_creation_input_tokens"],
                0 if self.model.of_login else micros(call.cost),
                estimated=not call.counted,
                billing_mode=BillingMode.flat_rate if self.model.of_login else BillingMode.metered,
            )
        )
        counted = usage if call.counted else None
        guessed = usage["input_tokens"] + usage["output_tokens"]
        return _end(ended=False) | {"usage": counted, "guessed": guessed, "ms": call.ms, "cost": call.cost}

    def _count(self, outcome: dict[str, Any]) -> None:
        if not outcome["ended"]:
            cost = outcome["cost"] if outcome["usage"] is not None else None
            self.budget.book(outcome["usage"], outcome["ms"], cost, outcome["guessed"])

    # ---- what is shown -------------------------------------------------------------------------------------------

    async def _show(self, event: Event) -> None:
        if isinstance(event, Began):
            await asyncio.to_thread(self.session.keep, event.session)
            return await self._init(event)
        if not self._told:
            await self._init(Began(""))
        self._shown = self._shown or not isinstance(event, Ended)
        match event:
            case Said():
                extra = _within(event.within) | ({"streaming": True} if event.kind == "thinking" else {})
                await self.sink.emit(ChatEventType(event.kind), event.text, extra or None)
            case Called():
                told = {"tool_name": event.tool, "tool_id": event.id, "input": dict(event.input)}
                await self.sink.emit(ChatEventType.tool_call, event.tool, told | _within(event.within))
            case Answered():
                answered: dict[str, Any] = {"tool_use_id": event.id, **_within(event.within)}
                answered |= {"is_error": True} if event.is_error else {}
                await self.sink.emit(ChatEventType.tool_result, event.content, answered)
            case Pictured():
                place = {"media_type": event.media_type, "tool_use_id": event.id, **_within(event.within)}
                await self.sink.emit(ChatEventType.image, event.data, place)
            case TriesAgain():
                await self.sink.emit(
                    ChatEventType.system, "api_retry", {**event.metadata, "subtype": SystemEvent.api_retry.value}
                )
            case Ended():
                self._ended = event

    async def _init(self, event: Began) -> None:
        if self._told:
            return
        self._told, self._began = True, event
        metadata = {
            "subtype": SystemEvent.init.value,
            "model": event.model or self.model.name,
            "tools": list(event.tools),
            "cwd": f"/output/{self.job.agent.slug}",
            "mcp_servers": list(event.servers),
        }
        await self.sink.emit(ChatEventType.system, "init", metadata)

    # ---- the end -------------------------------------------------------------------------------------------------

    def _is_lost(self, gone: Gone) -> bool:
        """Returns true if the coding agent did not find its session: it has shown nothing and called no model."""
        return bool(self.session.known and gone.exit_code and not self._shown and not self.budget.turns)

    async def _again(self) -> None:
        await self._process.aclose()
        await asyncio.to_thread(self.session.forget)
        self._ended = None
        await self._launch()

    def _fault(self, gone: Gone) -> str | None:
        """The reason of a failure. An exit code of 0 alone is not a success: the coding agent has to report it."""
        if gone.excess:
            return f"{self.agent.name} was ended: {gone.excess}"
        if self._ended is not None and (self._ended.error is not None or not gone.exit_code):
            error = self._ended.error
            return None if error is None else f"{self.agent.name}: {_cut(error)}"
        said = _cut(gone.stderr.strip())
        code = gone.exit_code or 0
        how = "without a result" if not code else f"with exit code {code}" if code > 0 else f"by signal {-code}"
        return f"{self.agent.name} ended {how}{f': {said}' if said else '.'}"

    async def _result(self, over: str, error: str | None) -> Outcome:
        data: dict[str, Any] = {}
        subtype = "success" if error is None else "error_during_execution"
        if over == REACHED:
            turns = "its one turn" if self.turns == 1 else f"its {self.turns} turns"
            subtype, error = "error_max_turns", f"The agent has used {turns}, and was ended before the work was done."
        elif over == USED and not self.job.bought:
            subtype = "error_max_tokens"
            error = f"The run has used its {self.job.max_tokens:,} tokens, and was ended before the work was done."
        elif over in (USED, SPENT):
            outcome = over_budget(self.job.max_cost or 0)
            subtype, error, data = "error_max_budget_usd", outcome.error, outcome.data
        known = self.budget.metadata(self.model.name)

        async def body() -> None:
            ms = round((time.time() - self.began) * 1000)
            metadata: dict[str, Any] = {"subtype": subtype, "duration_ms": ms, "is_error": error is not None, **known}
            metadata |= {"errors": [error]} if error else {}
            await self.sink.emit(ChatEventType.result, self._ended.text if self._ended and not error else "", metadata)

        await self.sink.step("result", body)
        kept = {key: value for key, value in known.items() if value is not None and key != "duration_api_ms"}
        kept |= session_facts(self._began, self._ended)
        return Outcome(error=error, exit_code=None if error else 0, data={"model": self.model.name, **kept, **data})


def _end(*, ended: bool = True, over: str = "", error: str | None = None) -> dict[str, Any]:
    return {"ended": ended, "over": over, "error": error}


def _within(call: str) -> dict[str, Any]:
    return {"parent_tool_use_id": call} if call else {}


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_ERROR else f"{text[: LONGEST_ERROR - 3]}..."


def _without(environment: Mapping[str, str], key: str) -> dict[str, str]:
    """Removes variables with the key: the coding agent gets only the placeholder."""
    return {name: value for name, value in environment.items() if not key or key not in value}


def _with_history(prompt: Prompt) -> str:
    """The prompt with the earlier messages, for a session that begins in the middle of a chat."""
    if not prompt.turns:
        return prompt.user
    said = "\n\n".join(f"{'User' if turn.role == 'user' else 'You'}: {turn.content}" for turn in prompt.turns)
    return f"The conversation so far:\n\n{said}\n\nThe user's next message, which you answer now:\n\n{prompt.user}"


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
