"""Files of what is gone: removed by jobs, and by a clock that compares what is on disk with rows."""

import asyncio
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.oversight.backups import BackupLock
from models.people.workspaces import Role, Workspace
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run
from resolvers.instance.clearing import PAGE
from resolvers.instance.running import instance
from resolvers.instance.store import LocalStore
from resolvers.kernel import across_workspaces
from resolvers.kernel.background import steps
from resolvers.kernel.declarations.jobs import Job
from resolvers.people.workspaces import files
from runtime.engine.background import carried
from runtime.engine.service import Runtime
from runtime.people import workspaces
from tests.people.recovery.mailbox import QUICK
from tests.runtime.doubles import Wardrobe, speaks
from tests.world import World, now

pytestmark = pytest.mark.anyio


class Doing:
    """A job's work, without a queue."""

    def __init__(self, job: Job[Any], workspace_id: str) -> None:
        self.job, self.workspace_id = job, workspace_id

    async def read(self, look):  # type: ignore[no-untyped-def]
        return await steps.read(self.job, self.workspace_id, look)


class Ticking:
    async def write(self, change):  # type: ignore[no-untyped-def]
        return await across_workspaces(change)


async def tick() -> None:
    await workspaces.remove_files(Ticking())  # type: ignore[arg-type]


UNFINISHED = "SELECT count(*) FROM dbos.workflow_status WHERE name = ANY ($1) AND status IN ('ENQUEUED', 'PENDING')"


async def carried_out(world: World) -> None:
    """By a worker, whatever is queued."""
    jobs = tuple(each for each in carried() if each.job.name.startswith("workspaces.files"))
    runtime = Runtime(world.settings, Wardrobe(speaks), jobs=jobs, rhythm=QUICK)
    await runtime.start()
    try:
        async with asyncio.timeout(30):
            while await world.database.fetchval(UNFINISHED, [each.job.name for each in jobs]):
                await asyncio.sleep(0.05)
    finally:
        await runtime.stop()


def put(place: Path, name: str = "note.txt") -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / name).write_text("what somebody said")
    return place


class Ground:
    """A crew with two agents and two chats of the first, all with files."""

    def __init__(self, world: World, crew: Crew, agents: list[Agent], chats: list[Chat]) -> None:
        self.world, self.crew, self.agent, self.chat = world, crew, agents[0], chats[0]
        self.root = world.settings.storage_path / "workspaces" / world.workspace.id
        self.output = self.root / "crews" / crew.id / "output"
        self.work = put(self.output / self.agent.slug)
        self.uploads = [put(self.work / "attachments" / chat.id) for chat in chats]
        self.homes = [put(self.root / "agents" / agent.id / "home") for agent in agents]
        self.coding = [
            [put(self.root / "agents" / agent.id / "coding" / chat.id / "claude_code" / "home") for chat in chats]
            for agent in agents
        ]

    async def carry(self, job: Job[Any], body: Any, **ids: str) -> None:
        await body(Doing(job, self.world.workspace.id), job.input(**ids))


@pytest.fixture
async def ground(world: World) -> Ground:
    here = {"workspace_id": world.workspace.id}
    crew = Crew(name="Deck", slug=f"f{new_id()}", **here)
    agents = [Agent(name=name, slug=f"{name}{new_id()}", crew_id=crew.id, **here) for name in ("ada", "bob")]
    await world.add(crew)
    await world.add(*agents)
    chats = [Chat(agent_id=agents[0].id, created_by=world.manager.user_id, **here) for _ in "ab"]
    await world.add(*chats)
    ran = {"chat_id": chats[0].id, "prompt": "Hello", "status": "COMPLETED", **here}
    await world.add(*[Run(agent_id=agent.id, **ran) for agent in agents])
    return Ground(world, crew, agents, chats)


