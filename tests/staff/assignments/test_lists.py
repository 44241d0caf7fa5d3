"""What the agents of a crew have given and asked each other."""

from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.assignments import PeerConversation, PeerConversationStatus
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.work.missions import Assignment, AssignmentStatus
from tests.world import World, now

pytestmark = pytest.mark.anyio
PAGE = """query($ws: ID, $crew: ID!, $first: Int, $last: Int, $after: String, $before: String) {
    crewAssignments(workspaceId: $ws, crewId: $crew, first: $first, last: $last, after: $after, before: $before) {
        nodes { id assignedBy { name } assignedToName }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount
    }
}"""


class Crews:
    """Ada and Bob in one crew, Cid and Dan in another; seven rows between them, newest first."""

    def __init__(self, world: World) -> None:
        self.world, self.here = world, {"workspace_id": world.workspace.id}
        self.crew, self.other = (Crew(name=n, slug=new_id(), **self.here) for n in ("Engine", "Deck"))
        of = {"Ada": self.crew, "Bob": self.crew, "Cid": self.other, "Dan": self.other}
        self.agents = [Agent(name=n, slug=n.lower() + new_id(), crew_id=c.id, **self.here) for n, c in of.items()]
        self.chat = Chat(agent_id=self.agents[0].id, **self.here)

    async def plant(self, model: Any, by: str, to: str, **values: Any) -> list[str]:
        await self.world.add(self.crew, self.other, *self.agents, self.chat)
        ada, bob, cid, dan = self.agents
        pairs = [(ada, bob), (bob, ada), (ada, cid), (cid, bob), (cid, dan), (bob, ada), (ada, bob)]
        rows = [
            model(**{by: one.id, to: other.id}, created_at=now() - timedelta(minutes=n), **values, **self.here)
            for n, (one, other) in enumerate(pairs)
        ]
        await self.world.add(*rows)
        return [row.id for row in rows]

    async def given(self) -> list[str]:
        return await self.plant(Assignment, "assigned_by_id", "assigned_to_id", chat_id=self.chat.id, task="t")

    async def read(self, crew_id: str, what: str = "assignments", **query: Any) -> list[dict[str, Any]]:
        async with self.world.client(self.world.viewer) as client:
            params = {"workspace_id": self.world.workspace.id} | query
            answer = await client.get(f"/api/v1/crews/{crew_id}/{what}", params=params)
        assert answer.status_code == 200, answer.text[:300]
        return answer.json()  # type: ignore[no-any-return]


async def test_assignments_on_either_side_of_which_is_the_crew_are_told_once(world: World) -> None:
    crews = Crews(world)
    ids = await crews.given()
    mine = [id for n, id in enumerate(ids) if n != 4]
    shown = await crews.read(crews.crew.id)
    assert [row["id"] for row in shown] == mine
    assert [row["id"] for row in await crews.read(crews.other.id)] == ids[2:5]
    assert await crews.read("cunknown0000000000000") == []
    across = shown[2]
    assert (across["assigned_by_name"], across["assigned_to_name"]) == ("Ada", "Cid")
    assert across["assigned_to_slug"] == crews.agents[2].slug
    assert (across["status"], across["task"], across["started_at"]) == (AssignmentStatus.PENDING, "t", None)
    for limit in (1, 2, 4):
        pages = [await crews.read(crews.crew.id, limit=limit, offset=n) for n in range(0, len(mine), limit)]
        assert [row["id"] for page in pages for row in page] == mine


async def test_pages_of_assignments_in_both_directions(world: World) -> None:
    crews = Crews(world)
    mine = [id for n, id in enumerate(await crews.given()) if n != 4]

    async def page(**variables: Any) -> Any:
        async with world.client(world.viewer) as client:
            variables |= {"ws": world.workspace.id, "crew": crews.crew.id}
            answer = await client.post("/graphql", json={"query": PAGE, "variables": variables})
        assert "errors" not in answer.json(), answer.text
        return answer.json()["data"]["crewAssignments"]

    seen: list[str] = []
    after, more = None, True
    while more:
        found = await page(first=2, after=after)
        assert found["totalCount"] == len(mine)
        seen += [row["id"] for row in found["nodes"]]
        after, more = found["pageInfo"]["endCursor"], found["pageInfo"]["hasNextPage"]
    assert seen == mine
    back = await page(last=3, before=after)
    assert [row["id"] for row in back["nodes"]] == mine[2:5]
    assert back["pageInfo"]["hasPreviousPage"]
    assert back["nodes"][0] == {"id": mine[2], "assignedBy": {"name": "Ada"}, "assignedToName": "Cid"}


async def test_peer_conversations_with_their_answers(world: World) -> None:
    crews = Crews(world)
    ended = {"status": PeerConversationStatus.COMPLETED, "duration_ms": 1200, "finished_at": now()}
    ids = await crews.plant(PeerConversation, "from_agent_id", "to_agent_id", question="q", response="r", **ended)
    shown = await crews.read(crews.crew.id, "peer-conversations")
    assert [row["id"] for row in shown] == [id for n, id in enumerate(ids) if n != 4]
    first = shown[3]
    assert (first["from_name"], first["to_name"], first["question"], first["response"]) == ("Cid", "Bob", "q", "r")
    assert (first["status"], first["duration_ms"], first["escalated"]) == ("COMPLETED", 1200, False)
    assert first["finished_at"] is not None


async def test_what_a_deleted_agent_has_given_stays_with_its_name(world: World) -> None:
    crews = Crews(world)
    await crews.given()
    async with world.client(world.owner) as client:
        path = f"/api/v1/agents/{crews.agents[0].id}"
        assert (await client.delete(path, params={"workspace_id": world.workspace.id})).status_code == 200
    assert [row["assigned_by_name"] for row in await crews.read(crews.crew.id)][:3] == ["Ada", "Bob", "Ada"]
    async with world.client(world.outsider) as client:
        path = f"/api/v1/crews/{crews.crew.id}/assignments"
        answer = await client.get(path, params={"workspace_id": world.workspace.id})
    assert answer.status_code in (403, 404)
