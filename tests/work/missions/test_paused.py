"""GraphQL: a mission is paused by somebody, needs attention, and is continued."""

from typing import Any

import pytest

from tests.work.missions.desk import Desk

pytestmark = pytest.mark.anyio
PAUSE = "mutation($ws: ID, $input: ByIdInput!) { pauseMission(workspaceId: $ws, input: $input) { %s } }"
CONTINUE = PAUSE.replace("pauseMission", "continueMission")
SHOWN = "id status pausedAt pausedBy pauser { id }"
ATTENTION = '{ attention(workspaceId: "%s", kind: [mission_pause]) { nodes { subjectId subjectType title urgency } } }'


async def paused(desk: Desk, document: str, mission: dict[str, Any], person: Any = None, shown: str = SHOWN) -> Any:
    answer = await desk.world.graphql(person or desk.world.owner, document % shown, {"input": {"id": mission["id"]}})
    return answer["errors"][0]["extensions"]["code"] if "errors" in answer else next(iter(answer["data"].values()))


async def test_a_paused_mission_says_by_whom_and_needs_attention(desk: Desk) -> None:
    mission, owner = await desk.made("Sail on"), desk.world.owner
    assert await paused(desk, PAUSE, mission) == "CONFLICT", "it was not started"
    await desk.done("POST", desk.at(mission, "/start"))
    made = await paused(desk, PAUSE, mission)
    assert (made["status"], made["pausedBy"], made["pauser"]) == ("IN_PROGRESS", owner.user_id, {"id": owner.user_id})
    assert made["pausedAt"] is not None
    assert await paused(desk, PAUSE, mission) == "CONFLICT"
    assert await paused(desk, CONTINUE, mission, desk.world.viewer) == "FORBIDDEN"

    async def needing() -> list[Any]:
        answer = await desk.world.graphql(owner, ATTENTION % desk.world.workspace.id)
        return [row for row in answer["data"]["attention"]["nodes"] if row["subjectId"] == mission["id"]]

    entry = {"subjectId": mission["id"], "subjectType": "mission", "title": "Sail on", "urgency": 3}
    assert await needing() == [entry]
    assert (await paused(desk, CONTINUE, mission))["pausedAt"] is None
    assert await needing() == []
    assert await paused(desk, CONTINUE, mission) == "CONFLICT"
    actions = await desk.world.database.fetch(
        "SELECT action FROM audit_logs WHERE entity_id = $1 ORDER BY created_at", mission["id"]
    )
    assert [row["action"] for row in actions][-2:] == ["mission.paused", "mission.continued"]
