"""Clients of live GraphQL by hand: what is said on a socket, and what comes in a stream, message by message."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from resolvers.kernel.declarations.events import address_of
from resolvers.kernel.store.bus import Topic, bus
from resolvers.live import hub
from tests.live.outlets import OF, until
from tests.world import Person, World

PATIENCE = 30.0  # seconds, of a machine that has much else to do
INSERT = f"INSERT INTO events (workspace_id, channel, type, payload) SELECT {OF}, $1, $2, unnest($3::text[])::jsonb"
CREWS = """
    subscription Crews($ws: ID, $after: String) {
      workspaceEvents(workspaceId: $ws, after: $after) {
        __typename ... on Event { cursor } ... on CrewCreatedEvent { name } ... on StreamReset { reason } }
    }
"""


VIEWER = "{ viewer { email } }"
INIT = {"type": "connection_init"}


def own(world: World) -> str:
    return f"workspace:{world.workspace.id}"


async def announce(world: World, channel: str, type: str, *payloads: dict[str, Any]) -> None:
    """Events without the operation that sends them."""
    await world.database.execute(
        INSERT, address_of(channel, world.workspace.id), type, [json.dumps(payload) for payload in payloads]
    )
    bus.ring(Topic.events)


async def crews_made(world: World, *names: object) -> None:
    await announce(
        world,
        own(world),
        "crew.created",
        *[{"id": f"c{name}", "name": str(name), "slug": f"s-{name}"} for name in names],
    )


@dataclass
class Talk:
    """A socket of graphql-transport-ws."""

    socket: ClientConnection

    async def say(self, message: Any) -> None:
        await self.socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self.socket.recv())  # type: ignore[no-any-return]

    async def silent(self, seconds: float = 0.1) -> bool:
        """Whether nothing comes."""
        try:
            async with asyncio.timeout(seconds):
                await self.socket.recv()
        except TimeoutError:
            return True
        return False

    async def begin(self, **payload: Any) -> None:
        await self.say({"type": "connection_init", "payload": payload})
        assert await self.hear() == {"type": "connection_ack"}

    async def subscribe(self, id: str, query: str, /, **variables: Any) -> None:
        await self.say({"id": id, "type": "subscribe", "payload": {"query": query, "variables": variables}})

    async def listen(self, id: str, query: str, /, **variables: Any) -> None:
        """Subscribes, and waits until the subscription is open: what happens next is told."""
        before = hub.listeners()
        await self.subscribe(id, query, **variables)
        await until(lambda: hub.listeners() > before)

    async def next(self, id: str) -> Any:
        """The data of the next answer to this operation."""
        message = await self.hear()
        assert (message["type"], message["id"]) == ("next", id), message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]

    async def closed(self) -> tuple[int, str]:
        """The code and reason the server closes with; what comes before is read."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.socket.recv()
        return self.socket.close_code or 0, self.socket.close_reason or ""


@contextlib.asynccontextmanager
async def socket(
    world: World,
    *,
    subprotocols: tuple[str, ...] = ("graphql-transport-ws",),
    origin: str | None = None,
    **headers: str,
) -> AsyncIterator[Talk]:
    url = world.url.replace("http", "ws", 1) + "/graphql"
    # one that does not read, does not read the end of it, either
    options: dict[str, Any] = {"max_queue": None} | ({"origin": origin} if origin else {})
    async with connect(
        url, subprotocols=list(subprotocols) or None, additional_headers=headers, proxy=None, **options
    ) as made:  # type: ignore[arg-type]
        yield Talk(made)


@contextlib.asynccontextmanager
async def talking(world: World, person: Person) -> AsyncIterator[Talk]:
    """A socket of somebody who has introduced themselves."""
    async with socket(world) as talk:
        await talk.begin(authorization=f"Bearer {person.token}")
        yield talk


async def email_of(talk: Talk) -> str:
    await talk.subscribe("who", VIEWER)
    seen = await talk.next("who")
    assert await talk.hear() == {"id": "who", "type": "complete"}
    return str(seen["viewer"]["email"])


# ---- HTTP ------------------------------------------------------------------------------------------------------------


@dataclass
class Heard:
    """What a stream has brought: a server-sent event, or a part (whose `data` it is)."""

    data: Any = None
    event: str = ""
    id: str | None = None
    comment: bool = False


@dataclass
class Streamed:
    """A stream that is being read. `items` ends when the server ends it."""

    response: httpx2.Response
    items: AsyncIterator[Heard] = field(repr=False)

    async def hear(self) -> Heard:
        """The next thing that is more than a sign of life."""
        async with asyncio.timeout(PATIENCE):
            while True:
                heard = await anext(self.items)
                if not heard.comment:
                    return heard

    async def next(self) -> Any:
        heard = await self.hear()
        assert heard.event in ("next", ""), heard
        assert "errors" not in heard.data, heard
        return heard.data["data"]

    async def rest(self) -> list[Heard]:
        async with asyncio.timeout(PATIENCE):
            return [heard async for heard in self.items if not heard.comment]


async def _pieces(response: httpx2.Response, end: str) -> AsyncIterator[str]:
    kept = ""
    async for text in response.aiter_text():
        kept += text
        while end in kept:
            piece, _, kept = kept.partition(end)
            yield piece
    if kept:
        yield kept


async def events_of(response: httpx2.Response) -> AsyncIterator[Heard]:
    """Server-sent events as WHATWG HTML has them, as far as they are sent here."""
    async for piece in _pieces(response, "\n\n"):
        heard, data = Heard(), list[str]()
        for line in piece.split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                heard.event = value
            elif name == "id":
                heard.id = value
            elif name == "data":
                data.append(value)
        heard.comment = not data and heard.id is None
        heard.data = json.loads("\n".join(data)) if "".join(data) else None
        yield heard


async def parts_of(response: httpx2.Response) -> AsyncIterator[Heard]:
    """Parts of a multipart subscription; a heartbeat is an empty object."""
    pieces = _pieces(response, "--graphql")
    assert (await anext(pieces)).strip() == ""
    async for piece in pieces:
        if piece.strip() == "--":
            return
        head, _, body = piece.partition("\r\n\r\n")
        assert head.strip().lower() == "content-type: application/json"
        said = json.loads(body)
        yield Heard(said if said.get("payload") is None else said["payload"], comment=said == {})
    raise AssertionError("the last boundary is missing")


@contextlib.asynccontextmanager
async def streaming(
    world: World,
    person: Person | None,
    query: str,
    variables: dict[str, Any] | None = None,
    *,
    how: str = "sse",
    **headers: str,
) -> AsyncIterator[Streamed]:
    """A subscription by POST: `how` is sse or multipart."""
    path, accept = (
        ("/graphql/stream", "text/event-stream")
        if how == "sse"
        else ("/graphql", "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json")
    )
    async with (
        world.client(person, **headers) as client,
        client.stream(
            "POST", path, json={"query": query, "variables": variables or {}}, headers={"accept": accept}
        ) as response,
    ):
        assert response.status_code == 200, await response.aread()
        items = events_of(response) if how == "sse" else parts_of(response)
        made = Streamed(response, items)
        if how == "sse" and response.headers["content-type"].startswith("text/event-stream"):
            first = await anext(items)
            assert first.data is None
            made.response.extensions["cursor"] = first.id
        yield made
