"""Runs of programs elsewhere, which report start and end (contract: runs.create_internal, runs.finish_internal)."""

from typing import Annotated

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.runs import NEVER, Run, RunStatus
from resolvers.kernel import (
    NOW,
    Action,
    Auth,
    Code,
    ConfigText,
    Context,
    Entity,
    Id,
    Input,
    Int,
    Notes,
    command,
    invalid,
)
from resolvers.staff.runs.events import RUN_ENDS, RUN_STARTS
from resolvers.staff.runs.lifecycle import MISSING, End, check_can_work, end_run, hold_starts, model_in, start_run

CONFLICT = {
    "runs_pkey": "A run with this id already exists",
    "runs_chat_id_running_key": "This chat already has an active run",
}


class CreateRun(Input):
    """`id` is chosen by the caller. Lists show and filter by `model` and `tags` of the metadata."""

    id: Annotated[Id, Field(min_length=1)]
    agent_id: Id
    workspace_id: Id
    chat_id: Id | None = None
    trigger_type: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.NAME)] = "USER"
    metadata: Notes | None = None


class FinishReportedRun(Input):
    """The metadata is merged into that of the run, key by key."""

    id: Id
    status: RunStatus
    exit_code: Int | None = None
    error_message: ConfigText | None = None
    metadata: Notes | None = None


@command(
    "runs.create_internal", Action.NONE, auth=Auth.INTERNAL, emits=RUN_STARTS, errors=(Code.NOT_FOUND, Code.CONFLICT)
)
async def report_start(ctx: Context, data: CreateRun) -> Run:
    """Record the start of a run.

    The agent of the run becomes RUNNING.
    """
    await hold_starts(ctx, data.agent_id)
    check_can_work(await ctx.get(Agent, data.agent_id))
    if data.chat_id is not None and await ctx.select(Chat, col(Chat.id) == data.chat_id).locked().first() is None:
        raise invalid("chat_id", "there is no such chat in this workspace")
    run = Run(
        id=data.id,
        agent_id=data.agent_id,
        chat_id=data.chat_id,
        trigger_type=data.trigger_type,
        model=model_in(data.metadata),
        data=data.metadata,
        started_at=NOW,
        leased_until=NEVER,  # no worker of this server takes it over
    )
    return await start_run(ctx, run, conflict=CONFLICT)


@command(
    "runs.finish_internal",
    Action.NONE,
    auth=Auth.INTERNAL,
    tenancy=Entity(Run, "id"),
    emits=RUN_ENDS,
    errors=(Code.NOT_FOUND,),
)
async def report_end(ctx: Context, data: FinishReportedRun) -> Run:
    """Record the end of a run.

    The first reported end is final; later calls return it. The status RUNNING changes nothing.
    """
    if data.status is RunStatus.RUNNING:
        return await ctx.get(Run, data.id, missing=MISSING)
    return await end_run(
        ctx, data.id, End(data.status, data.error_message, data.exit_code, data.metadata, reported=True)
    )
