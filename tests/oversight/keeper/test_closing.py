"""Requests whose process died before it had decided."""

from collections.abc import Iterator
from typing import Any

import pytest

from models.oversight.keeper import KeeperRequest, KeeperRequestType
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.kernel import NO_SURFACE, Action, Context, across_workspaces, command
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.oversight.keeper.events import KeeperAccessDecided, KeeperExecutionDecided
from resolvers.oversight.keeper.requests import OfRequest, close, enqueue_overdue
from tests.oversight.keeper.conftest import ScriptedModel, Ship
from tests.world import World

pytestmark = pytest.mark.anyio
EMITS = (KeeperAccessDecided, KeeperExecutionDecided, InboxItemUpdated)


@pytest.fixture
def closing() -> Iterator[Any]:
    """What the job does, as an operation that can be called."""

    @command("test.close_request", Action.CREATE, emits=EMITS, surfaces=NO_SURFACE)
    async def closed(ctx: Context, data: OfRequest) -> None:
        """Close."""
        await close(ctx, data.request_id)

    yield closed
    del OPERATIONS["test.close_request"]


async def left(ship: Ship, kind: KeeperRequestType, age: str) -> str:
    request = KeeperRequest(
        request_type=kind,
        agent_id=ship.agent.id,
        crew_id=ship.crew.id,
        credential_id=ship.credentials["mid"].id,
        intent="Read the notes",
        command="ls" if kind is KeeperRequestType.execute else None,
        workspace_id=ship.world.workspace.id,
    )
    await ship.world.add(request)
    sql = f"UPDATE keeper_requests SET created_at = now() - interval '{age}' WHERE id = $1"
    await ship.world.database.execute(sql, request.id)
    return request.id


async def test_what_is_overdue_is_enqueued_and_nothing_else(ship: Ship) -> None:
    overdue = await left(ship, KeeperRequestType.access, "5 minutes")
    await left(ship, KeeperRequestType.access, "1 minute")
    queued = list[Any]()

    async def look(rows: Any) -> None:
        await enqueue_overdue(rows)
        queued.extend(rows.queued)
        rows.queued.clear()

    await across_workspaces(look)
    assert [(job.name, overdue in job.args) for job in queued] == [("keeper.close", True)]


@pytest.mark.parametrize("kind", [KeeperRequestType.access, KeeperRequestType.execute])
async def test_it_is_denied_once_and_told(
    ship: Ship, world: World, model: ScriptedModel, kind: KeeperRequestType, closing: Any
) -> None:
    id = await left(ship, kind, "5 minutes")
    since = max([event["seq"] for event in await world.events()], default=0)
    for _ in range(2):
        await closing(world.owner.caller, {"request_id": id}, place=world.workspace.id)
    row = await ship.row(id)
    assert (row["decision"], row["risk_score"], row["decided_at"] is not None) == ("DENY", 10, True)
    told = [event["payload"] for event in await world.events(since) if event["type"] == "keeper_event"]
    assert [(payload["decision"], payload["agent_name"]) for payload in told] == [("DENY", "Ada")]
