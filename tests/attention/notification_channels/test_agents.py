"""Agents that may send to channels, and what they send."""

import json
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.attention.notification_channels import agents_sending
from resolvers.kernel.ground.pace import Pace
from tests.attention.notification_channels.test_channels import PATH, Receiver, private_addresses
from tests.attention.notification_channels.test_members import made
from tests.world import World

pytestmark = pytest.mark.anyio
SEND, CHANNELS = "/api/v1/internal/notifications/send", "/api/v1/internal/notifications/channels"


@pytest.fixture(autouse=True)
def _rested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents_sending, "SENDS", Pace(3, agents_sending.TOO_OFTEN, a_minute=1))


async def agent_of(world: World, *, crew: bool = True) -> Agent:
    here = {"workspace_id": world.workspace.id}
    of_crew = Crew(name="Deck", slug=f"deck-{new_id()}", **here)
    agent = Agent(name="Ada", slug=f"ada-{new_id()}", crew_id=of_crew.id if crew else None, **here)
    await world.add(of_crew, agent)
    return agent


def headers(world: World) -> dict[str, str]:
    assert world.settings.internal_token is not None
    return {"x-internal-token": world.settings.internal_token.get_secret_value()}


async def allow(world: World, channel: str, agent_id: str, status: int = 200) -> Any:
    answer = await world.rest(world.admin, "POST", f"{PATH}/{channel}/agents", {"agent_id": agent_id})
    assert answer.status_code == status, answer.text
    return answer.json()


async def send(world: World, agent: Agent, channel: str, status: int, **body: Any) -> Any:
    told = {"workspace_id": world.workspace.id, "agent_id": agent.id, "channel_id": channel, "title": "Done"}
    answer = await world.rest(None, "POST", SEND, told | body, workspace=None, **headers(world))
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_an_agent_sends_only_where_it_may(world: World) -> None:
    agent = await agent_of(world)
    async with Receiver().listening() as receiver:
        with private_addresses():
            channel = (await made(world, world.manager, url=receiver.url))["id"]
            await send(world, agent, channel, 403)
            assert receiver.got == []
            await allow(world, channel, f" {agent.id} ")
            sent = await send(world, agent, channel, 200, title=" Done ", body=f"sk-ant-api03-{'a' * 90}")
            assert sent == {"ok": True, "channel_id": channel}
    sent_headers, body = receiver.got[0]
    assert sent_headers["x-crewship-category"] == "agents.message"
    told = json.loads(body)
    assert (told["category"], told["title"], told["priority"], told["source_id"]) == (
        "agents.message", "Done", "medium", agent.id,
    )  # fmt: skip
    assert "a" * 90 not in told["body"]
    entry = await world.database.fetchrow(
        "SELECT entry_type, actor_id, payload FROM journal_entries WHERE agent_id = $1", agent.id
    )
    assert (entry["entry_type"], entry["actor_id"]) == ("notification.delivered", agent.id)
    assert "example" not in str(entry["payload"])


async def test_a_failure_is_in_the_journal_and_the_fourth_is_too_many(world: World) -> None:
    agent = await agent_of(world)
    channel = (await made(world, world.manager, url="http://127.0.0.1:9/hook"))["id"]
    await allow(world, channel, agent.id)
    for _ in range(3):
        assert "127.0.0.1" not in str(await send(world, agent, channel, 502))
    await send(world, agent, channel, 429)
    failed = "SELECT count(*) FROM journal_entries WHERE agent_id = $1 AND entry_type = 'notification.failed'"
    assert await world.database.fetchval(failed, agent.id) == 3


@pytest.mark.parametrize(
    "body",
    [{"title": " "}, {"channel_id": ""}, {"agent_id": ""}, {"body": "é" * 4097}],
    ids=["no title", "no channel", "no agent", "long"],
)
async def test_a_bad_message_is_refused(world: World, body: dict[str, Any]) -> None:
    agent = await agent_of(world)
    channel = (await made(world, world.manager))["id"]
    await allow(world, channel, agent.id)
    before = await world.snapshot()
    await send(world, agent, channel, 400, **body)
    assert await world.snapshot() == before


async def test_permissions_are_listed_and_taken_back(world: World) -> None:
    agent = await agent_of(world)
    channel = (await made(world, world.manager))["id"]
    own = (await made(world, world.member, personal=True))["id"]
    for _ in range(2):
        allowed = await allow(world, channel, agent.id)
        assert allowed == {"channel_id": channel, "agent_id": agent.id, "allowed": True}
    path = f"{PATH}/{own}/agents"
    assert (await world.rest(world.member, "POST", path, {"agent_id": agent.id})).status_code == 200
    (pairing,) = (await world.rest(world.owner, "GET", f"{PATH}/{channel}/agents")).json()["agents"]
    assert (pairing["agent_slug"], pairing["granted_by"]) == (agent.slug, world.admin.user_id)
    of_agent = f"/api/v1/agents/{agent.id}/notification-channels"
    open_ = (await world.rest(world.viewer, "GET", of_agent)).json()["channels"]
    assert open_ == [{"id": id, "type": "webhook", "enabled": True} for id in (own, channel)]
    async with world.client(None, **headers(world)) as client:
        of_it = {"workspace_id": world.workspace.id, "agent_id": agent.id}
        inside = await client.get(CHANNELS, params=of_it)
    assert [one["channel_id"] for one in inside.json()["channels"]] == [own, channel]
    denied = await world.rest(world.admin, "DELETE", f"{PATH}/{channel}/agents/{agent.id}")
    assert denied.json() == {"channel_id": channel, "agent_id": agent.id, "allowed": False}
    assert (await world.rest(world.admin, "DELETE", f"{PATH}/{channel}/agents/{agent.id}")).status_code == 404
    await world.rest(world.member, "DELETE", f"{PATH}/{own}")
    assert (await world.rest(world.viewer, "GET", of_agent)).json() == {"channels": []}
    await send(world, agent, own, 404)


async def test_agents_without_a_crew_and_of_another_crew_are_refused(world: World) -> None:
    loose, agent = await agent_of(world, crew=False), await agent_of(world)
    channel = (await made(world, world.manager))["id"]
    await allow(world, channel, loose.id, 400)
    await allow(world, channel, "unknown", 400)
    await allow(world, channel, agent.id)
    await send(world, loose, channel, 403)
    await send(world, agent, channel, 403, crew_id="another")
