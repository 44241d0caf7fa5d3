"""Files and repositories that agents make in their containers, as people see them, whatever the agents make of them."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.running import instance
from runtime.containers.choice import EngineContainers, Sandboxes
from runtime.containers.place import CREW
from runtime.oversight.keeper_commands import SandboxedCommands
from runtime.sandbox import Finished, Sandbox, Unconfined, Workdir, detect
from tests.containers.engines import IMAGE, running_engine, why_not, with_programs
from tests.world import World

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]
COMMITS = """
export GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=Ada GIT_COMMITTER_EMAIL=a@example.com
umask 077; git -c init.defaultBranch=main init -q && echo 1 >a && git add a && git commit -qm First && echo 2 >>a
"""
HOSTILE = """
ln -s /etc/passwd link; ln -s / root; ln -s /proc/1/root up; ln -s ../../../../.. out; mkfifo pipe; mkdir deep
cp link copy 2>/dev/null; ln pipe other; truncate -s 200000000 huge; printf x >deep/plain
ln -s / ~/top; ln -s /output ~/output; mkfifo ~/pipe; printf xy >~/.rc; mkdir -p ~/a/b/c
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its image has git, and homes of its own."""
    image = with_programs("/usr/bin/git", folders=("home/node/kept", "home/agent"))
    with running_engine(tmp_path_factory.mktemp("engine"), image) as made:
        yield made


class Boxed:
    """An agent in a container."""

    def __init__(self, world: World, crew: Crew, agent: Agent, containers: EngineContainers) -> None:
        self.world, self.crew, self.agent, self.containers = world, crew, agent, containers
        whose = {"workspace_id": world.workspace.id, "crew_id": crew.id}
        self.workdir = Workdir.of(world.settings.storage_path, agent_id=agent.id, agent_slug=agent.slug, **whose)

    async def runs(self, script: str) -> Finished:
        box = await Sandboxes(self.world.settings, Unconfined()).of_crew(self.world.workspace.id, self.crew.id)
        return await box.run(["sh", "-c", script], workdir=self.workdir, timeout=60)

    async def ask(self, route: str, **query: str) -> httpx2.Response:
        asked = {"workspace_id": self.world.workspace.id, **query}
        return await self.world.client(self.world.owner).get(f"/api/v1/{route}", params=asked)

    async def home(self, **query: str) -> list[str]:
        answer = await self.ask(f"agents/{self.agent.id}/container-files", **query)
        assert answer.status_code == 200, answer.text
        return [each["path"] for each in answer.json()]

    async def asks_git(self) -> tuple[dict[str, Any], list[str]]:
        """What differs, and the messages of commits."""
        diff = await self.ask(f"crews/{self.crew.id}/git-diff", agent_slug=self.agent.slug)
        log = await self.ask(f"agents/{self.agent.id}/git-log")
        return diff.json(), [each["message"] for each in log.json()]


@pytest.fixture
async def boxed(world: World, address: str) -> AsyncIterator[Boxed]:
    crew = Crew(workspace_id=world.workspace.id, name="Boxed", slug=new_id(), runtime_image=IMAGE)
    agent = Agent(workspace_id=world.workspace.id, name="Nell", slug=new_id(), crew_id=crew.id)
    await world.add(crew, agent)
    instance.containers = containers = EngineContainers(world.settings, address)
    yield Boxed(world, crew, agent, containers)
    instance.containers = instance.commands = None
    for found in await containers.engine.list({}):
        await containers.engine.remove(str(found["Id"]))
    await containers.engine.close()


async def test_homes_are_those_of_the_container_while_it_runs(boxed: Boxed) -> None:
    assert await boxed.home() == []
    await boxed.runs("mkdir -p ~/a/b/c; printf x >~/.rc")
    mine = ["/home/agent", "/home/agent/.rc", "/home/agent/a", "/home/agent/a/b"]
    assert await boxed.home() == [*mine, "/home/node", "/home/node/kept"]
    assert await boxed.home(subdir="node") == ["/home/node/kept"]
    assert await boxed.home(subdir="agent/a") == ["/home/agent/a/b", "/home/agent/a/b/c"]
    assert (await boxed.ask(f"agents/{boxed.agent.id}/container-files", subdir="../etc")).status_code == 400
    await boxed.containers.remove(boxed.world.workspace.id, boxed.crew.id)
    assert await boxed.home() == mine


async def test_what_an_agent_makes_in_its_container_leads_nowhere(boxed: Boxed) -> None:
    await boxed.runs(HOSTILE)
    home = await boxed.home()
    assert {"/home/agent/top", "/home/agent/output", "/home/agent/pipe", "/home/agent/.rc"} < set(home)
    assert not [path for path in home if path.startswith(("/home/agent/top/", "/home/agent/output/"))]
    for through in ("agent/top", "agent/output", "agent/top/etc", "agent/pipe"):
        assert await boxed.home(subdir=through) == []
    listed = (await boxed.ask(f"crews/{boxed.crew.id}/files", recursive="true")).json()
    slug = boxed.agent.slug
    found = {each["path"].removeprefix(f"{boxed.crew.id}/{slug}/"): each for each in listed[1:]}
    assert set(found) <= {"link", "root", "up", "out", "pipe", "other", "huge", "copy", "deep", "deep/plain"}
    assert {"link", "root", "up", "out", "pipe", "other", "huge", "deep", "deep/plain"} <= set(found)
    assert [path for path, each in found.items() if each["is_dir"]] == ["deep"]
    for path in ("link", "root/etc/passwd", "up/etc/passwd", "out/etc/passwd", "pipe", "other", "deep"):
        answer = await boxed.ask(f"crews/{boxed.crew.id}/files/download", path=f"{boxed.crew.id}/{slug}/{path}")
        assert answer.status_code == 404, path
    client = boxed.world.client(boxed.world.owner)
    asked = {"workspace_id": boxed.world.workspace.id, "path": f"{boxed.crew.id}/{slug}/huge"}
    ranges, route = {"range": "bytes=199999996-"}, f"/api/v1/crews/{boxed.crew.id}/files/download"
    some = await client.get(route, params=asked, headers=ranges)
    assert (some.status_code, some.content) == (206, b"\0" * 4)


async def machine(boxed: Boxed) -> Sandbox:
    found = await detect(boxed.world.settings)
    if not found.runs_commands:
        pytest.skip("this machine has no sandbox")
    return found


@pytest.mark.parametrize("where", ["machine", "container"])
async def test_git_of_what_was_committed_in_a_container(boxed: Boxed, where: str) -> None:
    """By the sandbox of this machine; and, where that has none, in a container of which nothing is left."""
    made = await boxed.runs(COMMITS)
    assert made.exit_code == 0, made.stderr
    sandbox = await machine(boxed) if where == "machine" else Unconfined()
    assert sandbox.runs_commands is (where == "machine")
    instance.commands = SandboxedCommands(boxed.world.settings, sandbox)
    diff, log = await boxed.asks_git()
    assert (diff["is_repo"], [(each["path"], each["additions"]) for each in diff["files"]]) == (True, [("a", 1)])
    assert log == ["First"]
    assert len(await boxed.containers.engine.list({CREW: boxed.crew.id})) == 1
    assert boxed.workdir.storage.joinpath(*boxed.workdir.home).exists()


async def test_git_in_a_container_runs_nothing_that_a_repository_names(boxed: Boxed, tmp_path: Path) -> None:
    trap = "touch /output/was-here;true"
    await boxed.runs(f"""{COMMITS}
        for name in core.fsmonitor diff.external core.pager; do git config $name '{trap}'; done
        echo '* diff=x' >.gitattributes; git config diff.x.textconv '{trap}'; echo 3 >>a""")
    instance.commands = SandboxedCommands(boxed.world.settings, Unconfined())
    diff, log = await boxed.asks_git()
    assert (diff["is_repo"], log) == (True, ["First"])
    output = boxed.workdir.storage.joinpath(*boxed.workdir.output)
    assert os.listdir(output) == [boxed.agent.slug]
