"""The keeper's log and status: requests, decisions, prompts and answers."""

from typing import Annotated, Any, ClassVar, Final

from sqlalchemy import func, select
from sqlmodel import SQLModel, col

from models.oversight.keeper import KeeperDecision, KeeperRequest
from models.resources.credentials import Credential
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.outbound import Policy
from resolvers.kernel import (
    EVERYONE,
    Absent,
    AcrossWorkspaces,
    Action,
    Auth,
    ById,
    Code,
    Context,
    Entity,
    NoInput,
    Output,
    Page,
    Paging,
    QueryScope,
    Refusal,
    Row,
    Tenancy,
    across_workspaces,
    constant,
    derived,
    graph,
    instance,
    one,
    procedure,
    query,
)
from resolvers.kernel.ground.scopes import OPEN
from resolvers.oversight.keeper import gatekeeper

UNKNOWN: Any = constant("Unknown")
NEWEST_FIRST = (col(KeeperRequest.created_at).desc(), col(KeeperRequest.id).desc())


class ListKeeperRequests(Paging):
    """50 requests by default; a limit that is none from 1 to 200 means 50."""

    page_default: ClassVar[int] = 50
    page_maximum: ClassVar[int] = 200
    cut_to_default: ClassVar[bool] = True  # contract: keeper.log


def _name_of(model: type[SQLModel], key: str) -> Any:
    """The name of a row, deleted or not."""
    return derived(str, lambda row, scope: func.coalesce(scope.parent(model, row, key, "name"), UNKNOWN))


graph(
    KeeperRequest,
    gate=Action.OWNER,
    scope="workspace:admin",
    visible=EVERYONE,
    agent=one(Agent, "agent_id"),
    crew=one(Crew, "crew_id"),
    credential=one(Credential, "credential_id"),
    agent_name=_name_of(Agent, "agent_id"),
    credential_name=_name_of(Credential, "credential_id"),
)


@query("keeper.log", Action.OWNER, tickets=False)
def list_keeper_requests(scope: QueryScope, data: ListKeeperRequests) -> Page[KeeperRequest]:
    """List requests to the keeper.

    Newest first; ties by id, descending. Contains no credential values.
    """
    return scope.select(KeeperRequest).order_by(*NEWEST_FIRST).page(data)


@query(
    "internal.keeper.get_request",
    Action.NONE,
    auth=Auth.INTERNAL,
    tenancy=Entity(KeeperRequest, "id"),
    errors=(Code.NOT_FOUND,),
)
def get_keeper_request(scope: QueryScope, data: ById) -> Row[KeeperRequest]:
    """Get a request to the keeper (for agents)."""
    return scope.select(KeeperRequest).where(col(KeeperRequest.id) == data.id).one("Request not found")


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
