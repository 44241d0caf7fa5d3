"""What an agent has prepared steers no command that holds a secret: in a real sandbox, with a model that says yes."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from resolvers.kernel import instance
from runtime.oversight.keeper_commands import SandboxedCommands
from runtime.sandbox import Workdir
from runtime.sandbox.namespace import Bubblewrap
from tests.oversight.keeper.conftest import EXECUTE, SECRET, ScriptedModel, Ship, verdict
from tests.runtime.sandbox.machine import data_dir, host_allows, programs, python, sandbox, why_not  # noqa: F401
from tests.world import World

pytestmark = pytest.mark.anyio
TURNED = SECRET[::-1]


@pytest.fixture
async def here(ship: Ship, world: World, model: ScriptedModel, sandbox: Bubblewrap) -> AsyncIterator["Prepared"]:  # noqa: F811
    model.answer = verdict("ALLOW")
    instance.commands = SandboxedCommands(world.settings, sandbox)
    yield Prepared(ship, world, sandbox)
    instance.commands = None


class Prepared:
    """The agent's own folder and home, as its commands leave them."""

    def __init__(self, ship: Ship, world: World, sandbox: Bubblewrap) -> None:  # noqa: F811
        whose = {"workspace_id": world.workspace.id, "agent_id": ship.agent.id, "agent_slug": ship.agent.slug}
        self.workdir = Workdir.of(world.settings.storage_path, crew_id=ship.crew.id, **whose)
        self.at, self._ship, self._sandbox = f"/output/{ship.agent.slug}", ship, sandbox

    async def command(self, script: str) -> str:
        ended = await self._sandbox.run(["/bin/sh", "-ec", script], workdir=self.workdir, timeout=30)
        assert ended.exit_code == 0, ended
        return ended.stdout

    async def allowed(self, command: str) -> dict[str, Any]:
        sent = {"command": command.replace("OUT", self.at), "container_id": self._ship.crew.id}
        answer = await self._ship.ask(EXECUTE, "mid", **sent)
        assert answer.status_code == 200, answer.text
        assert answer.json()["decision"] == "ALLOW"
        found: dict[str, Any] = answer.json()
        return found

    def kept(self) -> str:
        """Whatever is in any folder that an agent reads."""
        found = ""
        for place in (self.workdir.output, self.workdir.home):
            for path in self.workdir.storage.joinpath(*place).rglob("*"):
                found += f"{path.name}\n{path.read_text(errors='replace') if path.is_file() else ''}\n"
        return found


