"""Learning, peer cards and the desk of agents, as the contract states them."""

from typing import Any

import pytest

from models.base import new_id
from models.people.privacy import PeerCard
from models.resources.costs import CostDay
from models.staff.agents import Agent
from models.staff.assignments import Escalation, PeerConversation, PeerConversationStatus
from models.staff.crews import Crew
from tests.every import each_of
from tests.world import World, now

pytestmark = pytest.mark.anyio


async def ada_of(world: World, *, crew: bool = True) -> Agent:
    here = {"workspace_id": world.workspace.id}
    row = Crew(name="Engine", slug=new_id(), **here)
    await world.add(row)
    agent = Agent(name="Ada", slug=new_id(), crew_id=row.id if crew else None, **here)
    await world.add(agent)
    return agent


def path(agent: Agent, rest: str) -> str:
    return f"/api/v1/agents/{agent.id}/{rest}"


async def test_learning_is_off_until_an_administrator_switches_it_on(world: World) -> None:
    ada = await ada_of(world)
    assert (await world.rest(world.viewer, "GET", path(ada, "learning"))).json() == {
        "agent_id": ada.id, "enabled": False
    }  # fmt: skip
    answer = await world.rest(world.admin, "PATCH", path(ada, "learning"), {"enabled": True, "reason": "  trusted "})
    assert answer.status_code == 200
    body = answer.json()
    assert body == {
        "agent_id": ada.id, "enabled": True, "set_by_user_id": world.admin.user_id, "set_at": body["set_at"],
        "reason": "trusted",
    }  # fmt: skip
    assert (await world.rest(world.viewer, "GET", path(ada, "learning"))).json() == body


@each_of(
    "body", [{"enabled": True}, {"enabled": True, "reason": " "}, {"reason": "x"}, {"enabled": None, "reason": "x"},
             {"enabled": "yes", "reason": "x"}, {}]
)  # fmt: skip
async def test_a_bad_switch_changes_nothing(world: World, body: dict[str, Any]) -> None:
    ada = await ada_of(world)
    assert (await world.rest(world.admin, "PATCH", path(ada, "learning"), body)).status_code == 400
    assert not await world.database.fetchval("SELECT learning_enabled FROM agents WHERE id = $1", ada.id)


async def test_managers_do_not_switch_it(world: World) -> None:
    ada = await ada_of(world)
    sent = {"enabled": True, "reason": "x"}
    assert (await world.rest(world.manager, "PATCH", path(ada, "learning"), sent)).status_code == 403


async def card_of(world: World, agent: Agent) -> PeerCard:
    named = {"user_slug": "f247", "path": "p", "content": "Likes tea", "bytes": 9}
    card = PeerCard(agent_id=agent.id, user_id=world.owner.user_id, workspace_id=world.workspace.id, **named)
    await world.add(card)
    return card


async def noted(world: World, agent: Agent) -> list[tuple[str, Any]]:
    sql = "SELECT action, details FROM peer_card_audit WHERE agent_id = $1 ORDER BY created_at"
    return [(row["action"], row["details"]) for row in await world.database.fetch(sql, agent.id)]


async def test_peer_cards_are_listed_read_and_deleted_and_it_is_noted(world: World) -> None:
    ada = await ada_of(world)
    one = path(ada, f"peers/{world.owner.user_id}")
    assert (await world.rest(world.viewer, "GET", path(ada, "peers"))).json() == {"agent_id": ada.id, "peers": []}
    assert (await world.rest(world.viewer, "GET", one)).status_code == 404
    assert await noted(world, ada) == []
    card = await card_of(world, ada)
    (entry,) = (await world.rest(world.viewer, "GET", path(ada, "peers"))).json()["peers"]
    assert (entry["id"], entry["user_slug"], entry["bytes"]) == (card.id, "f247", 9)
    assert "content" not in entry
    assert await noted(world, ada) == []
    assert (await world.rest(world.viewer, "GET", one)).json() == {
        "agent_id": ada.id, "user_id": world.owner.user_id, "user_slug": "f247", "content": "Likes tea", "bytes": 9
    }  # fmt: skip
    for _ in range(2):
        assert (await world.rest(world.member, "DELETE", one)).status_code == 204
    gone = ("delete", {"source": "agent_endpoint"})
    assert await noted(world, ada) == [("read", None), gone, gone]
    assert (await world.rest(world.member, "DELETE", path(ada, "peers/cunknown0000000000000"))).status_code == 204


async def test_an_agent_without_a_crew_keeps_no_cards(world: World) -> None:
    ada = await ada_of(world, crew=False)
    for method, rest in (("GET", "peers"), ("GET", "peers/x"), ("DELETE", "peers/x")):
        assert (await world.rest(world.viewer, method, path(ada, rest))).status_code == 409


async def test_the_desk_of_an_agent(world: World) -> None:
    ada, bob = await ada_of(world), await ada_of(world)
    empty = (await world.rest(world.viewer, "GET", path(ada, "inbox"))).json()
    assert empty == {
        "approvals_pending": 0, "assignments_open": 0, "escalations_open": 0, "peer_messages": [],
        "cost_usd_this_month": 0, "llm_calls_this_month": 0, "tokens_used_this_month": 0,
    }  # fmt: skip
    here = {"workspace_id": world.workspace.id}
    asked = {"question": "Why?", "status": PeerConversationStatus.COMPLETED, "response": "So.", "duration_ms": 5}
    await world.add(
        PeerConversation(from_agent_id=ada.id, to_agent_id=bob.id, **asked, **here),
        Escalation(crew_id=ada.crew_id, from_agent_id=ada.id, reason="r", **here),
        CostDay(
            day=now().date(), slot=1, agent_id=ada.id, crew_id="", model="m", calls=2, input_tokens=3, output_tokens=4,
            cost_micros=1_500_000, **here,
        ),
    )  # fmt: skip
    found = (await world.rest(world.viewer, "GET", path(ada, "inbox"))).json()
    (message,) = found.pop("peer_messages")
    del empty["peer_messages"]
    assert found == empty | {
        "escalations_open": 1, "cost_usd_this_month": 1.5, "llm_calls_this_month": 2, "tokens_used_this_month": 7
    }  # fmt: skip
    assert (message["direction"], message["from_agent_slug"], message["response"]) == ("outgoing", ada.slug, "So.")
    (other,) = (await world.rest(world.viewer, "GET", path(bob, "inbox"))).json()["peer_messages"]
    assert (other["direction"], other["id"]) == ("incoming", message["id"])
