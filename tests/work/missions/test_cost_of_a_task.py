"""GraphQL: what a task of a mission costs."""

from typing import Any

import pytest

from models.resources.costs import ModelCall
from models.staff.runs import Run
from models.work.missions import Assignment
from tests.work.missions.desk import Desk

pytestmark = pytest.mark.anyio
SHOWN = """query($ws: ID, $id: ID!) { mission(workspaceId: $ws, id: $id) {
    tasks { nodes { usage { calls unpricedCalls inputTokens costUsd } } } } }"""


async def test_the_calls_of_the_runs_of_its_assignment_count_for_a_task(desk: Desk) -> None:
    mission, world = await desk.made(), desk.world
    task, other = await desk.task(mission, "Write"), await desk.task(mission, "Read")
    of: dict[str, Any] = {"assigned_by_id": desk.lead.id, "assigned_to_id": desk.worker.id, **desk.here}
    given = Assignment(chat_id=mission["id"], task="Write", **of)
    by: dict[str, Any] = {"agent_id": desk.worker.id, "prompt": "x", **desk.here}
    runs = [Run(assignment_id=id, **by) for id in (given.id, given.id, None)]
    call: dict[str, Any] = {"mission_id": mission["id"], "provider": "openai", "model": "m", **desk.here}
    await world.add(
        given, *runs,
        ModelCall(run_id=runs[0].id, step="1", input_tokens=7, cost_micros=1_500_000, **call),
        ModelCall(run_id=runs[1].id, step="1", input_tokens=5, **call),
        ModelCall(run_id=runs[2].id, step="1", input_tokens=9, cost_micros=9, **call),
    )  # fmt: skip
    await world.database.execute("UPDATE mission_tasks SET assignment_id = $1 WHERE id = $2", given.id, task["id"])

    async def usages(person: Any) -> dict[str, Any]:
        answer = await world.graphql(person, SHOWN.replace("nodes {", "nodes { id"), {"id": mission["id"]})
        return {node["id"]: node["usage"] for node in answer["data"]["mission"]["tasks"]["nodes"]}

    assert await usages(world.owner) == {
        task["id"]: {"calls": 2, "unpricedCalls": 1, "inputTokens": 12, "costUsd": 1.5},
        other["id"]: {"calls": 0, "unpricedCalls": 0, "inputTokens": 0, "costUsd": 0},
    }
    assert set((await usages(world.viewer)).values()) == {None}
