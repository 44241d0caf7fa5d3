"""What an agent is given of its skills: their names in its prompt, and their files in its sandbox."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.resources.skills import AgentSkill
from models.resources.skills import Skill as StoredSkill
from models.staff.agents import CliAdapter, ToolProfile
from runtime.runs.execution import job_of
from runtime.runs.job import Job, Skill, Worker
from runtime.runs.prompt import assemble
from runtime.runs.skills import MOST_LISTED, files_of, listing, noting_uses
from runtime.sandbox import Unconfined, Workdir
from runtime.sandbox.namespace import Bubblewrap
from runtime.tools import tools_for
from tests.runtime.estate import Estate, estate_on
from tests.runtime.sandbox.machine import *  # noqa: F403
from tests.runtime.test_work import take, told

pytestmark = pytest.mark.anyio
KNOTS = Skill("reef-knots", 'Use when <ropes> & "lines" are to be tied.', "# Knots\nLeft over right.\n", ("ROPE",))
WAVES = Skill("wellenzählen", "Use when waves are to be counted.", "# Waves\n")
WORKER = Worker(
    "id-bob", "bob", "Bob", "crew1", "crew", "Be brief.", CliAdapter.CLAUDE_CODE, None, None, ToolProfile.CODING
)
JOB = Job("run1", "ws1", "chat1", WORKER, "Tie them", skills=(KNOTS, WAVES))


def test_the_prompt_names_skills_and_does_not_hold_them() -> None:
    prompt = assemble(JOB, 100_000)
    assert prompt.system.startswith("Be brief.\n\nYou are Bob")
    assert (
        '<skill><name>reef-knots</name><description>Use when &lt;ropes&gt; &amp; "lines" are to be tied.'
        "</description><location>/skills/reef-knots/SKILL.md</location>"
        "<missing>environment variables ROPE</missing></skill>" in prompt.system
    )
    assert "/skills/wellenzählen/SKILL.md" in prompt.system
    assert "Left over right" not in prompt.system
    assert "skill" not in assemble(replace(JOB, skills=()), 100_000).system


def test_what_is_named_has_a_bound() -> None:
    many = [Skill(f"skill-{n}", "Use when it is needed. " * 20, "x") for n in range(100)]
    assert 0 < len(listing(many)) < MOST_LISTED + 1000
    assert sum(map(len, files_of([replace(one, content="x" * (1 << 20)) for one in many]).values())) <= 8 << 20


def test_a_file_is_a_skill_md() -> None:
    [path, *_], [content, *_] = zip(*files_of(JOB.skills).items(), strict=True)
    assert path == "/skills/reef-knots/SKILL.md"
    assert content.decode() == (
        '---\nname: "reef-knots"\ndescription: "Use when <ropes> & \\"lines\\" are to be tied."\n---\n\n'
        "# Knots\nLeft over right.\n"
    )


@pytest.fixture
def taught(workdir: Workdir) -> Workdir:
    os.close(workdir.open_output())
    return replace(workdir, given=files_of(JOB.skills))


async def test_commands_find_skills_and_cannot_change_them(sandbox: Bubblewrap, taught: Workdir) -> None:
    tools = tools_for(JOB, sandbox, taught)
    found = await tools["run_command"].run({"command": "cat /skills/*/SKILL.md; ls /skills", "timeout_seconds": 20})
    assert not found.is_error, found.content
    assert "Left over right." in found.content
    assert "wellenzählen" in found.content
    for command in (
        "echo x >> /skills/reef-knots/SKILL.md",
        "rm /skills/reef-knots/SKILL.md",
        "rm -rf /skills",
        "mkdir /skills/other",
        "chmod 777 /skills/reef-knots/SKILL.md && echo x > /skills/reef-knots/SKILL.md",
        "mv /skills /tmp/skills",
    ):
        assert (await tools["run_command"].run({"command": command, "timeout_seconds": 20})).is_error, command
    again = await tools["run_command"].run({"command": "cat /skills/reef-knots/SKILL.md", "timeout_seconds": 20})
    assert again.content.endswith("Left over right."), "each command finds it as it was"


async def test_an_agent_without_skills_has_no_folder_of_them(sandbox: Bubblewrap, workdir: Workdir) -> None:
    os.close(workdir.open_output())
    tools = tools_for(replace(JOB, skills=()), sandbox, workdir)
    assert (await tools["run_command"].run({"command": "ls /skills", "timeout_seconds": 20})).is_error


async def test_skills_are_read_without_a_sandbox_too(taught: Workdir) -> None:
    tools = tools_for(JOB, Unconfined(), taught)
    for path in ("/skills/reef-knots/SKILL.md", "/skills/../skills/./reef-knots/SKILL.md"):
        read = await tools["read_file"].run({"path": path})
        assert not read.is_error
        assert "Left over right." in read.content
    for path in ("/skills/other/SKILL.md", "/skills/../etc/passwd", "/skills/reef-knots", "/skills"):
        assert (await tools["read_file"].run({"path": path})).is_error, path
    written = await tools["write_file"].run({"path": "/skills/reef-knots/SKILL.md", "content": "x"})
    assert written.is_error


async def test_reading_a_skill_is_told_once_a_run(taught: Workdir, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = list[tuple[str, ...]]()

    async def tell(*use: str) -> None:
        noted.append(use)
        if len(noted) == 2:
            raise RuntimeError("no database")

    monkeypatch.setattr("runtime.runs.skills.tell_of_use", tell)
    tools = noting_uses(JOB, tools_for(JOB, Unconfined(), taught))
    paths = ("/skills/reef-knots/SKILL.md", "/skills/./reef-knots/SKILL.md", "/skills/none/SKILL.md", "x")
    read = [(await tools["read_file"].run({"path": path})).is_error for path in paths]
    assert (read, noted) == ([False, False, True, True], [("ws1", "id-bob", "run1", "reef-knots")])
    assert (await tools["read_file"].run({"path": 7})).is_error
    waves = await tools["read_file"].run({"path": "/skills/wellenzählen/SKILL.md"})
    assert ("Waves" in waves.content, len(noted)) == (True, 2), "a use that cannot be noted is read all the same"


@pytest.fixture
async def estate(database: Any, tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate_on(database, tmp_path) as made:
        yield made


async def test_a_run_is_told_of_the_skills_that_its_agent_has(estate: Estate) -> None:
    agent = await estate.agent()
    slugs = [new_id() for _ in range(4)]
    for place, slug in enumerate(slugs):
        skill = StoredSkill(
            name=slug, name_key=slug, slug=slug, display_name=f"{9 - place}", description=f"Use when {place}",
            content=None if place == 2 else f"Text {place}", credential_requirements='["ROPE"]',
        )  # fmt: skip
        tie = AgentSkill(agent_id=agent.id, skill_id=skill.id, enabled=place != 3, workspace_id=estate.workspace.id)
        await estate.add(skill, tie)
    claim = await take(await estate.ask("Go", await estate.chat(agent)))
    briefing = await told(claim)
    assert [one["slug"] for one in briefing["skills"]] == [slugs[1], slugs[0]], "enabled, with a text, by name"
    job = job_of(claim, briefing)
    assert job.skills == (
        Skill(slugs[1], "Use when 1", "Text 1", ("ROPE",)),
        Skill(slugs[0], "Use when 0", "Text 0", ("ROPE",)),
    )
