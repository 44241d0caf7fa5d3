"""Clients of /ws."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.people.auth.browsers import Browser
from tests.world import Person, World

PATIENCE = 30.0  # seconds, of a machine that has much else to do
Frame = dict[str, Any]


@dataclass
class Client:
    """A socket, and all that was said on it."""

    connection: ClientConnection
    heard: list[Frame] = field(default_factory=list)
    closed: int | None = None  # the code

    async def listen(self) -> None:
        try:
            async for message in self.connection:
                self.heard.append(orjson.loads(message))
        except ConnectionClosed:
            pass
        self.closed = self.connection.close_code

    async def say(self, type: str, **more: Any) -> None:
        await self.connection.send(orjson.dumps({"type": type, **more}).decode())

    async def subscribe(self, channel: str, **more: Any) -> None:
        await self.say("subscribe", channel=channel, **more)

    async def settle(self) -> None:
        """Until all that was said before is carried out."""
        before = self.of("pong")
        await self.say("ping")
        await self.until(lambda: len(self.of("pong")) > len(before))

    async def until(self, condition: Callable[[], object], seconds: float = PATIENCE) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)

    def of(self, *types: str) -> list[Frame]:
        return [frame for frame in self.heard if frame["type"] in types]

    def on(self, channel: str) -> list[Frame]:
        return [frame for frame in self.heard if frame.get("channel") == channel]

    def numbers(self, channel: str) -> list[int]:
        """Of the frames of a chat."""
        return [frame["seq"] for frame in self.on(channel) if "seq" in frame]

    async def hears(self, type: str, **more: Any) -> Frame:
        """The first frame like this one."""

        def found() -> list[Frame]:
            return [frame for frame in self.of(type) if all(frame.get(name) == value for name, value in more.items())]

        await self.until(found)
        return found()[0]


async def ticket(world: World, person: Person | Browser) -> str:
    """By a CLI token, or by the session of a browser."""
    if isinstance(person, Browser):
        answer = await person.send("GET", "/api/v1/ws-token")
    else:
        answer = await world.rest(person, "GET", "/api/v1/ws-token", workspace=None)
    if answer.status_code == 503:
        raise ConnectionError(answer.text)
    token: str = answer.json()["token"]
    return token


def address(world: World, token: str | None = None) -> str:
    return world.url.replace("http", "ws", 1) + "/ws" + ("" if token is None else f"?token={quote(token)}")


@contextlib.asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Client]:
    async with connect(url, compression=None, max_size=None, **options) as connection:
        client = Client(connection)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@contextlib.asynccontextmanager
async def client_of(world: World, person: Person | Browser, **options: Any) -> AsyncIterator[Client]:
    """A socket that is authenticated in the address."""
    async with opened(address(world, await ticket(world, person)), **options) as client:
        yield client
