"""Homes of coding agents have a bound together: what was longest not used goes first, and what is in use stays."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models.base import new_id, table_of
from models.staff.agents import CliAdapter
from models.staff.chats import Chat
from models.staff.runs import Run
from resolvers.instance.running import instance
from resolvers.staff.runs.lifecycle import starts_of
from runtime.coding.sessions import Session
from runtime.sandbox.workdir import Workdir
from tests.people.workspaces.test_files import Ground, put, tick
from tests.people.workspaces.test_files import ground as ground
from tests.staff.chats.test_attachment_rows import somebody_waits
from tests.world import now

pytestmark = pytest.mark.anyio
LARGE = 400 << 10


@pytest.fixture(autouse=True)
def one_mebibyte(monkeypatch: pytest.MonkeyPatch, ground: Ground) -> None:
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"coding_storage": 1}))


async def used(ground: Ground, *days: int, running: int = -1) -> list[tuple[Chat, Path]]:
    """Chats with homes of 400 KiB, each last used as many days ago."""
    here = {"workspace_id": ground.world.workspace.id, "agent_id": ground.agent.id}
    made = []
    for number, ago in enumerate(days):
        chat = Chat(created_by=ground.world.manager.user_id, **here)
        run = Run(chat_id=chat.id, prompt="Hello", created_at=now() - timedelta(days=ago), **here)
        if number != running:
            run.status = "COMPLETED"  # type: ignore[assignment]
        await ground.world.add(chat)
        await ground.world.add(run)
        home = put(ground.root / "agents" / ground.agent.id / "coding" / chat.id / "claude_code" / "home")
        (home / "history").write_bytes(os.urandom(LARGE))
        made.append((chat, home))
    return made


async def test_those_that_were_longest_not_used_go(ground: Ground) -> None:
    made = await used(ground, 1, 3, 2, 0)
    await tick()
    assert [home.exists() for _, home in made] == [True, False, False, True]
    assert ground.coding[1][0].exists(), "another agent has a bound of its own"
    await tick()
    assert [home.exists() for _, home in made] == [True, False, False, True]
    assert not list((ground.world.settings.storage_path / "removed").iterdir())


async def test_what_a_run_works_in_stays(ground: Ground) -> None:
    made = await used(ground, 1, 3, 2, 0, running=1)
    at_work = Run(agent_id=ground.agent.id, workspace_id=ground.world.workspace.id, prompt="Hello")
    await ground.world.add(at_work)
    alone = put(ground.root / "agents" / ground.agent.id / "coding" / at_work.id)
    await tick()
    assert [home.exists() for _, home in made] == [False, True, False, True]
    assert alone.exists()


async def test_a_run_that_begins_meanwhile_finds_its_home(ground: Ground) -> None:
    made = await used(ground, 1, 3, 2)
    begins, columns = made[1][0], ", ".join(each.name for each in table_of(Run).c if each.computed is None)
    async with ground.world.database.transaction():
        held = "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))"
        await ground.world.database.execute(held, starts_of(ground.agent.id))
        added = await ground.world.database.execute(
            f"INSERT INTO runs ({columns}) SELECT {columns} FROM ("
            "SELECT (jsonb_populate_record(r, $2)).* FROM runs r WHERE chat_id = $1) made",
            begins.id,
            {"id": new_id(), "status": "RUNNING", "finished_at": None},
        )
        assert added == "INSERT 0 1"
        ticking = asyncio.create_task(tick())
        await somebody_waits(ground.world)
    await ticking
    assert [home.exists() for _, home in made] == [True, True, False]


@pytest.mark.slow
async def test_what_hides_its_size_goes_as_if_it_had_all(ground: Ground) -> None:
    made = await used(ground, 2, 1)
    at = os.open(made[0][1], os.O_RDONLY)
    for _ in range(2_000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    (made[1][1] / "out").symlink_to("/usr")
    os.mkfifo(made[1][1] / "pipe")
    await tick()
    assert [home.exists() for _, home in made] == [False, True]


@pytest.mark.slow
async def test_a_run_begins_beside_a_home_of_any_depth(ground: Ground) -> None:
    """One that was not used for long is removed there."""
    world, (_, home) = ground.world, (await used(ground, 1))[0]
    at = os.open(home, os.O_RDONLY)
    for _ in range(5_000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    for folder in (home.parent, home.parent.parent):
        os.utime(folder, (0, 0))
    workdir = Workdir.of(
        world.settings.storage_path, workspace_id=world.workspace.id, agent_id=ground.agent.id,
        agent_slug=ground.agent.slug,
    )  # fmt: skip
    job: Any = SimpleNamespace(chat_id=None, run_id=new_id())
    session = Session.open(workdir, job, CliAdapter.CLAUDE_CODE)
    assert not home.exists()
    session.close()
    assert not session.folder.parent.exists()
