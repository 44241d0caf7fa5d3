"""Steps of background jobs: they read and write rows of the job's workspace, or of the instance, as the system, and are
audited as the job.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from models.people.workspaces import Role
from resolvers.identity.caller import Caller
from resolvers.kernel.admission.request import Request
from resolvers.kernel.declarations.jobs import Job
from resolvers.kernel.store.database import database
from resolvers.kernel.writing import finish
from resolvers.kernel.writing.context import Context

T = TypeVar("T")


class Gone(Exception):
    """The job no longer belongs to this process: it was cancelled or taken over, or has no workspace."""


class Mark(NamedTuple):
    """The first statement of a step. Its row says whether the job is `live`, and the step `fresh`: not done before."""

    sql: str
    values: Sequence[Any]


def _context(job: Job[Any], workspace_id: str) -> Context:
    ctx = Context(Caller.service(job.name, workspace_id), job, Request({}))
    ctx.credential_id, ctx.limited = job.name, False
    if not job.of_instance:
        ctx.workspace_id, ctx.role = workspace_id, Role.OWNER
    return ctx


async def write(job: Job[Any], workspace_id: str, mark: Mark, change: Callable[[Context], Awaitable[T]]) -> T | None:
    """The mark, the change and its records, in one transaction: once, however often called. None: it was done."""
    ctx = _context(job, workspace_id)
    async with database.lease() as ctx.conn:
        ctx.in_transaction, result = True, None
        try:
            if database.row_security:
                ctx.conn.sees(ctx.scope)
            marked = await ctx._one(mark.sql, mark.values)
            if not marked["live"]:
                raise Gone
            if marked["fresh"]:
                result = await change(ctx)
                await finish.finish(ctx)
            await ctx.commit()
        except Exception:
            if not ctx.conn.is_closed():
                await ctx.roll_back()
            raise
    finish.ring(ctx)
    return result


async def read(job: Job[Any], workspace_id: str, look: Callable[[Context], Awaitable[T]]) -> T:
    """Runs `look` in the workspace and returns its result; `look` writes nothing."""
    ctx = _context(job, workspace_id)
    ctx.read_only = True
    return await look(ctx)
