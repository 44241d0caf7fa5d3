"""kill -9 of servers that take files in: what is on disk is whole, and every file has its row."""

import asyncio
import itertools
import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from resolvers.instance import store
from tests.conftest import Database
from tests.faults.servers import PATIENCE, Server, servers
from tests.people.workspaces.test_files import tick
from tests.staff.chats.rooms import agent_of, chat_of, crew_of
from tests.staff.chats.test_attachments import form
from tests.world import World, world_on

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
KILLS = 20
UPLOADERS, NAMES = 4, 3  # each replaces files of its own
LARGEST = 2 << 20
ROWS = "SELECT name, size, uploaded_by, deleted_at FROM chat_attachments WHERE chat_id = $1"


def content_of(mark: int, size: int) -> str:
    """No two are alike, and none is a part of another."""
    line = f"{mark:08d}\n"
    return line * (size // len(line) + 1)


@dataclass
class Uploaders:
    world: World
    sides: list[Server]
    path: str
    chance: random.Random
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    marks: "itertools.count[int]" = field(default_factory=itertools.count)
    possible: dict[str, list[str]] = field(default_factory=dict)  # the last that was answered, and what came after it
    taken: set[str] = field(default_factory=set)
    answered: int = 0
    lost: int = 0

    async def upload(self, number: int) -> None:
        async with self.world.client(self.world.manager) as http:
            for turn in itertools.count():
                if self.stop.is_set():
                    return
                name, mark = f"{number}-{turn % NAMES}", next(self.marks)
                content = content_of(mark, self.chance.randrange(LARGEST))
                self.possible.setdefault(name, []).append(content)
                if await self._sent(http, self.chance.choice(self.sides), name, content):
                    self.answered += 1
                    self.possible[name] = [content]
                    self.taken.add(name)

    async def _sent(self, http: httpx2.AsyncClient, side: Server, name: str, content: str) -> bool:
        part = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n{content}'
        headers = {"content-type": "multipart/form-data; boundary=XX"}
        query = {"workspace_id": self.world.workspace.id}
        side.under_way += 1
        try:
            answer = await http.post(side.world.url + self.path, params=query, content=form(part), headers=headers)
        except httpx2.TimeoutException:
            raise
        except httpx2.ConnectError:
            await asyncio.sleep(0.01)
            return False
        except httpx2.TransportError:
            self.lost += 1
            return False
        finally:
            side.under_way -= 1
        assert answer.status_code == 201, answer.text
        return True


async def kill(uploaders: Uploaders) -> None:
    chance = uploaders.chance
    for victim in (uploaders.sides * KILLS)[:KILLS]:
        async with asyncio.timeout(PATIENCE):
            await victim.ready()
            enough = uploaders.answered + chance.randint(2, 12)
            while uploaders.answered < enough or not victim.under_way:
                await asyncio.sleep(chance.uniform(0, 0.01))
        await victim.kill()


def on_disk(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


async def test_kill_of_uploads(database: Database, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    async with world_on(database, tmp_path) as world:
        agent = await agent_of(world, crew_id=(await crew_of(world)).id)
        chat = await chat_of(world, agent)
        path = f"/api/v1/agents/{agent.id}/chats/{chat.id}/attachments"
        root = world.settings.storage_path
        folder = root / "workspaces" / world.workspace.id / "crews" / str(agent.crew_id) / "output" / agent.slug
        folder = folder / "attachments" / chat.id
        async with servers(database, tmp_path, world, CREWSHIP_STORAGE_BASE_PATH=str(root)) as sides:
            uploaders = Uploaders(world, sides, path, random.Random(seed))
            async with asyncio.TaskGroup() as tasks:
                writing = [tasks.create_task(uploaders.upload(number)) for number in range(UPLOADERS)]
                await kill(uploaders)
                uploaders.stop.set()
                await asyncio.wait(writing)
        files = on_disk(folder)
        assert uploaders.taken <= set(files), "a file was taken and is gone"
        assert [name for name, text in files.items() if text not in uploaders.possible[name]] == []
        rows = {row["name"]: row for row in await world.database.fetch(ROWS, chat.id)}
        assert set(rows) <= set(files), "a row leads to nothing"
        differing = {name for name, text in files.items() if name not in rows or rows[name]["size"] != len(text)}
        await tick()
        rows = {row["name"]: row for row in await world.database.fetch(ROWS, chat.id)}
        assert {name: row["size"] for name, row in rows.items()} == {name: len(text) for name, text in files.items()}
        owners = {name: None if name in differing else world.manager.user_id for name in rows}
        assert {name: row["uploaded_by"] for name, row in rows.items()} == owners
        assert on_disk(folder) == files
        left = list((root / store.INCOMING).iterdir())
        for part in left:
            os.utime(part, (time.time() - 2 * store.FORGOTTEN,) * 2)
        async with world.client(world.manager) as http:
            part = 'Content-Disposition: form-data; name="file"; filename="last"\r\n\r\nx'
            headers = {"content-type": "multipart/form-data; boundary=XX"}
            query = {"workspace_id": world.workspace.id}
            assert (await http.post(world.url + path, params=query, content=form(part), headers=headers)).is_success
        assert list((root / store.INCOMING).iterdir()) == []
    print(
        f"{KILLS} kills, {uploaders.answered} files taken, {uploaders.lost} without an answer,"
        f" {len(differing)} without a row of their own, {len(left)} parts left and swept"
    )
    assert uploaders.lost > 0
    assert left, "what this is about has not happened"
