"""Whether there is a keeper, and what it has decided up to now."""

from typing import Annotated, Final

from sqlalchemy import func, select

from models.oversight.keeper import KeeperDecision, KeeperRequest
from resolvers.kernel import (
    OPEN,
    Absent,
    AcrossWorkspaces,
    Action,
    Context,
    NoInput,
    Output,
    Policy,
    Refusal,
    Tenancy,
    across_workspaces,
    instance,
    procedure,
)
from resolvers.oversight.keeper import gatekeeper

PATIENCE: Final = 3.0  # seconds for the model's server


class KeeperStatus(Output):
    """The state of the keeper. Counts of its decisions cover the whole instance. `ollama_online`: the model's server
    answers.
    """

    enabled: bool
    ollama_url: Annotated[str | None, Absent()] = None
    model: Annotated[str | None, Absent()] = None
    ollama_online: bool
    gatekeeper_configured: bool
    total_requests: int
    allow_count: int
    deny_count: int
    escalate_count: int


@procedure("keeper.status", Action.NONE, tenancy=Tenancy.NONE, late=True, scopes=OPEN)
async def keeper_status(ctx: Context, data: NoInput) -> KeeperStatus:
    """Get the status of the keeper.

    Covers the instance. Succeeds also if the model's server is down.
    """
    counts = await across_workspaces(_counted)
    settings = instance.settings
    return KeeperStatus(
        enabled=settings.keeper_enabled,
        ollama_url=gatekeeper.address(),
        model=settings.keeper_model or None,
        ollama_online=settings.keeper_enabled and await _is_online(ctx),
        gatekeeper_configured=gatekeeper.model() is not None,
        total_requests=sum(counts.values()),
        allow_count=counts.get(KeeperDecision.ALLOW, 0),
        deny_count=counts.get(KeeperDecision.DENY, 0),
        escalate_count=counts.get(KeeperDecision.ESCALATE, 0),
    )


async def _counted(rows: AcrossWorkspaces) -> dict[str, int]:
    requests = rows.everywhere.table(KeeperRequest).c
    counted = select(requests.decision, func.count()).group_by(requests.decision)
    return dict(await rows.everywhere.report(counted))


async def _is_online(ctx: Context) -> bool:
    try:
        async with ctx.outside.http(Policy.CONFIGURED, timeout=PATIENCE, most=64 * 1024, cut=True) as http:
            return (await http.request("HEAD", gatekeeper.address())).status == 200
    except Refusal:
        return False