async def test_files_go_with_their_chat_and_no_others(ground: Ground) -> None:
    world, chat = ground.world, ground.chat
    path = f"/api/v1/agents/{ground.agent.id}/chats/{chat.id}"
    assert (await world.rest(world.member, "DELETE", path)).status_code == 403
    await carried_out(world)
    assert all(each.exists() for each in ground.uploads)
    assert (await world.rest(world.manager, "DELETE", path)).status_code == 204
    await carried_out(world)
    assert [each.exists() for each in ground.uploads] == [False, True]
    assert [[each.parent.parent.exists() for each in agent] for agent in ground.coding] == [[False, True]] * 2
    assert (ground.work / "note.txt").exists()


async def test_of_a_chat_that_is_still_there_agents_forget(ground: Ground) -> None:
    await ground.carry(files.CHAT_GONE, workspaces.files_of_chat, agent_id=ground.agent.id, chat_id=ground.chat.id)
    assert [each.exists() for each in ground.uploads] == [True, True]
    assert [each.exists() for each in ground.coding[0]] == [False, True]


async def test_files_go_with_their_agent_and_work_for_the_crew_stays(ground: Ground) -> None:
    world = ground.world
    assert (await world.rest(world.admin, "DELETE", f"/api/v1/agents/{ground.agent.id}")).status_code == 200
    await carried_out(world)
    assert [each.exists() for each in (*ground.homes, *ground.uploads)] == [False, True, False, False]
    assert (ground.work / "note.txt").exists()


async def test_files_go_with_their_crew(ground: Ground) -> None:
    world = ground.world
    assert (await world.rest(world.admin, "DELETE", f"/api/v1/crews/{ground.crew.id}")).status_code == 200
    await carried_out(world)
    assert not ground.output.parent.exists()
    assert all(each.exists() for each in ground.homes)


async def test_what_agents_remember_of_a_person_goes_with_the_person(ground: Ground) -> None:
    world = ground.world
    person = await world.person(f"gone{new_id()}", Role.MEMBER)
    await world.database.execute("UPDATE chats SET created_by = $1 WHERE id = $2", person.user_id, ground.chat.id)
    path = f"/api/v1/admin/users/{person.user_id}/erase"
    assert (await world.rest(world.admin, "POST", path, {"reason": "asked"})).status_code == 200
    await carried_out(world)
    assert [[each.parent.parent.exists() for each in agent] for agent in ground.coding] == [[False, True]] * 2
    assert all(each.exists() for each in ground.uploads), "what others attached stays"


@pytest.mark.slow
async def test_a_clock_leaves_files_whose_rows_are_being_restored(ground: Ground) -> None:
    """They are there before their rows are committed."""
    world, here = ground.world, {"workspace_id": ground.world.workspace.id}
    crew, agent = put(ground.root / "crews" / new_id() / "output"), put(ground.root / "agents" / new_id() / "home")
    lock = BackupLock(acquired_by="x", acquired_at=now(), expires_at=now() + timedelta(hours=1), **here)
    await world.add(lock)
    await tick()
    assert (crew.exists(), agent.exists()) == (True, True)
    await world.database.execute("UPDATE backup_locks SET expires_at = now()")
    await tick()
    assert (crew.exists(), agent.exists(), ground.homes[0].exists()) == (False, False, True)
    await world.database.execute("DELETE FROM backup_locks")


async def test_a_clock_finds_what_has_no_row(ground: Ground) -> None:
    world, here = ground.world, ground.world.workspace.id
    at_work = Run(agent_id=ground.agent.id, workspace_id=here, prompt="Hello")
    await world.add(at_work)
    coding = ground.root / "agents" / ground.agent.id / "coding"
    kept = [put(coding / at_work.id), ground.uploads[1], ground.homes[0], ground.work, *ground.coding[0]]
    unknown = [put(ground.root / kind / new_id()) for kind in ("agents", "crews")]
    unknown += [put(coding / new_id()), put(ground.work / "attachments" / new_id()), put(coding / "a chat")]
    many = [put(coding / f"chat{number}") for number in range(PAGE)]
    foreign = put(ground.root.parent / new_id() / "crews" / new_id())
    gone = new_id()
    await world.add(Workspace(id=gone, name="Gone", slug=gone, deleted_at=now()))
    unknown.append(put(ground.root.parent / gone / "agents" / new_id()))
    await tick()
    assert [each for each in (*unknown, *many) if each.exists()] == []
    assert all(each.exists() for each in (*kept, foreign)), "of a workspace that no row knows nothing is removed"
    await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", ground.agent.id)
    await tick()
    assert ground.homes[0].exists(), "its run is not over"
    assert not ground.uploads[1].exists()
    await world.database.execute("UPDATE runs SET status = 'COMPLETED', finished_at = now() WHERE id = $1", at_work.id)
    await tick()
    assert [each.exists() for each in ground.homes] == [False, True]


