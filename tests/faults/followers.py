"""Clients that listen, and go on behind their last cursor at another process when theirs is gone."""

import asyncio
import base64
import itertools
from abc import ABC, abstractmethod
from typing import Any

import httpx2
from websockets.exceptions import WebSocketException

from tests.faults.servers import Server
from tests.live.graphql import CREWS, talking
from tests.live.sockets import client_of
from tests.world import Person, World

BEGINNING = "-"  # as a cursor: from now on, and first comes the cursor of now
LOSSES = frozenset({"error", "resync", "resume_reset", "session_revoked"})


def place_of(cursor: str) -> tuple[int, ...]:
    """(xid, seq, frame)."""
    _, *numbers = base64.urlsafe_b64decode(cursor + "==").split(b".")
    return tuple(map(int, numbers))


class Follower(ABC):
    """`seen`: what came on each channel, in the order of its coming. `cuts`: how often a connection that had brought
    something was lost.
    """

    def __init__(self, person: Person, *channels: str) -> None:
        self.person, self.cuts = person, 0
        self.cursors = dict.fromkeys(channels, BEGINNING)
        self.seen: dict[str, list[dict[str, Any]]] = {channel: [] for channel in channels}
        self._connected = False

    @property
    def began(self) -> bool:
        return BEGINNING not in self.cursors.values()

    async def follow(self, servers: list[Server]) -> None:
        """Until cancelled. A server that takes the connection and says nothing is an error, one that is gone is not."""
        for server in itertools.cycle(servers):
            self._connected = False
            try:
                await self._listen(server.world)
            except (TimeoutError, httpx2.TimeoutException):
                raise
            except (OSError, WebSocketException, httpx2.TransportError):
                pass
            self.cuts += self._connected
            await asyncio.sleep(0.05)

    @abstractmethod
    async def _listen(self, at: World) -> None:
        """One connection, to its end."""

    def _went_on(self, channel: str, cursor: str) -> None:
        self._connected = True
        known, self.cursors[channel] = self.cursors[channel], cursor
        assert known == BEGINNING or place_of(known) < place_of(cursor), "seen before, or too early"


class SocketFollower(Follower):
    """On /ws: every frame of its channels."""

    async def _listen(self, at: World) -> None:
        async with client_of(at, self.person) as client:
            for channel, cursor in self.cursors.items():
                await client.subscribe(channel, after=cursor)
            read, closed = 0, False
            while not closed:
                await asyncio.sleep(0.005)
                closed = client.closed is not None  # before the last look
                for frame in client.heard[read:]:
                    read += 1
                    self._hear(frame)

    def _hear(self, frame: dict[str, Any]) -> None:
        assert frame["type"] not in LOSSES, frame
        channel = frame.get("channel")
        if channel is None:
            return
        self._went_on(channel, frame["cursor"])
        if frame["type"] != "subscribed":
            self.seen[channel].append(frame)


class GraphFollower(Follower):
    """By graphql-transport-ws: the events of a workspace."""

    async def _listen(self, at: World) -> None:
        [(channel, cursor)] = self.cursors.items()
        async with talking(at, self.person) as talk:
            await talk.subscribe("1", CREWS, ws=at.workspace.id, after=cursor)
            while True:
                event = (await talk.next("1"))["workspaceEvents"]
                is_first = event["__typename"] == "StreamReset"
                assert not is_first or self.cursors[channel] == BEGINNING, event
                self._went_on(channel, event["cursor"])
                if not is_first:
                    self.seen[channel].append(event)
