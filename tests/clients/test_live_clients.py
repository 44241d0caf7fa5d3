"""GraphQL clients of others: queries, mutations and subscriptions, over WebSocket, parts and server-sent events."""

import asyncio
import json
from typing import Any

import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from resolvers.live import hub
from tests.clients.conftest import Tools
from tests.live.graphql import crews_made
from tests.live.outlets import until
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SUBSCRIPTION = """
    subscription Events($ws: ID) { workspaceEvents(workspaceId: $ws) { __typename
        ... on CrewCreatedEvent { name slug } } }
"""


async def _make_crews(world: World) -> None:
    await until(lambda: hub.listeners() > 0, 60)
    for number in range(3):
        await crews_made(world, number)


@pytest.mark.parametrize(
    "client", ["graphql-ws", "graphql-sse", "urql-ws", "urql-sse", "apollo-ws", "apollo-multipart"]
)
async def test_clients_of_npm(world: World, tools: Tools, client: str) -> None:
    making = asyncio.create_task(_make_crews(world))
    ran = await tools.run("live.mjs", client, f"{world.url}/graphql", world.owner.token, world.workspace.id)
    assert (ran.code, ran.err) == (0, ""), ran.said
    await making
    seen = json.loads(ran.out)
    cursors = [event.pop("cursor") for event in seen["events"]]
    assert seen == {
        "viewer": world.owner.email,
        "label": client,
        "refused": "FORBIDDEN",
        "events": [{"__typename": "CrewCreatedEvent", "name": str(n), "slug": f"s-{n}"} for n in range(3)],
    }
    assert len(set(cursors)) == 3
    await until(lambda: hub.channels == {})


def _gql(world: World, token: str) -> Client:
    transport = WebsocketsTransport(
        world.url.replace("http", "ws", 1) + "/graphql",
        subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL],
        init_payload={"authorization": f"Bearer {token}"},
    )
    return Client(transport=transport)


async def test_gql_over_a_websocket(world: World) -> None:
    request = gql(SUBSCRIPTION)
    request.variable_values = {"ws": world.workspace.id}
    making = asyncio.create_task(_make_crews(world))
    async with _gql(world, world.owner.token) as session:
        assert await session.execute(gql("{ viewer { email } }")) == {"viewer": {"email": world.owner.email}}
        heard = list[dict[str, Any]]()
        async for answer in session.subscribe(request):
            heard.append(answer["workspaceEvents"])
            if len(heard) == 3:
                break
    await making
    assert [event["name"] for event in heard] == ["0", "1", "2"]
    await until(lambda: hub.channels == {})


async def test_gql_raises_what_is_refused(world: World) -> None:
    request = gql(SUBSCRIPTION)
    request.variable_values = {"ws": world.other.id}
    async with _gql(world, world.owner.token) as session:
        with pytest.raises(TransportQueryError) as refused:
            await anext(session.subscribe(request))
    assert refused.value.errors[0]["extensions"]["code"] == "FORBIDDEN"  # type: ignore[index]
