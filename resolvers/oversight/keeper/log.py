"""The keeper's log: what was asked, what was decided, and what the model was shown and said."""

from typing import Any, ClassVar

from sqlalchemy import func
from sqlmodel import SQLModel, col

from models.oversight.keeper import KeeperRequest
from models.resources.credentials import Credential
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import (
    EVERYONE,
    Action,
    Auth,
    ById,
    Code,
    Entity,
    Page,
    Paging,
    QueryScope,
    Row,
    constant,
    derived,
    graph,
    one,
    query,
)

UNKNOWN: Any = constant("Unknown")
NEWEST_FIRST = (col(KeeperRequest.created_at).desc(), col(KeeperRequest.id).desc())


class ListKeeperRequests(Paging):
    """50 requests by default; a limit that is none from 1 to 200 means 50."""

    page_default: ClassVar[int] = 50
    page_maximum: ClassVar[int] = 200
    cut_to_default: ClassVar[bool] = True  # contract: keeper.log


def _name_of(model: type[SQLModel], key: str) -> Any:
    """Of a deleted row, too."""
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
