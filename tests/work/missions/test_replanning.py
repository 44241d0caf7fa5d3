"""GraphQL: the order of a list of missions, tasks taken out of a plan, and work that begins again from tasks."""

from typing import Any

import pytest

from tests.work.missions.desk import Desk
from tests.work.missions.test_actions import planned

pytestmark = pytest.mark.anyio
SORTED = """query($ws: ID, $crew: ID, $sort: MissionSort, $type: MissionType) {
    missions(workspaceId: $ws, crewId: $crew, sort: $sort, missionType: $type) { nodes { id } } }"""
PAGE = """query($ws: ID, $crew: ID, $after: String) {
    missions(workspaceId: $ws, crewId: $crew, sort: oldest, first: 2, after: $after) {
        nodes { id } pageInfo { endCursor } } }"""
DELETE = """mutation($ws: ID, $input: ByIdInput!) { deleteMissionTask(workspaceId: $ws, input: $input) { id } }"""
FROM = """mutation($ws: ID, $input: RestartMissionFromInput!) {
    restartMissionFrom(workspaceId: $ws, input: $input) { status mission { status completedAt } } }"""
ONE = "query($ws: ID, $id: ID!) { missionTask(workspaceId: $ws, id: $id) { title mission { id } dependsOn } }"


async def said(desk: Desk, text: str, **variables: Any) -> Any:
    """The value of the only root, or the message and the fields of the error."""
    answer = await desk.world.graphql(desk.world.owner, text, variables)
    if "errors" in answer:
        error = answer["errors"][0]
        return error["extensions"]["code"], error["extensions"].get("fields") or error["message"]
    (value,) = answer["data"].values()
    return value


async def test_missions_are_sorted_by_creation_and_change(desk: Desk) -> None:
    first, second, third = [await desk.made(title) for title in ("One", "Two", "Three")]
    await desk.done("PATCH", desk.at(second), {"title": "Changed"})

    async def ids(**by: Any) -> list[str]:
        return [node["id"] for node in (await said(desk, SORTED, crew=desk.crew.id, **by))["nodes"]]

    newest = [third["id"], second["id"], first["id"]]
    assert await ids() == await ids(sort="newest") == newest
    assert await ids(sort="oldest") == newest[::-1]
    for type_ in (None, "orchestration"):
        assert await ids(sort="recently_changed", type=type_) == [second["id"], third["id"], first["id"]]
    assert await ids(sort="recently_changed", type="issue") == []
    pages = await said(desk, PAGE, crew=desk.crew.id)
    assert [node["id"] for node in pages["nodes"]] == [first["id"], second["id"]]
    rest = await said(desk, PAGE, crew=desk.crew.id, after=pages["pageInfo"]["endCursor"])
    assert [node["id"] for node in rest["nodes"]] == [third["id"]]


async def test_a_task_that_is_deleted_holds_no_other_back(desk: Desk) -> None:
    mission, (one, two, three) = await planned(desk)
    since = await desk.since()
    assert await said(desk, DELETE, input={"id": two["id"]}) == {"id": two["id"]}
    shown = {task["title"]: task for task in (await desk.shown(mission))["tasks"]}
    assert {title: task["status"] for title, task in shown.items()} == {"One": "PENDING", "Three": "PENDING"}
    left = {"title": "Three", "mission": {"id": mission["id"]}, "dependsOn": []}
    assert await said(desk, ONE, id=three["id"]) == left
    assert [type_ for _, type_, _ in await desk.told(mission, since)] == ["task.updated", "task.deleted"]
    assert await said(desk, ONE, id=two["id"]) == ("NOT_FOUND", {"id": "Task not found"})
    await desk.done("PATCH", desk.at(mission, f"/tasks/{three['id']}"), {"depends_on": f'["{one["id"]}"]'})
    assert (await desk.states(mission))["Three"] == "BLOCKED"


async def test_a_task_is_deleted_only_while_its_mission_is_planned(desk: Desk) -> None:
    mission, (one, *_) = await planned(desk)
    for status in ("IN_PROGRESS", "REVIEW", "FAILED", "COMPLETED", "CANCELLED"):
        await desk.put(mission, status)
        code, why = await said(desk, DELETE, input={"id": one["id"]})
        assert code == "BAD_REQUEST"
        assert status in str(why)
    assert len(await desk.states(mission)) == 3


async def test_work_begins_again_from_a_task_with_all_that_follows(desk: Desk) -> None:
    mission, (one, two, three) = await planned(desk)
    alone = await desk.task(mission, "Alone")
    for task in (one, two, three, alone):
        await desk.put_task(task, "COMPLETED", result_summary="Done")
    assert (await said(desk, FROM, input={"id": mission["id"], "taskIds": [two["id"]]}))[0] == "CONFLICT"
    await desk.put(mission, "COMPLETED")
    answer = await said(desk, FROM, input={"id": mission["id"], "taskIds": [two["id"]]})
    assert answer == {"status": "PLANNING", "mission": {"status": "PLANNING", "completedAt": None}}
    wanted = {"One": "COMPLETED", "Two": "PENDING", "Three": "BLOCKED", "Alone": "COMPLETED"}
    assert await desk.states(mission) == wanted
    results = {task["title"]: task.get("result_summary") for task in (await desk.shown(mission))["tasks"]}
    assert results == {"One": "Done", "Two": None, "Three": None, "Alone": "Done"}
    await desk.done("POST", desk.at(mission, "/start"))


async def test_work_begins_again_only_from_tasks_of_the_mission(desk: Desk) -> None:
    mission, (one, *_) = await planned(desk)
    _, (foreign, *_) = await planned(desk)
    await desk.put(mission, "FAILED")
    for ids in ([foreign["id"]], [one["id"], "cnosuchrow00000000000"]):
        code, fields = await said(desk, FROM, input={"id": mission["id"], "taskIds": ids})
        assert code == "BAD_REQUEST"
        assert "taskIds" in fields
    assert (await said(desk, FROM, input={"id": mission["id"], "taskIds": []}))[0] == "BAD_REQUEST"
    assert (await desk.shown(mission))["status"] == "FAILED"
