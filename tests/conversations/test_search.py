"""Search in conversations: phrases, their order, what is hidden, and what is refused."""

from typing import Any

import httpx2
import pytest

from models.chats import MessageRole
from tests.chats.conftest import world as world
from tests.chats.rooms import agent_of, chat_of, said
from tests.world import Person, World

pytestmark = pytest.mark.anyio
AT = "/api/v1/conversations/search"


async def search(world: World, person: Person | None, body: Any) -> httpx2.Response:
    return await world.rest(person, "POST", AT, body)


async def test_a_phrase_is_found_in_all_chats_of_the_agent(world: World) -> None:
    agent, other = await agent_of(world, slug="harbourmaster"), await agent_of(world)
    chats = [await chat_of(world, agent) for _ in range(2)]
    of: dict[str, Any] = {"agent_id": agent.id}
    once = await said(world, chats[0], "The tide Turns at noon, with much else that is said beside it", **of)
    twice = await said(world, chats[1], "tide turns, tide turns", role=MessageRole.user, **of)
    await said(world, chats[1], "turns of the tide", **of)
    await said(world, chats[1], "tide turns, it was steered", role=MessageRole.user)
    await said(world, await chat_of(world, other), "tide turns", agent_id=other.id)
    answer = await search(world, world.viewer, {"agent_id": agent.id, "query": "TIDE turns"})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["query"], found["count"]) == ("TIDE turns", 2)
    assert [hit["id"] for hit in found["hits"]] == [twice.id, once.id], "the best match first"
    assert set(found["hits"][0]) == {"id", "session_id", "agent_id", "role", "content", "ts"}
    assert found["hits"][0]["session_id"] == chats[1].id

    for query, count in (("harbourmaster", 0), ("tide", 3), ("tid", 0), ("nothing of this", 0), ("&|!()", 0)):
        answer = await search(world, world.viewer, {"agent_id": agent.id, "query": query})
        assert (answer.status_code, answer.json()["count"]) == (200, count), query
    limited = {"agent_id": agent.id, "query": "tide"}
    for limit, count in ((1, 1), (0, 3), (-1, 3), (101, 3)):
        assert (await search(world, world.viewer, limited | {"limit": limit})).json()["count"] == count


async def test_refusals(world: World) -> None:
    agent = await agent_of(world)
    foreign = await agent_of(world, workspace_id=world.other.id)
    for body in (
        {}, {"agent_id": agent.id}, {"query": "x"}, {"agent_id": agent.id, "query": "  "},
        {"agent_id": " ", "query": "x"}, {"agent_id": agent.id, "query": 5},
    ):  # fmt: skip
        assert (await search(world, world.viewer, body)).status_code == 400, body
    for id in (foreign.id, "cnobody"):
        assert (await search(world, world.viewer, {"agent_id": id, "query": "x"})).status_code == 404
    assert (await search(world, None, {"agent_id": agent.id, "query": "x"})).status_code == 401


async def test_graphql_marks_what_was_found(world: World) -> None:
    agent = await agent_of(world)
    await said(world, await chat_of(world, agent), "Ships leave with the ebb", agent_id=agent.id)
    asked = 'searchConversations(workspaceId: $ws, agentId: $a, query: "the ebb")'
    document = f"query($a: ID!, $ws: ID!) {{ {asked} {{ nodes {{ highlight rank }} }} }}"
    answer = await world.graphql(world.viewer, document, {"a": agent.id})
    assert "errors" not in answer, answer
    [hit] = answer["data"]["searchConversations"]["nodes"]
    assert hit["highlight"] == "Ships leave with **the** **ebb**"
    assert hit["rank"] > 0
