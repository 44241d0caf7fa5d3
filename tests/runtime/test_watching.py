"""Files of a crew while its agents write them: what is told, what is not, and that a link leads nowhere."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.staff.crews.watching import MOST_CHANGES
from runtime.runs import watching
from runtime.runs.job import Job, Worker
from runtime.runs.watching import Folders, changes, watched
from runtime.sandbox.workdir import Workdir
from tests.world import World

pytestmark = pytest.mark.anyio


class Deck:
    """A crew with an agent, and the folder that its commands find at /output."""

    def __init__(self, world: World, crew: Crew, agent: Agent, storage: Path) -> None:
        here = {"workspace_id": world.workspace.id, "agent_id": agent.id, "agent_slug": agent.slug, "crew_id": crew.id}
        self.world, self.crew, self.agent = world, crew, agent
        self.workdir = Workdir.of(storage, **here)
        os.close(self.workdir.open_output())
        worker: dict[str, Any] = dict.fromkeys(Worker.__dataclass_fields__)
        worker |= {"id": agent.id, "slug": agent.slug, "name": agent.name, "crew_id": crew.id}
        self.job = Job("run", world.workspace.id, None, Worker(**worker), "Write")

    @property
    def own(self) -> Path:
        return self.workdir.path

    def write(self, path: str, text: str) -> None:
        """All at once: a look may come between the making of a file and its content."""
        whole = self.workdir.storage / "whole"
        whole.write_text(text)
        whole.replace(self.own / path)

    def open(self) -> list[str]:
        """Descriptors of this process that are in the storage."""
        kept = list[str]()
        for each in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                kept.append(os.readlink(f"/proc/self/fd/{each}"))
        return [path for path in kept if path.startswith(str(self.workdir.storage))]

    async def told(self, most: int = 1) -> list[tuple[str, str, int]]:
        """Events of the crew's channel, once there are so many."""
        sql = "SELECT payload FROM events WHERE type = 'file.event' AND channel = $1 ORDER BY seq"
        async with asyncio.timeout(10):
            while True:
                rows = await self.world.database.fetch(sql, f"crew:{self.crew.id}")
                if len(rows) >= most:
                    return [(row["payload"]["event"], row["payload"]["path"], row["payload"]["size"]) for row in rows]
                await asyncio.sleep(0.02)

    async def ended(self) -> None:
        async with asyncio.timeout(10):
            await asyncio.gather(*watching._ending)


@pytest.fixture
async def deck(world: World, tmp_path: Path) -> Deck:
    crew = Crew(name="Deck", slug=f"c{new_id()}", workspace_id=world.workspace.id)
    agent = Agent(name="Ada", slug=f"a{new_id()}", crew_id=crew.id, workspace_id=world.workspace.id)
    await world.add(crew, agent)
    return Deck(world, crew, agent, tmp_path)


async def test_what_an_agent_writes_is_told_while_its_run_goes_on(deck: Deck) -> None:
    slug = deck.agent.slug
    (deck.own / "before.txt").write_text("was there")
    async with watched(deck.job, deck.workdir):
        await asyncio.sleep(0.2)
        deck.write("report.md", "12345")
        assert await deck.told() == [("file_created", f"{slug}/report.md", 5)]
        deck.write("report.md", "1234567")
        (deck.own / "before.txt").unlink()
        assert set((await deck.told(3))[1:]) == {
            ("file_deleted", f"{slug}/before.txt", 0), ("file_modified", f"{slug}/report.md", 7)
        }  # fmt: skip
    await deck.ended()
    assert len(await deck.told(3)) == 3
    sql = "SELECT * FROM journal_entries WHERE entry_type = 'file.written' AND crew_id = $1 ORDER BY created_at"
    entries = await deck.world.database.fetch(sql, deck.crew.id)
    told = [(entry["payload"]["op"], entry["payload"]["size"]) for entry in entries]
    assert told == [("created", 5), ("modified", 7)]
    assert {(entry["actor_type"], entry["agent_id"]) for entry in entries} == {("agent", deck.agent.id)}


async def test_folders_that_are_made_meanwhile_are_watched(deck: Deck) -> None:
    async with watched(deck.job, deck.workdir):
        await asyncio.sleep(0.2)
        (deck.own / "site" / "pages").mkdir(parents=True)
        deck.write("site/pages/a.html", "a")
        assert await deck.told() == [("file_created", f"{deck.agent.slug}/site/pages/a.html", 1)]
        deck.write("site/pages/b.html", "bb")
        assert (await deck.told(2))[1] == ("file_created", f"{deck.agent.slug}/site/pages/b.html", 2)
    await deck.ended()


async def test_what_was_written_last_is_told_when_the_run_has_ended(deck: Deck) -> None:
    """Of two runs at a time the second ends it; whoever writes later is not looked at."""
    async with watched(deck.job, deck.workdir), watched(deck.job, deck.workdir):
        await asyncio.sleep(0.2)
        deck.write("last.txt", "last")
    await deck.ended()
    (deck.own / "later.txt").write_text("later")
    assert await deck.told() == [("file_created", f"{deck.agent.slug}/last.txt", 4)]
    assert (watching._watches, watching._ending) == ({}, set())


async def test_a_link_leads_nowhere(deck: Deck, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    async with watched(deck.job, deck.workdir):
        await asyncio.sleep(0.2)
        (deck.own / "out").symlink_to(outside)
        (deck.own / "everything").symlink_to("/")
        (deck.own / "file").symlink_to("/etc/passwd")
        os.mkfifo(deck.own / "pipe")
        for quiet in (".git", "node_modules", "attachments"):
            (deck.own / quiet).mkdir()
            (deck.own / quiet / "x").write_text("x")
        (outside / "secret").write_text("secret")
        (deck.own / "bad\nname").write_text("x")
        deck.write("known.txt", "x")
        assert deck.open(), "the folders that are watched"
        assert await deck.told() == [("file_created", f"{deck.agent.slug}/known.txt", 1)]
    await deck.ended()
    assert len(await deck.told()) == 1
    assert deck.open() == [], "no descriptor is left"


async def test_very_many_are_told_in_part(deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_FOLDERS", 5)
    async with watched(deck.job, deck.workdir):
        await asyncio.sleep(0.2)
        for number in range(300):
            (deck.own / f"f{number:03}").write_text("x")
        for number in range(20):
            (deck.own / f"folder {number:02}").mkdir()
        await deck.told(MOST_CHANGES)
    await deck.ended()
    folders = Folders()
    root = deck.workdir.open_output()
    seen, changed = folders.look(root)
    assert (len(folders.open), changed, len(seen)) == (5, True, 300)
    assert folders.look(root)[1] is False
    folders.close()
    os.close(root)


async def test_an_agent_without_a_crew_or_without_processes_is_not_watched(deck: Deck) -> None:
    async with watched(deck.job, None):
        assert watching._watches == {}


def test_what_has_become_of_files() -> None:
    assert changes({"a/x": (1, 1), "a/y": (1, 1), "a/z": (1, 1)}, {"a/x": (1, 1), "a/y": (2, 1), "a/n": (3, 0)}) == [
        ("file_created", "a/n", 0), ("file_modified", "a/y", 1), ("file_deleted", "a/z", 0)
    ]  # fmt: skip