@pytest.mark.slow
async def test_what_lies_in_a_folder_does_not_keep_it(tmp_path: Path) -> None:
    store, beside = LocalStore(tmp_path / "store"), put(tmp_path / "beside")
    hostile = put(tmp_path / "store" / "workspaces" / "w")
    (hostile / "out").symlink_to(beside)
    os.mkfifo(hostile / "pipe")
    deep = "d/" * 120
    for _ in range(20):  # paths grow no longer than the system takes
        subprocess.run(["mkdir", "-p", deep], cwd=hostile, check=True)
        moved = hostile / new_id()
        (hostile / "d").rename(moved)
        (hostile / "e").mkdir(exist_ok=True)
        moved.rename(hostile / "e" / moved.name)
    for name in range(1500):
        (hostile / "e" / f"{name}").touch()
    (hostile / "closed").mkdir()
    put(hostile / "closed" / "in")
    (hostile / "closed").chmod(0)
    assert await store.discard("workspaces", "w")
    assert not hostile.exists()
    assert (beside / "note.txt").exists()
    assert os.listdir(tmp_path / "store" / "removed") == []
    assert not await store.discard("workspaces", "w")
    (tmp_path / "store" / "workspaces" / "link").symlink_to(beside)
    assert [page async for page in store.pages("workspaces", "link")] == []
    assert not await store.discard("workspaces", "link", "note.txt")
    assert await store.discard("workspaces", "link")
    assert (beside / "note.txt").exists()


@pytest.mark.slow
async def test_a_directory_of_any_depth_is_removed(tmp_path: Path) -> None:
    store, here = LocalStore(tmp_path / "store"), tmp_path / "store" / "workspaces" / "w"
    here.mkdir(parents=True)
    at = os.open(here, os.O_RDONLY)
    for _ in range(10_000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    assert await store.discard("workspaces", "w")
    assert not here.exists()
    assert os.listdir(tmp_path / "store" / "removed") == []


@pytest.mark.parametrize("names", [(), ("",), ("workspaces", ".."), ("workspaces", "."), ("workspaces", "a/b"),
    ("workspaces", "n" * 300), ("workspaces", "a\0b"), ("nothing", "there")])  # fmt: skip
async def test_what_is_no_name_of_a_folder_removes_nothing(tmp_path: Path, names: tuple[str, ...]) -> None:
    kept = put(tmp_path / "store" / "workspaces" / "w")
    assert not await LocalStore(tmp_path / "store").discard(*names)
    assert kept.exists()


async def test_what_a_dead_process_left_is_cleared(world: World) -> None:
    left = put(world.settings.storage_path / "removed" / new_id() / "below")
    await instance.store.clear()
    assert not left.parent.exists()


async def test_files_of_a_deleted_workspace_stay_while_it_can_be_restored(world: World) -> None:
    workspace = Workspace(name="Gone", slug=new_id(), deleted_at=now() - files.GRACE + timedelta(minutes=1))
    crew = Crew(name="Crew", slug="crew", workspace_id=workspace.id)
    await world.add(workspace, crew)
    place = put(world.settings.storage_path.joinpath(*files.of_crew(workspace.id, crew.id)))
    await tick()
    assert place.exists()
    ended = "UPDATE workspaces SET deleted_at = deleted_at - interval '2 minutes' WHERE id = $1"
    await world.database.execute(ended, workspace.id)
    await tick()
    assert not place.exists()
