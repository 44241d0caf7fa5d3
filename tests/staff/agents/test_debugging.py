"""Diagnostics of an agent."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.runs import Run, RunFrame, RunStatus
from models.workers import Worker
from resolvers.rules.workers import HEARD
from tests.world import World, now

pytestmark = pytest.mark.anyio
ASKED = """query($ws: ID, $agent: ID!) { agentDebug(workspaceId: $ws, agentId: $agent) {
    agent { dbStatus } crewshipdReachable crewshipd { workers runtimes } runtime { status chatId }
    serviceLogs { msg level error } agentLogs { event content metadata }
} }"""


@pytest.fixture(autouse=True)
async def no_workers(world: World) -> AsyncIterator[None]:
    await world.database.execute("DELETE FROM workers")
    yield
    await world.database.execute("DELETE FROM workers")


async def agent_of(world: World) -> Agent:
    agent = Agent(workspace_id=world.workspace.id, name="Hand", slug=f"a{new_id()}")
    await world.add(agent)
    return agent


async def debug(world: World, agent: Agent) -> Any:
    async with world.client(world.admin) as client:
        params = {"workspace_id": world.workspace.id}
        answer = await client.get(f"/api/v1/agents/{agent.id}/debug", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_without_a_worker_and_without_a_run(world: World) -> None:
    agent = await agent_of(world)
    await world.add(Worker(runtime="bubblewrap", version="1", seen_at=now() - 2 * HEARD))
    found = await debug(world, agent)
    assert found == {
        "agent": {"id": agent.id, "name": agent.name, "cli_adapter": "CLAUDE_CODE", "db_status": "IDLE"},
        "crewshipd_reachable": False,
        "runtime": {"status": "unreachable"},
        "service_logs": [],
        "agent_logs": [],
    }
    await world.add(Worker(runtime="bubblewrap", version="1"))
    found = await debug(world, agent)
    assert found["crewshipd_reachable"]
    assert found["crewshipd"] == {"workers": 1, "runtimes": ["bubblewrap"]}
    assert found["runtime"] == {"agent_id": agent.id, "status": "idle"}


async def test_the_newest_run_and_what_was_logged(world: World) -> None:
    agent, other = await agent_of(world), await agent_of(world)
    here = {"workspace_id": world.workspace.id}
    chat, far = Chat(agent_id=agent.id, **here), Chat(agent_id=other.id, **here)
    times = {"started_at": now() - timedelta(hours=1), "finished_at": now() - timedelta(minutes=50)}
    failed = Run(
        agent_id=agent.id, chat_id=chat.id, status=RunStatus.FAILED, error_message="Out of luck", **times, **here
    )
    live = Run(agent_id=agent.id, chat_id=chat.id, started_at=now(), **here)
    foreign = Run(agent_id=other.id, chat_id=far.id, started_at=now(), **here)
    await world.add(Worker(), chat, far, failed, live, foreign)
    for owner, of, run in ((agent, chat, failed), (other, far, foreign)):
        for seq in range(1, 61):
            payload = {"type": "result", "content": f"{seq}", "metadata": {"num_turns": seq}}
            frame = {"agent_id": owner.id, "chat_id": of.id, "run_id": run.id, "seq": seq, "payload": payload}
            await world.add(RunFrame(type="chat_event", created_at=now() + timedelta(seconds=seq), **frame, **here))
    found = await debug(world, agent)
    assert found["runtime"]["status"] == "running"
    assert (found["runtime"]["id"], found["runtime"]["agent_id"]) == (chat.id, agent.id)
    assert [(line["msg"], line["level"], line.get("error")) for line in found["service_logs"]] == [
        ("run started", "INFO", None),
        ("run ended", "ERROR", "Out of luck"),
        ("run started", "INFO", None),
    ]
    assert [entry["content"] for entry in found["agent_logs"]] == [str(n) for n in range(11, 61)]
    assert found["agent_logs"][-1]["metadata"] == {"num_turns": 60}
    assert found["agent_logs"][-1]["event"] == "result"
    async with world.client(world.admin) as client:
        variables = {"ws": world.workspace.id, "agent": agent.id}
        answer = (await client.post("/graphql", json={"query": ASKED, "variables": variables})).json()
    assert "errors" not in answer
    same = answer["data"]["agentDebug"]
    assert same["runtime"] == {"status": "running", "chatId": chat.id}
    assert [line["error"] for line in same["serviceLogs"]] == [None, "Out of luck", None]
    assert same["crewshipd"] == {"workers": 1, "runtimes": []}


async def test_it_is_for_administrators(world: World) -> None:
    agent = await agent_of(world)
    for person, status in ((world.viewer, 403), (world.manager, 403), (world.admin, 200), (world.outsider, 403)):
        async with world.client(person) as client:
            params = {"workspace_id": world.workspace.id}
            answer = await client.get(f"/api/v1/agents/{agent.id}/debug", params=params)
            assert answer.status_code == status
    async with world.client(world.admin) as client:
        assert (await client.get("/api/v1/agents/cunknown0000000000000/debug", params=params)).status_code == 404
