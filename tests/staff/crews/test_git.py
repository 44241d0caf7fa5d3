"""What git says of folders of agents: repositories as they are, and as somebody wants them to be."""

import asyncio
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.running import instance
from resolvers.staff.crews.git import MOST, OF_WORKSPACE, SECONDS
from runtime.oversight.keeper_commands import SandboxedCommands
from tests.world import World

pytestmark = pytest.mark.anyio


class Repository:
    def __init__(self, world: World, crew: Crew, agent: Agent) -> None:
        self.world, self.crew, self.agent = world, crew, agent
        base = world.settings.storage_path / "workspaces" / world.workspace.id / "crews" / crew.id
        self.at: Path = base / "output" / agent.slug

    def git(self, *words: str) -> None:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"]
        subprocess.run(["git", "-C", str(self.at), *who, *words], check=True, capture_output=True)

    def given(self) -> None:
        """To whom commands run as."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "79001:79001", str(self.at.parent)], check=True)

    async def ask(self, path: str, **query: str) -> httpx2.Response:
        asked = {"workspace_id": self.world.workspace.id, **query}
        return await self.world.client(self.world.viewer).get(f"/api/v1/{path}", params=asked)

    async def diff(self) -> dict[str, Any]:
        answer = await self.ask(f"crews/{self.crew.id}/git-diff", agent_slug=self.agent.slug)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def log(self) -> list[dict[str, str]]:
        answer = await self.ask(f"agents/{self.agent.id}/git-log")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, str]] = answer.json()
        return found


@pytest.fixture
async def repository(world: World, monkeypatch: pytest.MonkeyPatch) -> Repository:
    number = await world.database.fetchval("SELECT count(*) FROM agents")
    crew = Crew(workspace_id=world.workspace.id, name="Engine", slug=f"git-{number}")
    await world.add(crew)
    agent = Agent(workspace_id=world.workspace.id, name="Ada", slug=f"git-{number}", crew_id=crew.id)
    await world.add(agent)
    monkeypatch.setattr(instance, "commands", SandboxedCommands(world.settings))
    made = Repository(world, crew, agent)
    made.at.mkdir(parents=True)
    return made


async def test_a_folder_without_a_repository(repository: Repository) -> None:
    assert await repository.diff() == {"is_repo": False}
    assert await repository.log() == []
    (repository.at / ".git").mkdir()
    repository.given()
    assert await repository.diff() == {"is_repo": False}
    assert await repository.log() == []


async def test_commits_and_differences_are_told(repository: Repository) -> None:
    at = repository.at
    (at / "kept").write_text("1\n2\n")
    (at / "gone").write_text("1\n")
    (at / "old name").write_text("a\nb\nc\nd\n")
    repository.git("init")
    repository.git("add", ".")
    repository.git("commit", "-m", "First words\n\nand more")
    repository.git("checkout", "-b", "work")
    (at / "new").write_text("x\n")
    repository.git("add", ".")
    repository.git("commit", "-m", "Second")
    repository.git("mv", "old name", "new\tname")
    repository.git("rm", "gone")
    (at / "kept").write_text("1\n3\n4\n")
    repository.given()
    commits = await repository.log()
    assert [(each["message"], each["author"], len(each["hash"])) for each in commits] == [
        ("Second", "Ada", 40), ("First words", "Ada", 40),
    ]  # fmt: skip
    assert all(each["date"][10] == "T" for each in commits)
    found = await repository.diff()
    assert (found["is_repo"], found["truncated"], "error" in found) == (True, False, False)
    assert {(each["path"], each["status"], each["additions"], each["deletions"]) for each in found["files"]} == {
        ("gone", "deleted", 0, 1), ("kept", "modified", 2, 1), ("new", "added", 1, 0), ("new\tname", "renamed", 0, 0),
    }  # fmt: skip
    assert "+3\n+4\n" in found["diff"]


async def test_a_long_patch_is_cut_off(repository: Repository) -> None:
    repository.git("init")
    (repository.at / "long").write_text("")
    repository.git("add", ".")
    repository.git("commit", "-m", "First")
    (repository.at / "long").write_text("x" * 79 * 10_000 + "\n")
    repository.given()
    found = await repository.diff()
    assert (found["truncated"], len(found["diff"])) == (True, MOST)
    assert [each["path"] for each in found["files"]] == ["long"]


async def test_a_repository_decides_nothing_that_is_run(repository: Repository) -> None:
    """Each of these runs something with a git that believes the repository."""
    at, trap = repository.at, "touch /output/$USER-was-here;true"
    (at / "a.txt").write_text("1\n")
    (at / ".gitattributes").write_text("*.txt diff=x filter=x\n")
    repository.git("init")
    repository.git("add", ".")
    repository.git("commit", "-m", "First")
    for name in ("core.fsmonitor", "diff.external", "diff.x.textconv", "diff.x.command", "filter.x.clean",
                 "filter.x.smudge", "core.pager", "pager.log", "gpg.program", "core.sshCommand"):  # fmt: skip
        repository.git("config", name, trap)
    repository.git("config", "log.showSignature", "true")
    repository.git("config", "include.path", "/output/other")
    for hook in ("post-checkout", "pre-commit", "fsmonitor-watchman", "post-index-change"):
        (at / ".git/hooks" / hook).write_text(f"#!/bin/sh\n{trap}\n")
        (at / ".git/hooks" / hook).chmod(0o755)
    (at / "a.txt").write_text("2\n")
    repository.given()
    found = await repository.diff()
    assert [(each["path"], each["additions"]) for each in found["files"]] == [("a.txt", 1)]
    assert "+2\n" in found["diff"]
    assert [each["message"] for each in await repository.log()] == ["First"]
    assert sorted(os.listdir(at.parent)) == [repository.agent.slug]


async def test_a_repository_of_a_newer_git_is_not_taken_for_an_empty_one(repository: Repository) -> None:
    """An image may have a git that keeps references in a way that ours does not read."""
    repository.git("init")
    repository.git("commit", "--allow-empty", "-m", "First")
    repository.git("config", "extensions.refstorage", "reftable")
    repository.given()
    found = await repository.diff()
    assert found == {"is_repo": False, "error": "git is older than the repository's format"}
    assert await repository.log() == []


def waiting(repository: Repository) -> None:
    """A repository whose branch is a pipe, which git opens and waits for."""
    repository.git("init")
    os.mkfifo(repository.at / ".git/refs/heads/main")
    repository.given()


@pytest.mark.slow
async def test_a_repository_that_keeps_git_waiting_ends(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.staff.crews.git.SECONDS", 0.5)
    waiting(repository)
    assert await repository.diff() == {"is_repo": False, "error": "git could not compare"}
    assert await repository.log() == []


@pytest.mark.parametrize("name", ["HEAD", "config", "index", "packed-refs"])
async def test_what_is_no_plain_file_is_not_waited_for(repository: Repository, name: str) -> None:
    repository.git("init")
    repository.git("commit", "--allow-empty", "-m", "First")
    (repository.at / ".git" / name).unlink(missing_ok=True)
    os.mkfifo(repository.at / ".git" / name)
    repository.given()
    began = time.monotonic()
    found = await repository.diff()
    assert found["is_repo"] is (name != "HEAD"), found
    assert len(await repository.log()) == (name != "HEAD")
    assert time.monotonic() - began < SECONDS, "git was ended"


@pytest.mark.slow
async def test_who_waits_for_git_keeps_no_other_workspace_waiting(
    repository: Repository, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.staff.crews.git.SECONDS", 6.0)
    waiting(repository)
    crew = Crew(workspace_id=world.other.id, name="Other", slug=f"other-{repository.crew.slug}")
    await world.add(crew)
    base = world.settings.storage_path / "workspaces" / world.other.id / "crews" / crew.id / "output"
    (base / ".git").mkdir(parents=True)
    path = f"crews/{repository.crew.id}/git-diff"
    slow = [asyncio.create_task(repository.ask(path, agent_slug=repository.agent.slug)) for _ in range(6)]
    refused, _ = await asyncio.wait(slow, timeout=4, return_when=asyncio.ALL_COMPLETED)
    assert [task.result().status_code for task in refused] == [429] * (6 - OF_WORKSPACE)
    began = time.monotonic()
    theirs = await world.client(world.outsider).get(
        f"/api/v1/crews/{crew.id}/git-diff", params={"workspace_id": world.other.id}
    )
    assert (theirs.status_code, theirs.json()) == (200, {"is_repo": False})
    assert time.monotonic() - began < 4
    answers = await asyncio.gather(*slow)
    assert sorted(answer.status_code for answer in answers) == [200] * OF_WORKSPACE + [429] * (6 - OF_WORKSPACE)
    assert (await repository.ask(path, agent_slug="nobody")).status_code == 200, "the places are free again"


async def test_without_a_sandbox_there_is_no_repository(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository.at / ".git").mkdir()
    monkeypatch.setattr(instance, "commands", None)
    assert await repository.diff() == {"is_repo": False, "error": "Commands are disabled on this server"}
    assert await repository.log() == []


async def test_the_home_of_an_agent_is_listed_three_levels_deep(repository: Repository) -> None:
    world, agent = repository.world, repository.agent
    path = f"agents/{agent.id}/container-files"
    assert (await repository.ask(path)).json() == []
    home = world.settings.storage_path / "workspaces" / world.workspace.id / "agents" / agent.id / "home"
    (home / "a/b/c").mkdir(parents=True)
    (home / "a/b/c/d").write_text("x")
    (home / ".rc").write_text("xy")
    found = (await repository.ask(path)).json()
    assert found[1] == {"path": "/home/agent/.rc", "name": ".rc", "size": 2, "is_dir": False}
    assert [each["path"] for each in found] == ["/home/agent", "/home/agent/.rc", "/home/agent/a", "/home/agent/a/b"]
    below = (await repository.ask(path, subdir="agent/a")).json()
    assert [each["path"] for each in below] == ["/home/agent/a/b", "/home/agent/a/b/c", "/home/agent/a/b/c/d"]
    assert (await repository.ask(path, subdir="../x")).status_code == 400
    assert (await repository.ask(path, subdir="root")).json() == []
