"""The scope of a connection for row-level security, and the one lookup outside it."""

from typing import Any

from sqlalchemy import select
from sqlmodel import col

from models.people.workspaces import Membership
from models.staff.runs import Run, RunStatus
from resolvers.errors import Code, Refusal
from resolvers.kernel.store import statements
from resolvers.kernel.store.changes import NOW
from resolvers.kernel.store.database import database
from resolvers.kernel.store.sending import run

OWN_ROLES = (
    "SELECT m.role FROM memberships m JOIN workspaces w ON w.id = m.workspace_id WHERE m.user_id = $1 AND w.deleted_at"
    " IS NULL"
)


async def place_by_secret(conn: Any, column: Any, secret: str, scope: str) -> str | None:
    """The workspace of the row with this secret in a column; `conn` works for `scope` again then."""
    sql, values = statements.generic(select(column.table.c.workspace_id).where(column == secret))
    if database.row_security:
        conn.sees("*")
    try:
        row = await run(conn, sql, values)
    finally:
        if database.row_security:
            conn.sees(scope)
    return None if row is None else row[0]


async def go_on_as(ctx: Any, user_id: str) -> bool:
    """Continues the call as the member that a secret was issued to, in the workspace that the call has entered, with
    the member's current role and visibility. Returns False if the user is no longer a member.
    """
    ctx.user_id, ctx.role, ctx.anonymous = user_id, None, False
    member = await ctx.select(Membership, col(Membership.user_id) == user_id, including_hidden=True).first()
    if member is not None:
        ctx.role, ctx.capabilities = member.role, member.capabilities
    return member is not None


async def accept(ctx: Any) -> None:
    """A member who executes a command in a workspace accepts the membership; a read accepts nothing, nor does a command
    on what is the caller's own in all workspaces.
    """
    own = (col(Membership.user_id) == ctx.user_id, col(Membership.accepted_at).is_(None))
    await ctx.update_where(Membership, *own, including_hidden=True, accepted_at=NOW)


async def hold_run(ctx: Any, id: str) -> None:
    """Locks a run while something is written for it: a command that ends the run waits for the write, or the write is
    refused.
    """
    live = (col(Run.id) == id, col(Run.status) == RunStatus.RUNNING)
    if await ctx.select(Run, *live, including_hidden=True).shared().first() is None:
        raise Refusal(Code.CONFLICT, "The run has ended")
