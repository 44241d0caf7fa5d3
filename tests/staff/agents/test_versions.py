"""What counts as an edit: version and time of change rise with what people change, not with what the service notes."""

from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.runs import RunStatus
from tests.staff.runs.logbook import agent_of, internal, row
from tests.world import World

pytestmark = pytest.mark.anyio


async def started(world: World, agent: Agent) -> str:
    body = {"id": f"run-{new_id()}", "agent_id": agent.id, "workspace_id": world.workspace.id}
    answer = await internal(world, "POST", "", body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def edit(agent: dict[str, Any]) -> tuple[Any, ...]:
    return agent["version"], agent["updated_at"]


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED])
async def test_a_run_is_no_edit_of_its_agent(world: World, status: RunStatus) -> None:
    agent = await agent_of(world)
    before = await row(world, "agents", agent.id)
    id = await started(world, agent)
    running = await row(world, "agents", agent.id)
    assert (before["status"], running["status"]) == ("IDLE", "RUNNING")
    await internal(world, "PATCH", f"/{id}", {"status": status})
    after = await row(world, "agents", agent.id)
    assert after["status"] == ("ERROR" if status is RunStatus.FAILED else "IDLE")
    assert edit(before) == edit(running) == edit(after)


async def test_to_stop_an_agent_is_no_edit_of_it(world: World) -> None:
    agent = await agent_of(world)
    before = await row(world, "agents", agent.id)
    assert (await world.rest(world.owner, "POST", f"/api/v1/agents/{agent.id}/stop")).status_code == 200
    after = await row(world, "agents", agent.id)
    assert after == before | {"status": "STOPPED"}


async def test_a_form_that_was_open_while_the_agent_ran_is_taken(world: World) -> None:
    """And what was sent about another state of the configuration is not; an answer that shows the status has another
    ETag all the same.
    """
    agent, path = await agent_of(world), "/api/v1/agents/"
    before = await row(world, "agents", agent.id)
    tag = (await world.rest(world.owner, "GET", path + agent.id)).headers["etag"]
    await started(world, agent)
    assert (await world.rest(world.owner, "GET", path + agent.id, **{"if-none-match": tag})).status_code == 200
    assert (
        await world.rest(world.owner, "PATCH", path + agent.id, {"name": "One"}, **{"if-match": tag})
    ).status_code == 200
    after = await row(world, "agents", agent.id)
    assert after["version"] == before["version"] + 1
    assert after["updated_at"] > before["updated_at"]
    assert (
        await world.rest(world.owner, "PATCH", path + agent.id, {"name": "Two"}, **{"if-match": tag})
    ).status_code == 412


async def test_a_failed_login_is_no_edit_of_the_account(world: World) -> None:
    user = world.viewer
    before = await row(world, "users", user.user_id)
    async with world.client() as client:
        csrf = (await client.get("/api/auth/csrf")).json()["csrfToken"]
        await client.post(
            "/api/auth/callback/credentials", data={"email": user.email, "password": "not this one", "csrfToken": csrf}
        )
    assert await row(world, "users", user.user_id) == before | {"failed_login_count": 1}
