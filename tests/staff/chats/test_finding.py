"""Chats found by words, agent, crew and what is unread."""

from typing import Any

import pytest

from models.base import new_id
from models.staff.chats import Chat, ChatReadCursor, MessageRole
from resolvers.staff.chats.finding import LOOKED_AT
from tests.every import each_of
from tests.staff.chats.rooms import agent_of, chat_of, crew_of, said
from tests.world import World

pytestmark = pytest.mark.anyio
FIND = """query($ws: ID, $first: Int, $after: String, $agent: ID, $crew: ID, $search: String, $unread: Boolean) {
    findChats(workspaceId: $ws, first: $first, after: $after, agentId: $agent, crewId: $crew, search: $search,
        unread: $unread) { totalCount nodes { id unreadCount } pageInfo { hasNextPage endCursor } } }"""


class Talk:
    """Five chats with two agents, the newest last; the last one elsewhere."""

    def __init__(self, world: World) -> None:
        self.world, self.mark = world, new_id()
        self.chats: list[Chat] = []

    async def begin(self) -> "Talk":
        world = self.world
        self.crew = await crew_of(world)
        self.agent = await agent_of(world, name=f"Ada {self.mark}", crew_id=self.crew.id)
        other = await agent_of(world, name=f"Bo {self.mark}")
        for agent, title, last in (
            (self.agent, "Weather 100%", 2), (self.agent, None, 1), (other, f"Tides {self.mark}", 2),
            (other, "weather again", 0),
        ):  # fmt: skip
            self.chats.append(await chat_of(world, agent, title=title, last_message_seq=last))
        user = {"role": MessageRole.user, "author_user_id": world.viewer.user_id}
        await said(world, self.chats[0], "Rain?", seq=1, **user)
        await said(world, self.chats[0], "Rain", seq=2)
        await said(world, self.chats[1], "Only mine", seq=1, **user)
        await said(world, self.chats[2], "Read", seq=1)
        await said(world, self.chats[2], "Not read", seq=2)
        await self.read_up_to(1)
        return self

    async def read_up_to(self, seq: int) -> None:
        await self.world.database.execute("DELETE FROM chat_read_cursors WHERE chat_id = $1", self.chats[2].id)
        mark: dict[str, Any] = {"user_id": self.world.viewer.user_id, "workspace_id": self.world.workspace.id}
        await self.world.add(ChatReadCursor(chat_id=self.chats[2].id, last_read_seq=seq, **mark))

    async def find(self, **given: Any) -> list[int]:
        """The numbers of the chats that are found."""
        answer = await self.world.graphql(self.world.viewer, FIND, {"first": 100} | given)
        assert "errors" not in answer, answer["errors"]
        found = answer["data"]["findChats"]
        assert found["totalCount"] == len(found["nodes"])
        numbers = {chat.id: number for number, chat in enumerate(self.chats)}
        return [numbers[node["id"]] for node in found["nodes"] if node["id"] in numbers]


@pytest.fixture(scope="module")
async def talk(world: World) -> Talk:
    return await Talk(world).begin()


CASES: dict[str, tuple[dict[str, Any], list[int]]] = {
    "all": ({}, [3, 2, 1, 0]),
    "a title": ({"search": "WEATHER"}, [3, 0]),
    "no pattern": ({"search": "100%"}, [0]),
    "nothing": ({"search": "_"}, []),
    "unread": ({"unread": True}, [2, 0]),
    "read": ({"unread": False}, [3, 1]),
    "all at once": ({"search": "weather", "unread": True}, [0]),
    "an unknown agent": ({"agent": "unknown"}, []),
    "an unknown crew": ({"crew": "unknown"}, []),
}


@each_of("name", list(CASES))
async def test_each_filter_narrows(talk: Talk, name: str) -> None:
    given, expected = CASES[name]
    assert await talk.find(**given) == expected


async def test_agents_and_crews_narrow(talk: Talk) -> None:
    assert await talk.find(agent=talk.agent.id) == [1, 0]
    assert await talk.find(crew=talk.crew.id) == [1, 0]
    assert await talk.find(crew=talk.crew.id, unread=True) == [0]
    assert await talk.find(search=f"bo {talk.mark}") == [3, 2]
    assert await talk.find(search=talk.mark) == [3, 2, 1, 0]


async def test_what_is_read_is_not_unread(talk: Talk) -> None:
    await talk.read_up_to(2)
    assert await talk.find(unread=True) == [0]
    await talk.read_up_to(1)
    assert await talk.find(unread=True) == [2, 0]


async def test_chats_that_changed_long_ago_are_not_looked_at(talk: Talk) -> None:
    """For unread messages alone."""
    database = talk.world.database
    filling = (
        "INSERT INTO chats (id, workspace_id, agent_id, mode, status, visibility, message_count, last_seq,"
        " last_message_seq, created_at, updated_at) SELECT 'filling-' || i, workspace_id, agent_id, mode, status,"
        " visibility, 0, 0, 0, created_at, now() + interval '1 day'"
        " FROM chats, generate_series(1, $2) AS i WHERE id = $1"
    )
    await database.execute(filling, talk.chats[1].id, LOOKED_AT - 1)
    try:
        assert await talk.find(unread=True) == []
        assert await talk.find(search="weather 100%") == [0]
    finally:
        await database.execute("DELETE FROM chats WHERE id LIKE 'filling-%'")
    assert await talk.find(unread=True) == [2, 0]


async def test_pages_follow_each_other(talk: Talk) -> None:
    found, after = list[str](), None
    for _ in range(4):
        given = {"search": talk.mark, "first": 1, "after": after}
        page = (await talk.world.graphql(talk.world.viewer, FIND, given))["data"]["findChats"]
        found += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert not page["pageInfo"]["hasNextPage"]
    assert found == [chat.id for chat in reversed(talk.chats)]


async def test_a_stranger_finds_none(talk: Talk) -> None:
    answer = await talk.world.graphql(talk.world.outsider, FIND, {"ws": talk.world.other.id, "search": talk.mark})
    assert answer["data"]["findChats"]["nodes"] == []
