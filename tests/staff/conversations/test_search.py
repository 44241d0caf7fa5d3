"""Search in conversations: phrases, their order, what is hidden, and what is refused."""

from datetime import timedelta
from typing import Any

import asyncpg
import httpx2
import pytest

from models.staff.chats import MessageRole
from resolvers.errors import Code
from resolvers.kernel.declarations.operation import NO_WORD, UNFOUND, translate
from tests.every import each_of
from tests.staff.chats.conftest import world as world
from tests.staff.chats.rooms import agent_of, chat_of, said
from tests.world import Person, World, now

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


@each_of(
    ("query", "found"),
    [
        ("tide turns", "abc"), ('"tide turns"', "ac"), ("tide -noon", "bc"), ("noon or gale", "ad"), ("gale", "d"),
        ('"the ebb" or "tide turns" -noon', "c"), ("TIDE Noon", "a"),
        ("high-water", "c"), ("&|!()", ""), ('"', ""), ("or", "d"), ("tide' | gale", ""),
    ],
)  # fmt: skip
async def test_a_query_may_be_read_as_on_the_web(world: World, query: str, found: str) -> None:
    agent = await agent_of(world)
    chat = await chat_of(world, agent)
    texts = ("the tide turns at noon", "turns of the tide", "tide turns at high-water", "gale or storm")
    for text in texts:
        await said(world, chat, text, agent_id=agent.id)
    asked = "searchConversations(workspaceId: $ws, agentId: $a, query: $q, syntax: websearch)"
    document = f"query($a: ID!, $q: String!, $ws: ID!) {{ {asked} {{ nodes {{ content highlight }} }} }}"
    answer = await world.graphql(world.viewer, document, {"a": agent.id, "q": query})
    assert "errors" not in answer, answer
    hits = answer["data"]["searchConversations"]["nodes"]
    assert sorted("abcd"[texts.index(hit["content"])] for hit in hits) == sorted(found)


@each_of("query", ["-tide", '-"the tide"', "nobody or -tide", "-tide or nobody", "-tide -noon"])
async def test_a_query_that_only_leaves_words_out_is_refused(world: World, query: str) -> None:
    """It would read whatever was ever said."""
    agent = await agent_of(world)
    await said(world, await chat_of(world, agent), "the tide turns at noon", agent_id=agent.id)
    asked = "searchConversations(workspaceId: $ws, agentId: $a, query: $q, syntax: websearch)"
    document = f"query($a: ID!, $q: String!, $ws: ID!) {{ {asked} {{ nodes {{ id }} }} }}"
    answer = await world.graphql(world.viewer, document, {"a": agent.id, "q": query})
    [error] = answer["errors"]
    assert (error["message"], error["extensions"]["code"]) == (NO_WORD, Code.BAD_REQUEST)


async def test_a_time_narrows_a_search(world: World) -> None:
    agent = await agent_of(world)
    chat, of = await chat_of(world, agent), {"agent_id": agent.id}
    days = [
        await said(world, chat, "the tide", created_at=now() - timedelta(days=day), seq=10 - day, **of)
        for day in (9, 5, 1)
    ]
    for times, found in (
        ({"since": 6}, [1, 2]),
        ({"until": 4}, [0, 1]),
        ({"since": 6, "until": 4}, [1]),
        ({}, [0, 1, 2]),
    ):
        asked = {name: (now() - timedelta(days=day)).isoformat() for name, day in times.items()}
        answer = await search(world, world.viewer, {"agent_id": agent.id, "query": "tide"} | asked)
        assert sorted(hit["id"] for hit in answer.json()["hits"]) == sorted(days[at].id for at in found), times
    assert (
        await search(world, world.viewer, {"agent_id": agent.id, "query": "x", "since": "today"})
    ).status_code == 400


async def test_a_search_that_finds_nothing_in_its_time_says_so(world: World) -> None:
    """What was found till then is an answer; nothing is none, for there may be more."""
    agent = await agent_of(world)
    chat, of = await chat_of(world, agent), {"agent_id": agent.id}
    for day in range(1, 90, 3):
        text = "turns the tide" if day > 1 else "only lately"
        await said(world, chat, text, created_at=now() - timedelta(days=day), seq=100 - day, **of)
    sql = "SELECT count(*) FROM conversation_lines($1, $2, 200)"
    asked: dict[str, Any] = {"agents": [agent.id], "types": ["chat.agent_response"], "to_the_end": True}
    asked["until"] = (now() - timedelta(hours=12)).isoformat()  # without what other tests have said

    async def found(query: str, patience: str) -> int:
        given = asked | {"q": query, "patience": patience}
        async with world.database.transaction():
            await world.database.execute("SET LOCAL crewship.journal_walked = 1")
            return int(await world.database.fetchval(sql, world.workspace.id, given))

    assert [await found("only lately", "0 s"), await found("turns the", "1 day")] == [1, 29]
    assert await found("tide turns", "1 day") == 0
    with pytest.raises(asyncpg.PostgresError) as slow:
        await found("tide turns", "0 s")
    refusal = translate(slow.value)
    assert (refusal.code, refusal.detail) == (Code.UNAVAILABLE, UNFOUND)


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
