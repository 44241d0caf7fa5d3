"""The operation by which a runner waits for calls.

A waiting request holds no connection to the database. It looks again when a call of its runner is announced, and every
five seconds, which also keeps the process connected.
"""

import asyncio
import time
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from sqlmodel import col

from models.staff.crews import NetworkMode
from models.staff.runners import RunnerCall, RunnerCallState
from resolvers.kernel import (
    NO_SURFACE,
    REST_ONLY,
    Action,
    Auth,
    Code,
    Context,
    Output,
    Topic,
    command,
    instance,
    procedure,
)
from resolvers.kernel.store.bus import ANYTHING, bus
from resolvers.resources.credentials.given import Given, environment, still_given
from resolvers.staff.crews.network import network_of
from resolvers.staff.runners.calls import CALL_LEASE, AskedTool
from resolvers.staff.runners.sessions import OfProcess, process_of

LOOK: Final = 5.0
MOST_AT_ONCE: Final = 16
_polls: dict[str, asyncio.Event] = {}
"""One request of each runner waits; a newer one ends it. By the runner's token."""


class PollCalls(OfProcess):
    """`room`: how many calls the runner can begin. `wait`: seconds until an empty answer."""

    room: Annotated[int, Field(strict=True, ge=1, le=MOST_AT_ONCE)] = 1
    wait: Annotated[int, Field(strict=True, ge=0, le=25)] = 20


class CallForRunner(Output):
    """A call of a tool. `environment` has the agent's credentials that may be used on runners."""

    id: str
    run_id: str
    agent_id: str
    agent_slug: str
    crew_id: str | None
    tool: str
    arguments: dict[str, Any]
    profile: str
    network_mode: NetworkMode
    allowed_domains: list[str]
    environment: dict[str, str] = Field(repr=False)


class CallsForRunner(Output):
    calls: list[CallForRunner]


class TakenCall(Output):
    id: str
    run_id: str
    asked: str = Field(repr=False)


class TakenCalls(Output):
    runner_id: str
    workspace_id: str
    calls: list[TakenCall]


@command(
    "runners.take_calls",
    Action.NONE,
    auth=Auth.NONE,
    errors=(Code.UNAUTHENTICATED, Code.CONFLICT),
    surfaces=NO_SURFACE,
    secret=True,
    late=True,
)
async def take_calls(ctx: Context, data: PollCalls) -> TakenCalls:
    """Assign waiting calls to a runner."""
    runner = await process_of(ctx, data)
    waiting = (col(RunnerCall.runner_id) == runner.id, col(RunnerCall.state) == RunnerCallState.QUEUED)
    oldest = ctx.select(RunnerCall, *waiting).order_by(col(RunnerCall.created_at), col(RunnerCall.id))
    found = await oldest.limit(data.room).locked().all()
    if found:
        mine, until = col(RunnerCall.id).in_([call.id for call in found]), await ctx.now() + CALL_LEASE
        changes: dict[str, Any] = {"generation": runner.generation, "leased_until": until}
        await ctx.update_where(RunnerCall, mine, state=RunnerCallState.TAKEN, **changes)
    calls = [TakenCall(id=call.id, run_id=call.run_id, asked=await _asked(call)) for call in found]
    return TakenCalls(runner_id=runner.id, workspace_id=runner.workspace_id, calls=calls)


async def _asked(call: RunnerCall) -> str:
    opened = await instance.vault.open(call.request, table=RunnerCall, column="request", row_id=call.id)
    return opened.reveal()


@procedure(
    "runners.poll", Action.NONE, auth=Auth.NONE, errors=(Code.UNAUTHENTICATED, Code.CONFLICT), surfaces=REST_ONLY,
    late=True,
)  # fmt: skip
async def poll_calls(ctx: Context, data: PollCalls) -> CallsForRunner:
    """Get waiting calls (for runners).

    Answers when there are calls, otherwise with none after `wait` seconds or when the same runner polls again.
    """
    until, rung, runner_id = time.monotonic() + data.wait, asyncio.Event(), ""

    def hear(key: str) -> None:
        if not runner_id or key in (ANYTHING, runner_id):
            rung.set()

    over = asyncio.Event()
    silence = bus.on(Topic.runners, hear)  # a call that comes after the first look rings
    try:
        taken = await _take(ctx, data)
        runner_id = taken.runner_id
        replaced = _polls.get(runner_id)
        if replaced is not None:
            replaced.set()
        _polls[runner_id] = over
        while not taken.calls and not over.is_set() and (left := until - time.monotonic()) > 0:
            waits = [asyncio.ensure_future(each.wait()) for each in (rung, over)]
            try:
                await asyncio.wait(waits, timeout=min(LOOK, left), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waits:
                    each.cancel()
            rung.clear()
            if not over.is_set():
                taken = await _take(ctx, data)
    finally:
        silence()
        if _polls.get(runner_id) is over:
            del _polls[runner_id]
    return CallsForRunner(calls=[await _call(taken.workspace_id, each) for each in taken.calls])


async def _take(ctx: Context, data: PollCalls) -> TakenCalls:
    answer = await take_calls(ctx.caller, data.model_dump())
    return TakenCalls(**orjson.loads(answer.body or b""))


async def _call(workspace_id: str, taken: TakenCall) -> CallForRunner:
    asked = AskedTool.model_validate_json(taken.asked)
    crew = await network_of(workspace_id, asked.crew_id)
    known = [Given(each.credential_id, each.type, "", each.variable, each.value) for each in asked.given]
    given = await still_given(workspace_id, asked.agent_id, known, on_runners=True)
    return CallForRunner(
        id=taken.id,
        run_id=taken.run_id,
        agent_id=asked.agent_id,
        agent_slug=asked.agent_slug,
        crew_id=asked.crew_id,
        tool=asked.tool,
        arguments=asked.arguments,
        profile=asked.profile,
        network_mode=NetworkMode.restricted if asked.restricted else crew.mode,
        allowed_domains=list(crew.allowed_domains),
        environment=environment(given, guarded=instance.settings.keeper_enabled),
    )
