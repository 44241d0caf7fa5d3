"""The build of a crew's image, of which this server tells no more than that there is one, or none."""

import pytest

from models.base import new_id
from models.staff.crews import Crew
from tests.every import each_of
from tests.world import World

pytestmark = pytest.mark.anyio

CONFIG = '{"image": "debian:12"}'
OF_CREW = "query ($ws: ID!, $id: ID!) { crew(workspaceId: $ws, id: $id) { provisionStatus devcontainerConfig } }"


async def crew(world: World, **given: str) -> Crew:
    row = Crew(workspace_id=world.workspace.id, name="Engine", slug=new_id(), devcontainer_config=CONFIG, **given)
    await world.add(row)
    return row


async def test_idle_without_an_image(world: World) -> None:
    row = await crew(world)
    answer = await world.rest(world.owner, "GET", f"/api/v1/crews/{row.id}/provision")
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "status": "idle",
            "devcontainer_config": CONFIG,
            "cached_image": None,
            "config_hash": None,
            "agents_pending_restart": 0,
        },
    )


async def test_completed_with_one(world: World) -> None:
    row = await crew(world, cached_image="crewship-cache:1", config_hash="1")
    found = (await world.rest(world.owner, "GET", f"/api/v1/crews/{row.id}/provision")).json()
    assert (found["status"], found["cached_image"], found["config_hash"]) == ("completed", "crewship-cache:1", "1")
    asked = await world.graphql(world.owner, OF_CREW, {"id": row.id})
    assert asked["data"]["crew"] == {"provisionStatus": "completed", "devcontainerConfig": CONFIG}


async def test_below_manager_the_configuration_is_not_shown(world: World) -> None:
    row = await crew(world)
    answer = await world.rest(world.viewer, "GET", f"/api/v1/crews/{row.id}/provision")
    assert (answer.status_code, answer.json()["status"], answer.json()["devcontainer_config"]) == (200, "idle", None)


async def test_neither_an_unknown_crew_nor_a_deleted_one(world: World) -> None:
    row = await crew(world)
    await world.rest(world.owner, "DELETE", f"/api/v1/crews/{row.id}")
    for id in ("cnone0000000000000000000", row.id):
        answer = await world.rest(world.owner, "GET", f"/api/v1/crews/{id}/provision")
        assert (answer.status_code, answer.json()["error"]) == (404, "crew not found")


WITHOUT_CONTAINERS = [
    ("POST", "/api/v1/crews/{id}/provision"),
    ("POST", "/api/v1/crews/{id}/rebuild"),
    ("POST", "/api/v1/crews/{id}/restart-agents"),
    ("GET", "/api/v1/cache/images"),
    ("DELETE", "/api/v1/cache/images/crewship-cache%3A1"),
]


@each_of(("method", "path"), WITHOUT_CONTAINERS)
async def test_without_a_container_runtime_nothing_is_built(world: World, method: str, path: str) -> None:
    """Told before the crew is looked for, and behind the role; the image that is known stays."""
    row = await crew(world, cached_image="crewship-cache:1", config_hash="1")
    before = await world.snapshot()
    for id in (row.id, "cnone0000000000000000000"):
        answer = await world.rest(world.admin, method, path.format(id=id))
        assert (answer.status_code, answer.json()["error"]) == (503, "No container runtime is configured")
    refused = await world.rest(world.viewer, method, path.format(id=row.id))
    assert refused.status_code == (503 if method == "GET" else 403)
    assert await world.snapshot() == before
