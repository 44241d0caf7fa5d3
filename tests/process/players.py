"""A worker that plays parts: it claims runs as workers do, and shows for each prompt the frames a test has written."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson

from resolvers.identity.caller import Caller
from resolvers.staff.runs import work
from resolvers.staff.runs.finishing import finish_run
from runtime.runs.parts import fold
from tests.world import Person, World

Event = Mapping[str, Any]
Part = list[Event | float]
"""Payloads of chat_event frames; a number is a pause in seconds."""


def text(content: str) -> Event:
    return {"type": "text", "content": content}


def call(name: str, id: str, **given: Any) -> Event:
    return {"type": "tool_call", "content": name, "metadata": {"tool_name": name, "tool_id": id, "input": given}}


def returned(id: str, content: str, **more: Any) -> Event:
    return {"type": "tool_result", "content": content, "metadata": {"tool_use_id": id, **more}}


USED = {
    "subtype": "success",
    "duration_ms": 1200,
    "num_turns": 1,
    "is_error": False,
    "usage": {"input_tokens": 1010, "output_tokens": 20},
}
RESULT: Event = {"type": "result", "content": "", "metadata": USED}


@dataclass
class Player:
    """`parts`: prompt -> what is played; any other is said again. `hold` set stops all plays before the next event."""

    parts: dict[str, Part] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    fails: dict[str, str] = field(default_factory=dict)
    """Prompt -> the message its run ends with."""

    def play(self, prompt: str, *events: Event | float) -> None:
        self.parts[prompt] = list(events)


@contextlib.asynccontextmanager
async def playing(world: World) -> AsyncIterator[Player]:
    player = Player()
    dsn = world.settings.database_url
    assert dsn is not None
    reading = await asyncpg.connect(dsn.get_secret_value())  # a connection of its own: the tests read meanwhile
    await reading.execute("SELECT set_config('crewship.workspaces', '*', false)")
    worker = asyncio.create_task(_work(reading, player))
    try:
        yield player
        if worker.done():
            worker.result()  # its fault, with all that was in it
            raise AssertionError("nobody plays any longer")
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        await reading.close()


async def _work(reading: asyncpg.Connection, player: Player) -> None:
    async with asyncio.TaskGroup() as plays:
        while True:
            for claim in await work.claim("player", 8, seconds=60):
                prompt = await reading.fetchval("SELECT prompt FROM runs WHERE id = $1", claim.run_id)
                plays.create_task(_play(prompt, player, claim))
            await asyncio.sleep(0.02)


async def _play(prompt: str, player: Player, claim: work.RunClaim) -> None:
    player.prompts.append(prompt)
    shown: list[dict[str, Any]] = []
    status = "FAILED" if prompt in player.fails else "COMPLETED"
    for event in player.parts.get(prompt, [text(prompt), RESULT]):
        while player.hold.is_set():
            await asyncio.sleep(0.01)
        if (await work.extend([claim], seconds=60)).get(claim.run_id):
            status = "CANCELLED"
            break
        if isinstance(event, int | float):
            await asyncio.sleep(event)
            continue
        assert await work.append(claim, work.Batch(frames=[dict(event)]), len(shown))
        shown.append(dict(event))
    reply = fold(shown)
    said = {"content": reply.content, "parts": reply.parts, "tool_summary": reply.tool_summary} if reply.parts else None
    ended = {
        "id": claim.run_id,
        "lease": claim.lease,
        "status": status,
        "reply": said,
        "data": {**reply.usage, "duration_ms": 1200},
    }
    ended |= {"error_message": player.fails[prompt]} if status == "FAILED" else {}
    await finish_run(Caller.service("runtime", claim.workspace_id), ended)


async def hire(world: World, person: Person, slug: str = "scout", name: str = "Scout") -> str:
    """A crew with an agent; returns the agent's id."""
    crews = (await world.rest(person, "GET", "/api/v1/crews")).json()
    crew = (
        crews[0]
        if crews
        else (await world.rest(person, "POST", "/api/v1/crews", {"name": "Demo", "slug": "demo"})).json()
    )
    made = await world.rest(person, "POST", "/api/v1/agents", {"crew_id": crew["id"], "name": name, "slug": slug})
    assert made.status_code == 201, made.text
    return str(orjson.loads(made.content)["id"])
