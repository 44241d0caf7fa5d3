"""Reconnecting backends for broadcaster: wake-ups over PostgreSQL, and over Redis if it is set.

broadcaster's own backends lose messages (concurrent publishers, a first subscription on a new connection) and stay
silent for ever after a restart of the server. Here one channel carries everything, one connection listens and another
publishes, and after each connect the listener learns that it may have missed something (an empty sender and no key, see
resolvers/kernel/store/bus.py).
"""

import asyncio
import contextlib
from typing import Any

from broadcaster import Event
from broadcaster._backends.base import BroadcastBackend

from models.connections import open_connection
from resolvers.instance.telemetry import log
from resolvers.kernel.ground.silence import CONNECTING, noticed
from resolvers.kernel.store.bus import CHANNEL

MISSED = "-"  # a sender without rings
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0  # seconds between attempts to connect
PATIENCE = 10.0  # seconds that a statement waits for its answer
SESSION = {"application_name": "crewship-wakeups"}
# NOTIFY holds a lock of the whole cluster until its transaction has ended (PostgreSQL before 19), and writes nothing
# that anybody would miss: it does not wait for the disk.
NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)"


class Returning(BroadcastBackend):
    """Keeps one listening connection, and reconnects when it is lost."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        self.keeper: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        self.keeper = asyncio.create_task(self._keep())

    async def disconnect(self) -> None:
        if self.keeper is not None:
            self.keeper.cancel()
            await asyncio.gather(self.keeper, return_exceptions=True)

    async def subscribe(self, channel: str) -> None:
        """There is one channel, and it is always listened to."""

    async def unsubscribe(self, channel: str) -> None:
        """`disconnect` closes the connection."""

    async def next_published(self) -> Event:
        return await self.queue.get()

    def received(self, message: str) -> None:
        self.queue.put_nowait(Event(CHANNEL, message))

    async def _keep(self) -> None:
        wait = FIRST_WAIT
        while True:
            try:
                await self.listen()
                wait = FIRST_WAIT
            except Exception as error:
                log.info("wake-ups interrupted", error=type(error).__name__)
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def listen(self) -> None:
        """Until the connection is lost; calls `received` for each message, and with MISSED once it listens."""
        raise NotImplementedError


class PostgresWakeups(Returning):
    """LISTEN and NOTIFY on two connections of their own. `dsn` reaches PostgreSQL itself; NOTIFY may go through a
    pooler.
    """

    def __init__(self, dsn: str, notifying: str | None = None) -> None:
        super().__init__()
        self.dsn, self.notifying = dsn, notifying or dsn
        self.publisher: Any = None
        self.turn = asyncio.Lock()

    async def disconnect(self) -> None:
        await super().disconnect()
        if self.publisher is not None and not self.publisher.is_closed():
            await self.publisher.close(timeout=1)

    async def publish(self, channel: str, message: Any) -> None:
        async with self.turn:
            if self.publisher is None or self.publisher.is_closed():
                self.publisher = await self._connection(self.notifying)
            try:
                await self.publisher.execute(NOTIFY, channel, message)
            except TimeoutError:
                self.publisher.terminate()
                raise

    async def listen(self) -> None:
        connection, lost = await self._connection(self.dsn), asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        try:
            await connection.add_listener(CHANNEL, lambda _c, _pid, _channel, message: self.received(message))
            self.received(MISSED)
            while not lost.is_set():  # a peer that vanished without a word is noticed by asking
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(15):
                        await lost.wait()
                    break
                await connection.fetchval("SELECT 1")
        finally:
            connection.terminate()

    async def _connection(self, dsn: str) -> Any:
        made = await open_connection(dsn, timeout=CONNECTING, command_timeout=PATIENCE, server_settings=SESSION)
        return noticed(made)


class RedisWakeups(Returning):
    """PUBLISH and SUBSCRIBE. The subscription is confirmed before anything counts as heard."""

    def __init__(self, url: str) -> None:
        super().__init__()
        from redis.asyncio import Redis  # an extra of the project

        self.client: Any = Redis.from_url(url, socket_connect_timeout=10, health_check_interval=15)

    async def disconnect(self) -> None:
        await super().disconnect()
        await self.client.aclose()

    async def publish(self, channel: str, message: Any) -> None:
        await self.client.publish(channel, message)

    async def listen(self) -> None:
        async with self.client.pubsub() as pubsub:
            await pubsub.subscribe(CHANNEL)
            while True:
                message = await pubsub.get_message(timeout=15)
                if message is None:
                    await pubsub.ping()
                elif message["type"] == "subscribe":
                    self.received(MISSED)
                elif message["type"] == "message":
                    self.received(message["data"].decode("utf-8", "replace"))
