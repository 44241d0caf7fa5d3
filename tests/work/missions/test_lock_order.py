"""Changes of a mission's tasks at the same moment wait for each other, in whichever order they come, and none fails."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.work.missions.desk import Desk
from tests.work.missions.test_replanning import DELETE, said
from tests.world import connect_for_all

pytestmark = pytest.mark.anyio
UPDATE = """mutation($ws: ID, $input: UpdateTaskInput!, $v: Int) {
    updateMissionTask(workspaceId: $ws, input: $input, ifVersion: $v) { id } }"""
DELETE_OF = """mutation($ws: ID, $input: ByIdInput!, $v: Int) {
    deleteMissionTask(workspaceId: $ws, input: $input, ifVersion: $v) { id } }"""
Act = Callable[[], Awaitable[Any]]
HELD = {
    "the mission": "SELECT 1 FROM missions WHERE id = $1 FOR UPDATE",
    "its tasks": "SELECT 1 FROM mission_tasks WHERE mission_id = $1 FOR UPDATE",
}


async def waiting(world: Any, number: int) -> None:
    """Until that many statements wait for a lock."""
    sql = "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted"
    for _ in range(200):
        if await world.database.fetchval(sql) >= number:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"fewer than {number} wait")


async def together(
    desk: Desk, address: str, mission: dict[str, Any], held: str, first: Act, second: Act
) -> tuple[Any, Any]:
    """Both wait for rows that a third connection holds, one after the other; then they go on."""
    other = await connect_for_all(address)
    try:
        async with other.transaction():
            await other.execute(HELD[held], mission["id"])
            one = asyncio.ensure_future(first())
            await waiting(desk.world, 1)
            two = asyncio.ensure_future(second())
            await waiting(desk.world, 2)
        return await one, await two
    finally:
        await other.close()


async def planned_two(desk: Desk) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A mission, a task, and one that depends on it."""
    mission = await desk.made()
    one = await desk.task(mission, "One")
    return mission, one, await desk.task(mission, "Two", depends_on=[one["id"]])


async def test_a_change_and_a_deletion_wait_for_each_other_in_both_orders(desk: Desk, module_database: Any) -> None:
    for held in HELD:
        for changed_first in (True, False):
            mission, one, two = await planned_two(desk)
            here = {"crewId": desk.crew.id, "missionId": mission["id"]}

            async def change(id: str = two["id"], here: dict[str, str] = here) -> Any:
                return await said(desk, UPDATE, input=here | {"id": id, "title": "Changed"})

            async def delete(id: str = one["id"]) -> Any:
                return await said(desk, DELETE, input={"id": id})

            order = (change, delete) if changed_first else (delete, change)
            done = await together(desk, module_database.owner_url, mission, held, *order)
            assert set(map(str, done)) == {str({"id": one["id"]}), str({"id": two["id"]})}, (held, changed_first, done)
            (left,) = (await desk.shown(mission))["tasks"]
            assert (left["title"], left["status"]) == ("Changed", "PENDING")


async def test_of_a_change_and_a_deletion_of_one_task_each_ends(desk: Desk, module_database: Any) -> None:
    for held in HELD:
        for changed_first in (True, False):
            mission, one, _ = await planned_two(desk)
            here = {"crewId": desk.crew.id, "missionId": mission["id"]}

            async def change(id: str = one["id"], here: dict[str, str] = here) -> Any:
                return await said(desk, UPDATE, input=here | {"id": id, "status": "SKIPPED"})

            async def delete(id: str = one["id"]) -> Any:
                return await said(desk, DELETE, input={"id": id})

            order = (change, delete) if changed_first else (delete, change)
            first, second = await together(desk, module_database.owner_url, mission, held, *order)
            assert first == {"id": one["id"]}, (held, changed_first, first)
            gone = ("NOT_FOUND", {"id": "Task not found"})
            assert second == ({"id": one["id"]} if changed_first else gone), (held, changed_first, second)


async def test_the_version_is_that_of_the_task_and_of_no_other(desk: Desk) -> None:
    _, one, two = await planned_two(desk)
    version = "SELECT version FROM mission_tasks WHERE id = $1"
    await desk.world.database.execute("UPDATE mission_tasks SET version = 7 WHERE id = $1", two["id"])
    own = await desk.world.database.fetchval(version, one["id"])
    for wrong in (own + 1, 7):
        refused = await said(desk, DELETE_OF, input={"id": one["id"]}, v=wrong)
        assert refused[0] == "PRECONDITION_FAILED", refused
        assert await desk.world.database.fetchval(version, two["id"]) == 7
    assert await said(desk, DELETE_OF, input={"id": one["id"]}, v=own) == {"id": one["id"]}
