"""Requests that nobody will decide any more: the process that was to has died. They are denied, and that is told."""

from datetime import timedelta
from typing import Final

from sqlalchemy import func
from sqlmodel import col

from models.oversight.keeper import KeeperDecision, KeeperRequest
from models.resources.credentials import Credential
from models.staff.agents import Agent
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import (
    AcrossWorkspaces,
    Context,
    Id,
    Input,
    clock,
    constant,
    interval,
    job,
    waiting,
)
from resolvers.oversight.keeper.deciding import decide
from resolvers.oversight.keeper.events import KeeperAccessDecided, KeeperExecutionDecided
from resolvers.oversight.keeper.opening import OpenedRequest
from resolvers.oversight.keeper.verdicts import denied

MOST: Final = 100  # jobs that a tick enqueues
UNDECIDED: Final = "The keeper was interrupted before its decision"
OVERDUE: Final = (
    col(KeeperRequest.decision) == constant(KeeperDecision.PENDING),
    col(KeeperRequest.created_at) < func.now() - interval(minutes=3),
)
"""Longer than a verdict and a command take together."""


class OfRequest(Input):
    request_id: Id


LOOK = clock("keeper.overdue", every=timedelta(minutes=1), when=waiting(KeeperRequest, *OVERDUE))
CLOSE = job(
    "keeper.close",
    OfRequest,
    unique="{request_id}",
    emits=(KeeperAccessDecided, KeeperExecutionDecided, InboxItemUpdated),
)


async def enqueue_overdue(rows: AcrossWorkspaces) -> None:
    for row in await rows.everywhere.select(
        KeeperRequest, *OVERDUE, order_by=col(KeeperRequest.created_at), limit=MOST
    ):
        rows.enqueue(CLOSE, row["workspace_id"], request_id=row["id"])


async def close(ctx: Context, request_id: str) -> None:
    """Unless it was decided meanwhile."""
    pending = (col(KeeperRequest.id) == request_id, col(KeeperRequest.decision) == KeeperDecision.PENDING)
    request = await ctx.select(KeeperRequest, *pending).locked().first()
    if request is None:
        return
    agent = await ctx.select(Agent, col(Agent.id) == request.agent_id, including_deleted=True).first()
    credential = await ctx.select(
        Credential, col(Credential.id) == request.credential_id, including_deleted=True, including_hidden=True
    ).first()
    opened = OpenedRequest(
        request_id=request.id,
        workspace_id=request.workspace_id,
        agent_id=request.agent_id,
        agent_name="Unknown" if agent is None else agent.name,
        agent_slug="" if agent is None else agent.slug,
        sandbox_crew_id=None if agent is None else agent.crew_id,
        crew_id=request.crew_id,
        crew_name="",
        credential_id=request.credential_id,
        credential_name="Unknown" if credential is None else credential.name,
        level=1 if credential is None else credential.security_level,
        variable="",
        conversation=[],
    )
    await decide(ctx, opened, denied(UNDECIDED))
