"""The end of a workspace: who ends it, what it means for its members, and how an owner undoes it."""

from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.people.workspaces import Membership, Role, Workspace
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import Run
from resolvers.staff.crews.workspace_deletion import ONLY, OTHER_SLUG
from tests.every import each_of
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
RESTORE = "mutation($id: ID!) { restoreWorkspace(input: {id: $id}) { id slug } }"


async def founded(world: World, **people: Role) -> tuple[Workspace, Crew]:
    workspace = Workspace(name="Doomed", slug=new_id())
    crew = Crew(name="Crew", slug="crew", workspace_id=workspace.id)
    members = [
        Membership(workspace_id=workspace.id, user_id=getattr(world, name).user_id, role=role, accepted_at=now())
        for name, role in people.items()
    ]
    await world.add(workspace, crew, *members)
    return workspace, crew


async def delete(world: World, person: Person, workspace: Workspace, slug: Any = None) -> httpx2.Response:
    body = {"confirm_slug": workspace.slug if slug is None else slug}
    return await world.rest(person, "DELETE", f"/api/v1/workspaces/{workspace.id}", body, workspace=None)


async def is_deleted(world: World, workspace: Workspace) -> bool:
    sql = "SELECT deleted_at IS NOT NULL FROM workspaces WHERE id = $1"
    return bool(await world.database.fetchval(sql, workspace.id))


async def sees(world: World, person: Person, workspace: Workspace) -> int:
    answer = await world.rest(person, "GET", f"/api/v1/workspaces/{workspace.id}/members", workspace=None)
    return answer.status_code


async def test_nobody_reaches_it_afterwards_and_its_work_ends(world: World) -> None:
    workspace, crew = await founded(world, owner=Role.OWNER, viewer=Role.VIEWER)
    agent = Agent(name="Ada", slug="ada", crew_id=crew.id, workspace_id=workspace.id)
    run = Run(agent_id=agent.id, workspace_id=workspace.id)
    await world.add(agent, run)
    answer = await delete(world, world.owner, workspace)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    for person in (world.owner, world.viewer, world.outsider):
        assert await sees(world, person, workspace) == 403
    listed = (await world.rest(world.owner, "GET", "/api/v1/workspaces", workspace=None)).json()
    assert workspace.id not in {each["id"] for each in listed}
    assert await world.database.fetchval("SELECT status FROM runs WHERE id = $1", run.id) == "CANCELLED"
    told = await world.database.fetch(
        "SELECT type, payload FROM events WHERE workspace_id = $1 AND type IN ('crew.deleted', 'workspace.deleted')",
        workspace.id,
    )
    assert sorted(row["type"] for row in told) == ["crew.deleted", "workspace.deleted"]
    logged = "SELECT user_id FROM audit_logs WHERE workspace_id = $1 AND action = 'workspace.deleted'"
    assert await world.database.fetchval(logged, workspace.id) == world.owner.user_id
    taken = {"name": "Another", "slug": workspace.slug}
    again = await world.rest(world.owner, "POST", "/api/v1/workspaces", taken, workspace=None)
    assert again.status_code == 409
    assert (await delete(world, world.owner, workspace)).status_code == 403


@each_of("slug", ["", "another", 7])
async def test_the_slug_has_to_be_repeated(world: World, slug: Any) -> None:
    workspace, _ = await founded(world, owner=Role.OWNER)
    before = await world.snapshot()
    answer = await delete(world, world.owner, workspace, slug)
    assert answer.status_code == 400
    if slug != 7:
        assert answer.json()["error"] == OTHER_SLUG
    assert await world.snapshot() == before


async def test_only_an_owner_deletes_and_never_the_only_workspace(world: World) -> None:
    workspace, _ = await founded(world, owner=Role.OWNER, admin=Role.ADMIN, manager=Role.MANAGER)
    lonely = await world.person(new_id(), None)
    alone = Workspace(name="Alone", slug=new_id())
    await world.add(
        alone, Membership(workspace_id=alone.id, user_id=lonely.user_id, role=Role.OWNER, accepted_at=now())
    )
    before = await world.snapshot()
    for person in (world.admin, world.manager, world.outsider):
        assert (await delete(world, person, workspace, "another")).status_code == 403
    refused = await delete(world, lonely, alone)
    assert (refused.status_code, refused.json()["error"]) == (409, ONLY)
    assert await world.snapshot() == before


async def test_an_owner_restores_it_within_seven_days(world: World) -> None:
    workspace, crew = await founded(world, owner=Role.OWNER, admin=Role.ADMIN)
    await delete(world, world.owner, workspace)
    for person in (world.admin, world.outsider):
        refused = await world.graphql(person, RESTORE, {"id": workspace.id})
        assert refused["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert await is_deleted(world, workspace)
    answer = await world.graphql(world.owner, RESTORE, {"id": workspace.id})
    assert answer["data"]["restoreWorkspace"] == {"id": workspace.id, "slug": workspace.slug}
    assert [await sees(world, person, workspace) for person in (world.owner, world.admin)] == [200, 200]
    crews = (await world.rest(world.admin, "GET", "/api/v1/crews", workspace=workspace.id)).json()
    assert crew.id in str(crews)
    logged = "SELECT count(*) FROM audit_logs WHERE workspace_id = $1 AND action = 'workspace.restored'"
    assert await world.database.fetchval(logged, workspace.id) == 1
    again = await world.graphql(world.owner, RESTORE, {"id": workspace.id})
    assert again["errors"][0]["extensions"]["code"] == "NOT_FOUND", "it is not deleted"


async def test_after_seven_days_nobody_restores_it(world: World) -> None:
    workspace, _ = await founded(world, owner=Role.OWNER)
    await delete(world, world.owner, workspace)
    late = "UPDATE workspaces SET deleted_at = now() - interval '7 days 1 second' WHERE id = $1"
    await world.database.execute(late, workspace.id)
    refused = await world.graphql(world.owner, RESTORE, {"id": workspace.id})
    assert refused["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert await is_deleted(world, workspace)