# A program that an agent has made: it keeps what it finds, turned round, where the agent reads it later.
THIEF = r"""
cat >/home/agent/thief <<'end'
#!/bin/sh
for at in OUT /home/agent /tmp .; do printenv K_MID | rev >$at/stolen 2>/dev/null; done
printenv K_MID | tr 'a-zA-Z' 'b-zaB-ZA'
end
chmod +x /home/agent/thief; cp /home/agent/thief OUT/thief
"""
PREPARED = {
    "a monitor of a repository": (
        "git init -q . && git config core.fsmonitor /home/agent/thief && touch a && git add a",
        ("git status --short", "git -C OUT status --short", "git --git-dir=OUT/.git --work-tree=OUT status"),
    ),
    "filters of a repository": (
        "git init -q . && git config filter.f.clean /home/agent/thief && echo '* filter=f' >.gitattributes && touch b",
        ("git add b", "git -C OUT add OUT/b", "git -C OUT add OUT/.gitattributes"),
    ),
    "hooks of a repository": (
        "git init -q . && cp /home/agent/thief .git/hooks/pre-push && git init -q --bare up && git remote add o up",
        ("git push o", "git -C OUT push o"),
    ),
    "the user's git": (
        "git config --global core.fsmonitor /home/agent/thief && git config --global alias.st '!/home/agent/thief'",
        ("git st", "git init", "git help st"),
    ),
    "a Makefile": ("printf 'all:\n\t/home/agent/thief\n' >Makefile", ("make", "make all", "make -C OUT")),
    "a package": (
        """printf '{"scripts": {"test": "/home/agent/thief", "preinstall": "/home/agent/thief"}}' >package.json""",
        ("npm test", "npm --prefix OUT test", "npm --prefix OUT install"),
    ),
    "tests": (
        "for n in conftest test_all report sitecustomize usercustomize; do"
        " echo 'import os; os.system(\"/home/agent/thief; OUT/thief\")' >$n.py; done;"
        " d=$(python3 -m site --user-site) && mkdir -p $d && cp *customize.py $d",
        ("python3 -m unittest", "python3 -m report", "python3 -m pytest OUT", "python3 -m this"),
    ),
    "configurations at home": (
        "echo 'output = /output/curled' >/home/agent/.curlrc && echo '\\! /home/agent/thief' >/home/agent/.psqlrc"
        " && echo 'node-options = --require /home/agent/thief' >/home/agent/.npmrc && mkdir /home/agent/.ssh"
        " && echo 'ProxyCommand /home/agent/thief' >/home/agent/.ssh/config",
        ("curl file:///etc/hostname", "npm --version", "ssh -V x", "ssh -T nobody@nowhere.example"),
    ),
    "a script": ("cp /home/agent/thief deploy.sh", ("./deploy.sh", "sh deploy.sh", "/home/agent/thief", "~/thief")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PREPARED)
async def test_it_decides_nothing(here: Prepared, name: str) -> None:
    prepares, commands = PREPARED[name]
    await here.command(f"cd {here.at}\n{THIEF}\n{prepares}".replace("OUT", here.at))
    before = here.kept()
    for command in commands:
        said = await here.allowed(command)
        assert "t3ds3u" not in str(said), command  # it shows the next letter of each
    assert here.kept() == before
    assert TURNED not in before


async def test_a_program_with_the_secret_is_what_the_thief_waits_for(here: Prepared) -> None:
    """Where it runs, the answer shows a form of the secret that nobody knows: what is looked for above."""
    await here.command(f"cd {here.at}\n{THIEF}".replace("OUT", here.at))
    assert "t3ds3u" in (await here.allowed("sh OUT/thief"))["output"]


async def test_the_same_files_steer_a_command_of_the_agents_own(here: Prepared) -> None:
    """Which shows that they would have: what holds no secret runs where they are."""
    await here.command(f"cd {here.at}\n{THIEF}\n{PREPARED['a monitor of a repository'][0]}".replace("OUT", here.at))
    await here.command(f"cd {here.at}; K_MID={SECRET} git status --short")
    assert TURNED in here.kept()


async def test_a_file_that_it_names_is_the_one_that_was_judged(here: Prepared, model: ScriptedModel) -> None:
    await here.command(f"echo 'echo in order: $(cat {here.at}/data)' >{here.at}/deploy.sh; echo 12 >{here.at}/data")
    judge, path = model.complete, here.workdir.path / "deploy.sh"

    async def changed_meanwhile(asked: Any, question: Any) -> Any:
        assert '"echo in order:' in question.text
        path.write_text("printenv K_MID | rev\n")
        return await judge(asked, question)

    model.complete = changed_meanwhile  # type: ignore[method-assign]
    said = await here.allowed("sh OUT/deploy.sh OUT/data")
    assert said["output"] == "in order: 12\n"
    assert "exit_code" not in said


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("ln -s /etc/hostname OUT/named", "not a plain file"),
        ("mkdir OUT/named", "not a plain file"),
        ("mkfifo OUT/named", "not a plain file"),
        ("true", "not a plain file"),
        ("head -c 1048577 /dev/zero >OUT/named", "larger than 1 MiB"),
    ],
)
async def test_what_is_no_file_is_not_given(here: Prepared, made: str, why: str) -> None:
    await here.command(made.replace("OUT", here.at))
    said = await here.allowed("cat OUT/named")
    assert said["exit_code"] == 1
    assert said["output"].startswith(f"[{here.at}/named was not provided: it is ")
    assert why in said["output"]


async def test_what_is_hidden_is_not_given(here: Prepared) -> None:
    await here.command(f"mkdir {here.at}/.git; echo x >{here.at}/.git/config; echo x >{here.at}/.npmrc")
    for path in ("OUT/.git/config", "OUT/.npmrc", "OUT/../x", "OUT//x"):
        assert "was not provided" in (await here.allowed(f"cat {path}"))["output"], path


@pytest.mark.slow
async def test_it_keeps_nothing_and_changes_nothing(here: Prepared) -> None:
    """It may write where it begins, at home and in /tmp, and all of that is gone."""
    await here.command(f"echo kept >{here.at}/data")
    for command, code in (
        ("touch here", 0), ("touch /home/agent/here", 0), ("touch /tmp/here", 0), ("pwd", 0), ("ls -A", 0),
        ("touch OUT/here", 1), ("touch OUT/data", 1), ("cp /etc/hosts OUT/data", 1), ("rm OUT/data", 1),
        ("ls /output", 2), ("ls -A /home/agent", 0), ("cat OUT/data", 0),
    ):  # fmt: skip
        said = await here.allowed(command)
        assert (said.get("exit_code", 0) != 0) is (code != 0), (command, said)
    assert (await here.allowed("pwd"))["output"] == "/scratch\n"
    assert (await here.allowed("ls -A /scratch /home/agent"))["output"] == "/home/agent:\n\n/scratch:\n"
    assert (await here.allowed("cat OUT/data"))["output"] == "kept\n"
    assert here.kept().count("here") == 0
    assert os.listdir(here.workdir.path) == ["data"]
    assert (here.workdir.path / "data").read_text() == "kept\n"
    assert Path("/scratch").exists() is False
