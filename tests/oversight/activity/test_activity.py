"""Recent activity: three kinds of rows in one order, by crew and by agent."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.assignments import Escalation, PeerConversation
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.work.missions import Assignment
from tests.world import World

pytestmark = pytest.mark.anyio
START = datetime(2026, 3, 1, tzinfo=UTC)
PAGE = """query($ws: ID, $first: Int, $after: String) {
    activity(workspaceId: $ws, first: $first, after: $after) {
        nodes { id type fromSlug toSlug crewSlug } pageInfo { hasNextPage endCursor } totalCount
    }
}"""


class Harbour:
    """Two crews of one workspace, three agents, and one without a crew."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.here: dict[str, Any] = {"workspace_id": world.workspace.id}
        tag = new_id()[-6:]
        self.crews = [Crew(name=f"Crew {n}", slug=f"{tag}-{n}", color="blue", **self.here) for n in "ab"]
        (a, b), named = self.crews, lambda n: {"name": f"Agent {n}", "slug": f"{tag}-{n}"} | self.here
        self.ann, self.bob = (Agent(crew_id=a.id, **named(n)) for n in ("ann", "bob"))
        self.cid = Agent(crew_id=b.id, **named("cid"))
        self.loner = Agent(**named("loner"))
        self.chat = Chat(agent_id=self.ann.id, **self.here)
        self.minutes = 0

    async def plant(self) -> "Harbour":
        await self.world.add(*self.crews, self.ann, self.bob, self.cid, self.loner, self.chat)
        return self

    def at(self, minutes: int | None = None) -> dict[str, Any]:
        self.minutes += 1
        return {"created_at": START + timedelta(minutes=self.minutes if minutes is None else minutes)} | self.here

    async def assign(self, by: Agent, to: Agent, minutes: int | None = None) -> str:
        row = Assignment(chat_id=self.chat.id, assigned_by_id=by.id, assigned_to_id=to.id, task="t", **self.at(minutes))
        await self.world.add(row)
        return row.id

    async def ask(self, one: Agent, other: Agent, minutes: int | None = None) -> str:
        row = PeerConversation(from_agent_id=one.id, to_agent_id=other.id, question="q", **self.at(minutes))
        await self.world.add(row)
        return row.id

    async def escalate(self, agent: Agent, minutes: int | None = None) -> str:
        assert agent.crew_id is not None
        row = Escalation(crew_id=agent.crew_id, from_agent_id=agent.id, reason="r", context="c", **self.at(minutes))
        await self.world.add(row)
        return row.id

    async def read(self, **query: Any) -> list[dict[str, Any]]:
        async with self.world.client(self.world.viewer) as client:
            answer = await client.get("/api/v1/activity", params={"workspace_id": self.world.workspace.id} | query)
        assert answer.status_code == 200, answer.text[:300]
        return answer.json()  # type: ignore[no-any-return]

    async def ids(self, **query: Any) -> list[str]:
        return [item["id"] for item in await self.read(**query)]


@pytest.fixture
async def harbour(world: World) -> Harbour:
    return await Harbour(world).plant()


async def test_three_kinds_are_one_list_newest_first(harbour: Harbour) -> None:
    ann, bob, cid = harbour.ann, harbour.bob, harbour.cid
    made = [await harbour.assign(ann, cid), await harbour.ask(bob, ann), await harbour.escalate(cid)]
    made.append(await harbour.assign(cid, bob))
    rows = await harbour.read()
    assert [row["id"] for row in rows] == made[::-1]
    first, escalated = rows[3], rows[1]
    assert first == {
        "id": made[0], "type": "assignment", "status": "PENDING", "summary": "t", "detail": None,
        "from_name": ann.name, "from_slug": ann.slug, "to_name": cid.name, "to_slug": cid.slug,
        "crew_name": harbour.crews[0].name, "crew_slug": harbour.crews[0].slug, "crew_color": "blue",
        "created_at": "2026-03-01T00:01:00Z",
    }  # fmt: skip
    assert (escalated["type"], escalated["to_name"], escalated["to_slug"]) == ("escalation", None, None)
    assert (escalated["summary"], escalated["detail"]) == ("r", "c")
    assert (await harbour.read(limit=2)) == rows[:2]
    assert (await harbour.read(limit=2, offset=1)) == rows[1:3]


async def test_a_crew_and_an_agent_narrow_it_down(harbour: Harbour) -> None:
    ann, bob, cid = harbour.ann, harbour.bob, harbour.cid
    a, b = (crew.id for crew in harbour.crews)
    out, over = await harbour.assign(ann, cid), await harbour.assign(cid, ann)
    asked, told, loud = await harbour.ask(bob, cid), await harbour.escalate(ann), await harbour.escalate(cid)
    own = await harbour.assign(ann, ann)
    assert await harbour.ids(crew_id=a) == [own, told, asked, out]
    assert await harbour.ids(crew_id=b) == [loud, over]
    assert await harbour.ids(agent_id=ann.id) == [own, told, over, out]
    assert await harbour.ids(agent_id=cid.id) == [loud, asked, over, out]
    assert await harbour.ids(agent_id=cid.id, crew_id=a) == [asked, out]
    assert await harbour.ids(agent_id=new_id()) == await harbour.ids(crew_id="nothing") == []
    assert await harbour.ids(crew_id=a, limit=1, offset=2) == [asked]


async def test_who_acts_without_a_crew_is_not_shown_and_who_is_gone_is(harbour: Harbour) -> None:
    await harbour.ask(harbour.loner, harbour.ann)
    await harbour.assign(harbour.loner, harbour.ann)
    kept = await harbour.ask(harbour.ann, harbour.loner)
    await harbour.world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", harbour.ann.id)
    await harbour.world.database.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", harbour.crews[0].id)
    (item,) = [row for row in await harbour.read() if row["from_slug"] in (harbour.ann.slug, harbour.loner.slug)]
    assert (item["id"], item["crew_name"], item["to_slug"]) == (kept, harbour.crews[0].name, harbour.loner.slug)


async def test_pages_of_equal_times_lose_and_double_nothing(harbour: Harbour) -> None:
    ann, bob = harbour.ann, harbour.bob
    made = set[str]()
    for _ in range(3):
        made |= {await harbour.assign(ann, bob, 7), await harbour.ask(bob, ann, 7), await harbour.escalate(ann, 7)}
    seen, after = list[str](), None
    for _ in range(20):
        answer = await harbour.world.graphql(
            harbour.world.viewer, PAGE, {"ws": harbour.world.workspace.id, "first": 2, "after": after}
        )
        page = answer["data"]["activity"]
        seen += [node["id"] for node in page["nodes"]]
        assert page["totalCount"] >= len(made)
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(seen) == len(set(seen))
    assert made <= set(seen)
