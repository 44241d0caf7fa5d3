"""GraphQL: missions by their kind, states, crew and lead, a mission by its id alone, and what a mission leads to."""

from typing import Any

import pytest

from models.resources.costs import ModelCall
from models.staff.assignments import Escalation
from models.work.work_pauses import WorkPause
from tests.work.missions.desk import Desk
from tests.world import Person

pytestmark = pytest.mark.anyio
FOUND = """query($ws: ID, $type: MissionType, $statuses: [MissionStatus!], $crew: ID, $lead: ID, $status: String) {
    missions(workspaceId: $ws, missionType: $type, statuses: $statuses, crewId: $crew, leadAgentId: $lead,
        status: $status) { totalCount nodes { id } } }"""
ONE = """query($ws: ID, $id: ID!, $crew: ID) { mission(workspaceId: $ws, id: $id, crewId: $crew) { id crewId } }"""
LED_TO = """query($ws: ID, $id: ID!) { mission(workspaceId: $ws, id: $id) {
    escalations(status: "PENDING") { totalCount nodes { reason } } workPauses { nodes { lastError active } }
    usage { calls unpricedCalls inputTokens costUsd } modelCalls { model } budgets { id } } }"""


async def found(desk: Desk, **by: Any) -> list[str]:
    answer = await desk.world.graphql(desk.world.owner, FOUND, {"crew": desk.crew.id, **by})
    page = answer["data"]["missions"]
    assert page["totalCount"] == len(page["nodes"])
    return [node["id"] for node in page["nodes"]]


async def test_missions_are_found_without_issues_and_by_several_states(desk: Desk) -> None:
    planned, issue, failed = await desk.made(), await desk.create("Leak"), await desk.made()
    await desk.put(failed, "FAILED")
    other = await Desk.of(desk.world)
    elsewhere = await other.made()
    assert await found(desk) == [failed["id"], issue["id"], planned["id"]]
    assert await found(desk, type="orchestration") == [failed["id"], planned["id"]]
    assert await found(desk, type="issue") == [issue["id"]]
    assert await found(desk, statuses=["FAILED", "BACKLOG"]) == [failed["id"], issue["id"]]
    assert await found(desk, statuses=["FAILED", "BACKLOG"], type="orchestration") == [failed["id"]]
    assert await found(desk, statuses=["FAILED"], status="PLANNING") == []
    assert await found(desk, statuses=[]) == []
    assert await found(desk, crew=other.crew.id) == [elsewhere["id"]]
    assert await found(desk, crew=None, lead=other.lead.id) == [elsewhere["id"]]
    assert await found(desk, lead=other.lead.id) == []
    assert {planned["id"], elsewhere["id"]} <= set(await found(desk, crew=None, type="orchestration"))


async def test_a_mission_is_found_by_its_id_alone(desk: Desk) -> None:
    mission, other = await desk.made(), await Desk.of(desk.world)
    foreign = await (await Desk.of(desk.world, desk.world.other)).made()

    async def one(person: Person = desk.world.owner, **by: Any) -> Any:
        answer = await desk.world.graphql(person, ONE, by)
        if "errors" in answer:
            return answer["errors"][0]["extensions"]["code"]
        return answer["data"]["mission"]["crewId"]

    assert await one(id=mission["id"]) == desk.crew.id
    assert await one(id=mission["id"], crew=desk.crew.id) == desk.crew.id
    assert await one(id=mission["id"], crew=other.crew.id) == "NOT_FOUND"
    for id in (foreign["id"], "cnosuchrow00000000000", ""):
        assert await one(id=id) == "NOT_FOUND"
    assert await one(desk.world.outsider, id=mission["id"]) in ("NOT_FOUND", "FORBIDDEN")


async def test_a_mission_leads_to_its_questions_pauses_and_costs(desk: Desk) -> None:
    mission, world = await desk.made(), desk.world
    asked: dict[str, Any] = {"crew_id": desk.crew.id, "from_agent_id": desk.worker.id, **desk.here}
    call: dict[str, Any] = {"agent_id": desk.worker.id, "provider": "openai", "model": "m", **desk.here}
    await world.add(
        Escalation(chat_id=mission["id"], reason="Whither?", **asked),
        Escalation(reason="Elsewhere", **asked),
        WorkPause(mission_id=mission["id"], agent_id=desk.worker.id, runs=3, last_error="fog", **desk.here),
        ModelCall(run_id="r1", step="1", mission_id=mission["id"], input_tokens=7, cost_micros=1_500_000, **call),
        ModelCall(run_id="r1", step="2", mission_id=mission["id"], input_tokens=5, **call),
        ModelCall(run_id="r2", step="1", input_tokens=9, cost_micros=9, **call),
    )
    shown = (await world.graphql(world.owner, LED_TO, {"id": mission["id"]}))["data"]["mission"]
    assert shown == {
        "escalations": {"totalCount": 1, "nodes": [{"reason": "Whither?"}]},
        "workPauses": {"nodes": [{"lastError": "fog", "active": True}]},
        "modelCalls": [{"model": "m"}, {"model": "m"}],
        "budgets": [],
        "usage": {"calls": 2, "unpricedCalls": 1, "inputTokens": 12, "costUsd": 1.5},
    }
    refused = await world.graphql(world.viewer, LED_TO, {"id": mission["id"]})
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    without = LED_TO.replace("modelCalls { model } budgets { id }", "")
    seen = (await world.graphql(world.viewer, without, {"id": mission["id"]}))["data"]["mission"]
    assert seen == {name: shown[name] for name in ("escalations", "workPauses")} | {"usage": None}
