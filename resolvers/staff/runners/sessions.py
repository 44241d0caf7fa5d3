"""Operations of runners: one process at a time is connected with a token.

A process chooses a secret of its own when it starts, and is connected for at least half of `LEASE` after each request:
a request renews the lease when half of it has passed, so that most write nothing. Another process with the same token
is refused meanwhile, and takes a higher number afterwards: what the first one sends then is refused.
"""

from datetime import datetime, timedelta
from typing import Annotated, Final

from pydantic import Field
from sqlmodel import col

from models.bounds import LINE
from models.staff.runners import Runner, RunnerCall, RunnerCallState
from resolvers.instance.crypto import digest, secret_equals
from resolvers.kernel import (
    NOW,
    REST_ONLY,
    Action,
    Auth,
    Code,
    Context,
    Input,
    Output,
    Refusal,
    Success,
    Topic,
    command,
)
from resolvers.kernel.ground.inputs import INT32
from resolvers.staff.runners.tokens import runner_of

LEASE: Final = timedelta(seconds=40)
"""Longer than a poll waits."""
IN_USE: Final = "Another process is connected with this token"
REPLACED: Final = "Another process has connected with this token, or this one was disconnected: connect again"


class OfToken(Input):
    token: Annotated[str, Field(strict=True, min_length=1, max_length=LINE, repr=False)]


class OfProcess(OfToken):
    """`instance`: a random text that the process has chosen at its start. `generation`: the answer of connect."""

    instance: Annotated[str, Field(strict=True, min_length=32, max_length=LINE, repr=False)]
    generation: Annotated[int, Field(strict=True, ge=1, le=INT32)]


class ConnectRunner(OfToken):
    """`instance`: a random text that the process chooses at its start. `platform`: shown to people."""

    instance: Annotated[str, Field(strict=True, min_length=32, max_length=LINE, repr=False)]
    platform: Annotated[str, Field(strict=True, max_length=LINE)] = ""


class RunnerConnected(Output):
    """The connected runner. `generation`: the number of this process, which its requests name."""

    id: str
    name: str
    workspace_id: str
    generation: int


@command(
    "runners.connect",
    Action.NONE,
    auth=Auth.NONE,
    errors=(Code.UNAUTHENTICATED, Code.CONFLICT),
    surfaces=REST_ONLY,
    writes_on_refusal=True,
    secret=True,
    late=True,
)
async def connect_runner(ctx: Context, data: ConnectRunner) -> RunnerConnected:
    """Start the connection of a runner (for runners).

    Authenticates with the runner's token. CONFLICT while another process is connected with it.
    """
    runner, hashed = await runner_of(ctx, data.token), digest(data.instance)
    now = await ctx.now()
    if _is_connected(runner, now) and runner.instance != hashed:
        await ctx.update(Runner, runner.id, refused_at=NOW)
        raise Refusal(Code.CONFLICT, IN_USE, commit=True)
    await _let_go(ctx, runner)
    generation = runner.generation + 1
    session = {"instance": hashed, "connected_until": now + LEASE, "seen_at": NOW, "platform": data.platform}
    await ctx.update(Runner, runner.id, generation=generation, **session)
    ctx.ring(Topic.runners, runner.id)
    return RunnerConnected(
        id=runner.id,
        name=runner.name,
        workspace_id=runner.workspace_id,
        generation=generation,
    )


@command(
    "runners.disconnect",
    Action.NONE,
    auth=Auth.NONE,
    errors=(Code.UNAUTHENTICATED, Code.CONFLICT),
    surfaces=REST_ONLY,
    late=True,
)
async def disconnect_runner(ctx: Context, data: OfProcess) -> Success:
    """Stop the connection of a runner (for runners).

    Another process can connect at once. Calls that the process still executes are lost.
    """
    runner = await process_of(ctx, data)
    await ctx.update(Runner, runner.id, connected_until=None)
    await _let_go(ctx, runner)
    ctx.ring(Topic.runners, runner.id)
    return Success()


async def process_of(ctx: Context, data: OfProcess) -> Runner:
    """The locked runner of the process that is connected; CONFLICT for any other. It stays connected."""
    runner = await runner_of(ctx, data.token)
    same = runner.instance is not None and secret_equals(runner.instance, digest(data.instance))
    if not same or runner.generation != data.generation or runner.connected_until is None:
        raise Refusal(Code.CONFLICT, REPLACED)
    until = await ctx.now() + LEASE
    if runner.connected_until < until - LEASE / 2:
        await ctx.update(Runner, runner.id, connected_until=until, seen_at=NOW)
    return runner


def _is_connected(runner: Runner, now: datetime) -> bool:
    return runner.connected_until is not None and runner.connected_until > now


async def _let_go(ctx: Context, runner: Runner) -> None:
    """Calls that were begun are lost; others wait for the next process."""
    own, state = col(RunnerCall.runner_id) == runner.id, col(RunnerCall.state)
    await ctx.update_where(RunnerCall, own, state == RunnerCallState.RUNNING, state=RunnerCallState.LOST)
    await ctx.update_where(RunnerCall, own, state == RunnerCallState.TAKEN, state=RunnerCallState.QUEUED)
