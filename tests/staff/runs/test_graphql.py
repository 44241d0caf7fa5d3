"""GraphQL: runs, and the ways between them and what they belong to."""

from datetime import UTC, datetime, timedelta

import pytest

from models.staff.runs import RunStatus
from tests.staff.runs.logbook import agent_of, chat_of, crew_of, run_of
from tests.world import World, now

pytestmark = pytest.mark.anyio
START = datetime(2024, 5, 1, 10, tzinfo=UTC)


async def test_a_run_and_what_it_belongs_to(world: World) -> None:
    agent = await agent_of(world, name="Stoker", slug="stoker-1", crew_id=(await crew_of(world)).id)
    chat = await chat_of(world, agent)
    times = {"created_at": START, "finished_at": START + timedelta(hours=1)}
    run = await run_of(
        world,
        agent,
        RunStatus.CANCELLED,
        chat_id=chat.id,
        max_turns=7,
        data={"n": 1},
        error_message="cancelled",
        **times,
    )
    document = """query($ws: ID!, $id: ID!) { run(workspaceId: $ws, id: $id) {
        id status agentName agentSlug crewName agent { id } chat { id } startedAt createdAt finishedAt metadata
        maxTurns model errorMessage triggerType
    } }"""
    answer = await world.graphql(world.viewer, document, {"id": run.id})
    assert answer["data"]["run"] == {
        "id": run.id, "status": "CANCELLED", "agentName": "Stoker", "agentSlug": "stoker-1", "crewName": "Engine",
        "agent": {"id": agent.id},
        "chat": {"id": chat.id}, "startedAt": None, "createdAt": "2024-05-01T10:00:00Z",
        "finishedAt": "2024-05-01T11:00:00Z", "metadata": {"n": 1},
        "maxTurns": 7, "model": None, "errorMessage": "cancelled", "triggerType": "USER",
    }  # fmt: skip


async def test_a_run_outlives_its_chat(world: World) -> None:
    run = await run_of(world, await agent_of(world), chat_id="a chat that was")
    answer = await world.graphql(
        world.viewer,
        "query($ws: ID!, $id: ID!) { run(workspaceId: $ws, id: $id) { chatId chat { id } } }",
        {"id": run.id},
    )
    assert answer["data"]["run"] == {"chatId": "a chat that was", "chat": None}


async def test_lists_and_statistics(world: World) -> None:
    agent = await agent_of(world)
    chat = await chat_of(world, agent)
    in_chat = await run_of(world, agent, chat_id=chat.id, created_at=START, data={"tags": ["x"]})
    other = await run_of(world, agent, RunStatus.FAILED, created_at=START - timedelta(hours=1), trigger_type="CRON")
    document = """query($ws: ID!, $agent: ID!, $chat: ID!) {
        runs(workspaceId: $ws, agentId: $agent, first: 1) { totalCount nodes { id } pageInfo { hasNextPage endCursor } }
        second: runs(workspaceId: $ws, agentId: $agent, limit: 1, page: 2) { nodes { id } }
        agentRuns(workspaceId: $ws, agentId: $agent) { id }
        agent(workspaceId: $ws, id: $agent) {
            runs(status: FAILED) { nodes { id } } tagged: runs(tag: "x") { nodes { id } } }
        chat(id: $chat) { runs { nodes { id } } }
        workspace(id: $ws) { runs(trigger: "CRON", agentId: $agent) { totalCount } }
        runStats(workspaceId: $ws) { running today failed }
    }"""
    before = (await world.graphql(world.viewer, document, {"agent": agent.id, "chat": chat.id}))["data"]
    assert before["runs"]["nodes"] == [{"id": in_chat.id}]
    assert (before["runs"]["totalCount"], before["runs"]["pageInfo"]["hasNextPage"]) == (2, True)
    assert before["second"] == {"nodes": [{"id": other.id}]}
    assert before["agentRuns"] == [{"id": in_chat.id}, {"id": other.id}]
    assert before["agent"] == {"runs": {"nodes": [{"id": other.id}]}, "tagged": {"nodes": [{"id": in_chat.id}]}}
    assert before["chat"] == {"runs": {"nodes": [{"id": in_chat.id}]}}
    assert before["workspace"] == {"runs": {"totalCount": 1}}
    await run_of(world, agent, RunStatus.RUNNING)
    await run_of(world, agent, RunStatus.TIMEOUT, created_at=START, finished_at=now())
    after = (await world.graphql(world.viewer, document, {"agent": agent.id, "chat": chat.id}))["data"]
    assert {name: after["runStats"][name] - before["runStats"][name] for name in after["runStats"]} == {
        "running": 1,
        "today": 1,
        "failed": 1,
    }


async def test_runs_cannot_be_reported_by_graphql(world: World) -> None:
    for name in ("createRun", "reportStart", "finishRun", "reportEnd", "createInternal"):
        answer = await world.graphql(world.owner, f"mutation {{ {name} {{ __typename }} }}")
        assert "data" not in answer or answer["data"] is None
        assert "Cannot query field" in answer["errors"][0]["message"]
