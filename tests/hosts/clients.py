"""Clients that try again, as real ones do, where a host or its database cannot be reached."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx2

from tests.faults.followers import GraphFollower, SocketFollower
from tests.faults.servers import PATIENCE, Server
from tests.faults.test_kill_of_servers import SEND, Clients, Request, script
from tests.world import World, connect_for_all

WAIT = 10.0  # seconds for an answer
LOST = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class PatientSocket(SocketFollower):
    """As the console: where the server has no database it comes again, behind its cursors."""

    async def _listen(self, at: World) -> None:
        try:
            await super()._listen(at)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise ConnectionError from error

    def _hear(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "error" and frame["payload"].get("code") == "UNAVAILABLE":
            raise ConnectionError(frame)
        super()._hear(frame)


class PatientGraph(GraphFollower):
    async def _listen(self, at: World) -> None:
        try:
            await super()._listen(at)
        except TimeoutError as error:
            raise ConnectionError from error
        except AssertionError as error:
            if "UNAVAILABLE" not in str(error):
                raise
            raise ConnectionError from error


@dataclass
class Patient(Clients):
    """Clients that try again while the database cannot be reached. `good`: when the last answers came."""

    unavailable: int = 0
    good: list[float] = field(default_factory=list)

    async def sent(self, http: httpx2.AsyncClient, side: Server, request: Request) -> httpx2.Response | None:
        try:
            async with asyncio.timeout(WAIT):
                answer = await super().sent(http, side, request)
        except (TimeoutError, httpx2.TimeoutException):
            self.lost += 1
            return None
        if answer is not None and (answer.status_code == 503 or b'"UNAVAILABLE"' in answer.content):
            self.unavailable += 1
            return None
        if answer is not None:
            self.good.append(time.monotonic())
        return answer

    async def _send(self, chat_id: str) -> None:
        async with self.world.client(self.world.owner) as http:
            while not self.stop.is_set():
                name = f"m-{next(self.names)}"
                values = {"chat": chat_id, "content": script(name)}
                answer = await self.ask(http, Request(name, "POST", "/graphql", {"query": SEND, "variables": values}))
                run_id = json.loads(answer.content)["data"]["sendMessage"]["runId"]
                self.runs[run_id] = name
                await ended(self.world.settings.database_url.get_secret_value(), run_id)


async def ended(url: str, run_id: str) -> None:
    """Returns when a run has ended, whichever server has it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                database = await connect_for_all(url)
                try:
                    while await database.fetchval("SELECT status = 'RUNNING' FROM runs WHERE id = $1", run_id):
                        await asyncio.sleep(0.05)
                    return
                finally:
                    await database.close()
            except LOST:
                await asyncio.sleep(0.1)
