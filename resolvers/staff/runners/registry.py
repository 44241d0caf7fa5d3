"""Operations for people: register, list, change and revoke runners."""

from datetime import datetime
from typing import Annotated

from pydantic import Field
from sqlalchemy import and_, func, or_
from sqlmodel import col

from models.bounds import NAME
from models.people.auth import User
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runners import Runner, RunnerCall
from resolvers.instance.crypto import digest
from resolvers.kernel import (
    EVERYONE,
    Action,
    ById,
    Code,
    Context,
    Deleted,
    Ended,
    Holder,
    Id,
    Input,
    NoInput,
    Output,
    Patch,
    QueryScope,
    Ref,
    Refusal,
    Row,
    Rows,
    Subject,
    Topic,
    command,
    derived,
    ends,
    graph,
    one,
    query,
)
from resolvers.staff.runners.tokens import token_of

RUNNER = Subject(Runner)
TAKEN = "A runner with this name exists, or the crew or agent already has a runner in use"
WHOSE = "Set either crew_id or agent_id"
MOST_RUNNERS = 200
TOO_MANY = f"A workspace can have {MOST_RUNNERS} runners"
RunnerName = Annotated[str, Field(strict=True, min_length=1, max_length=NAME)]


class RegisterRunner(Input):
    """Set either `crew_id` or `agent_id`: the runner executes the tools of these agents and of no others."""

    name: RunnerName
    crew_id: Annotated[Id, Ref(Crew)] | None = None
    agent_id: Annotated[Id, Ref(Agent)] | None = None
    in_use: bool = True


class UpdateRunner(Patch, ById):
    """Omitted fields stay unchanged. `crew_id` or `agent_id` replaces the crew or agent whose tools it executes."""

    name: RunnerName
    crew_id: Annotated[Id, Ref(Crew)]
    agent_id: Annotated[Id, Ref(Agent)]
    in_use: bool


class RegisteredRunner(Output):
    """A new runner, and its token, which is returned only here."""

    id: str
    name: str
    crew_id: str | None
    agent_id: str | None
    in_use: bool
    created_at: datetime
    token: str = Field(repr=False)


graph(
    Runner,
    gate=Action.MANAGE,
    scope="runners:read",
    visible=EVERYONE,
    crew=one(Crew, "crew_id"),
    agent=one(Agent, "agent_id"),
    creator=one(User, "created_by"),
    connected=derived(bool, lambda runner, _: func.coalesce(and_(runner.connected_until > func.now()), False)),
)


@query("runners.list", Action.MANAGE, tickets=False)
def list_runners(scope: QueryScope, data: NoInput) -> Rows[Runner]:
    """List runners.

    Sorted by name.
    """
    return scope.select(Runner).order_by(col(Runner.name), col(Runner.id))


@query("runners.get", Action.MANAGE, errors=(Code.NOT_FOUND,), tickets=False)
def get_runner(scope: QueryScope, data: ById) -> Row[Runner]:
    """Get a runner."""
    return scope.select(Runner).where(col(Runner.id) == data.id).one(RUNNER.missing)


@command("runners.register", Action.MANAGE, audit="runner.created", errors=(Code.CONFLICT,), secret=True)
async def register_runner(ctx: Context, data: RegisterRunner) -> RegisteredRunner:
    """Create a runner.

    Returns its token, which starts the runner on another machine. While it is in use, the agents' tools are executed
    there. A crew and an agent have one runner in use each; an agent's own takes precedence.
    """
    if (data.crew_id is None) == (data.agent_id is None):
        raise Refusal(Code.BAD_REQUEST, WHOSE)
    await ctx.lock(f"runners of {ctx.workspace_id}")
    if await ctx.select(Runner).count() >= MOST_RUNNERS:
        raise Refusal(Code.CONFLICT, TOO_MANY)
    made = Runner(**data.model_dump(), token_hash="", created_by=ctx.user_id or None)
    token = token_of(made.id)
    made.token_hash = digest(token)
    created = await ctx.now()
    await ctx.insert(made, conflict=TAKEN)
    ctx.audit("RUNNER", made.id, name=made.name, crew_id=made.crew_id, agent_id=made.agent_id, in_use=made.in_use)
    shown = {name: getattr(made, name) for name in ("id", "name", "crew_id", "agent_id", "in_use")}
    return RegisteredRunner(**shown, created_at=created, token=token)


@command(
    "runners.update",
    Action.MANAGE,
    subject=RUNNER,
    locked=True,
    audit="runner.updated",
    errors=(Code.CONFLICT,),
    versioned=Runner,
)
async def update_runner(ctx: Context, runner: Runner, data: UpdateRunner) -> Runner:
    """Update a runner.

    A change of crew, agent or `in_use` ends the calls that the runner executes; their runs fail.
    """
    changes = data.something()
    whose = changes.keys() & {"crew_id", "agent_id"}
    if len(whose) == 2:
        raise Refusal(Code.BAD_REQUEST, WHOSE)
    if whose:
        changes |= {name: None for name in ("crew_id", "agent_id") if name not in whose}
    if any(getattr(runner, name) != value for name, value in changes.items() if name != "name"):
        await ctx.delete_where(RunnerCall, col(RunnerCall.runner_id) == runner.id)
        ctx.ring(Topic.runners, runner.id)
    return await ctx.edit(runner, conflict=TAKEN, **changes)


@command("runners.revoke", Action.MANAGE, subject=RUNNER, audit="runner.revoked", versioned=Runner)
async def revoke_runner(ctx: Context, runner: Runner, data: ById) -> Deleted:
    """Revoke a runner.

    Its token is refused from now on, and the calls that it executes end; their runs fail.
    """
    await ctx.delete(Runner, runner.id)
    ctx.ring(Topic.runners, runner.id)
    return Deleted(id=runner.id)


@ends(4)
async def end_runners(ctx: Context, ended: Ended) -> None:
    """A deleted crew or agent has no runners."""
    if ended.holder in (Holder.agent, Holder.crew):
        whose = or_(col(Runner.crew_id) == ended.id, col(Runner.agent_id) == ended.id)
        for runner in await ctx.select(Runner, whose).all():
            await ctx.delete_where(Runner, col(Runner.id) == runner.id)
            ctx.ring(Topic.runners, runner.id)
