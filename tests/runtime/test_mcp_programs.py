"""MCP servers behind stdio: programs in the sandbox of the agent, real ones, and those that do what they should not."""

import asyncio
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.resources.integrations import AgentIntegration, CrewIntegration, IntegrationScope, Transport
from models.staff.agents import Agent as AgentRow
from models.staff.crews import Crew
from resolvers.instance.mcp_client import McpFailed, called, offered
from resolvers.instance.mcp_programs import McpProgram
from resolvers.kernel import across_workspaces, instance
from resolvers.resources.integrations.given import GivenServer
from resolvers.rules.content_scan import scan
from resolvers.rules.redaction import Redactor
from runtime.adapters.loop import AgentLoop
from runtime.runs.consent import Approvals
from runtime.runs.job import Job, Outcome, Sink
from runtime.runs.mcp_programs import AT_ONCE, LocalServers, ProgramsPlace, programs_of
from runtime.runs.mcp_servers import NOT_ALLOWED, NotAllowed, RunServer, servers_for, tools_of
from runtime.runs.prompt import Prompt
from runtime.sandbox import Limits, Unconfined, Workdir
from runtime.sandbox.namespace import Bubblewrap
from tests.npm import NODE, NPM, node_modules
from tests.pypi import installed
from tests.runtime.estate import Estate
from tests.runtime.sandbox.machine import *  # noqa: F403
from tests.runtime.test_consent import Model, shop  # noqa: F401
from tests.runtime.test_mcp_servers import calls
from tests.runtime.test_secrets import give
from tests.runtime.test_what_leaves_a_run import TAKEN

pytestmark = pytest.mark.anyio
SERVERS = Path(__file__).parents[1] / "resources" / "integrations"
SOURCE = (SERVERS / "stdio_server.py").read_text()
PYTHON = "/usr/bin/python3"
VALUE = "canary/5e1f+7-of-a-program"
SPEAK = "mcp__local__speak"


def server(*argv: str, **texts: Any) -> RunServer:
    given = GivenServer(
        "s1", IntegrationScope.crew, "local", Transport.stdio, None, argv[0], json.dumps(argv[1:]),
        texts.get("env_json"), None, None, None, None, None,
    )  # fmt: skip
    return RunServer(given)


async def always(_: GivenServer) -> bool:
    return True


def program(sandbox: Bubblewrap, workdir: Workdir, *argv: str) -> McpProgram:
    one = server(*argv)
    [made] = LocalServers([one], {}, always).among([one], ProgramsPlace(sandbox, workdir, None))
    assert made.program is not None
    return made.program


def form(sandbox: Bubblewrap, workdir: Workdir, name: str) -> McpProgram:
    return program(sandbox, workdir, PYTHON, "-c", SOURCE, name)


async def test_a_program_is_asked_and_gone(sandbox: Bubblewrap, workdir: Workdir) -> None:
    one = form(sandbox, workdir, "good")
    assert [tool.name for tool in await offered(one)] == ["speak"]
    answer = await called(one, "speak", {"text": "ahoy"})
    assert (answer.text, answer.is_error) == ("You said ahoy", False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("dies-listing", "The server has ended: exit code 3, no harbour found"),
        ("endless-list", "The server's answers are longer than 4 MiB"),
        ("many-lines", "The server printed more than 2000 lines"),
        ("notifications", "The server printed more than 2000 lines"),
        ("no-messages", "The server printed more than 2000 lines"),
        ("silent", "The server did not answer within 2 seconds"),
        ("reads-nothing", "The server did not answer within 2 seconds"),
    ],
)
async def test_tools_of_a_hostile_program(sandbox: Bubblewrap, workdir: Workdir, name: str, why: str) -> None:
    with pytest.raises(McpFailed) as failed:
        await offered(form(sandbox, workdir, name), seconds=2)
    assert str(failed.value) == why


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("dies", "The server has ended: exit code 9"),
        ("endless", "The server's answers are longer than 4 MiB"),
        ("slow", "The server did not answer within 2 seconds"),
    ],
)
async def test_calls_of_a_hostile_program(sandbox: Bubblewrap, workdir: Workdir, name: str, why: str) -> None:
    one = form(sandbox, workdir, name)
    with pytest.raises(McpFailed) as failed:
        await called(one, "speak", {}, seconds=2)
    assert (str(failed.value), failed.value.timed_out) == (why, name == "slow")


@pytest.mark.slow
async def test_what_is_no_program_and_what_asks_back(sandbox: Bubblewrap, workdir: Workdir) -> None:
    with pytest.raises(McpFailed, match="exit code 127"):
        await offered(program(sandbox, workdir, "no-such-program"))
    assert (await called(form(sandbox, workdir, "asks"), "speak", {}, seconds=10)).text == "You said nothing"
    large = {"text": "z" * 300_000}
    with pytest.raises(McpFailed, match="did not answer"):
        await called(form(sandbox, workdir, "reads-nothing"), "speak", large, seconds=2)


@pytest.mark.slow
async def test_nothing_of_a_program_is_left(sandbox: Bubblewrap, workdir: Workdir) -> None:
    await called(form(sandbox, workdir, "leaves"), "speak", {})
    left = await output(sandbox, workdir, "cat left; sleep 0.3; echo; cat left")  # noqa: F405
    before, _, after = left.partition("\n")
    assert before == after, "what it has started has ended with it"
    task = asyncio.create_task(called(form(sandbox, workdir, "slow"), "speak", {}))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_program_sees_what_a_command_sees(sandbox: Bubblewrap, workdir: Workdir, data_dir: Path) -> None:
    found = json.loads((await called(form(sandbox, workdir, "files"), "speak", {})).text)
    assert (found["cwd"], "shadow" in found["etc"], "root" in found["root"]) == ("/output/bob", False, False)
    told = json.loads((await called(form(sandbox, workdir, "environment"), "speak", {})).text)
    assert set(told["environment"]) <= {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TMPDIR", "PWD", "OLDPWD", "_", "SHLVL", "LC_CTYPE",
    }  # fmt: skip


@pytest.mark.slow
async def test_a_program_that_takes_too_much_is_ended(programs: Any, workdir: Workdir) -> None:
    small = Bubblewrap(programs, limits=Limits(memory_sum=64 << 20))
    grows = "import time\nx = [bytearray(1 << 20) for _ in range(400)]\ntime.sleep(60)"
    with pytest.raises(McpFailed, match="memory"):
        await offered(program(small, workdir, PYTHON, "-c", grows), seconds=20)


class Agent:
    """As the instance fits out a run, with a model that calls one tool."""

    def __init__(self, sandbox: Any, workdir: Workdir, guarded: bool = False, meanwhile: Any = None) -> None:
        self.sandbox, self.workdir, self.guarded, self.meanwhile = sandbox, workdir, guarded, meanwhile
        self.heard, self.told = list[Any](), list[Any]()

    async def __call__(self, job: Job, sink: Sink) -> Outcome:
        servers: Sequence[RunServer] = await servers_for(job)
        made = await programs_of(job, servers, self.sandbox, guarded=self.guarded)
        redactor = Redactor([*made.values.values(), *(each.secret for each in servers if each.secret)])
        tools, self.told = await tools_of(
            job, made.among(servers, ProgramsPlace(self.sandbox, self.workdir, None)), redactor
        )
        if self.meanwhile is not None:
            await self.meanwhile()
        loop = AgentLoop(
            "test", Model(SPEAK, {}, self.heard), lambda job: Prompt("", (), job.prompt), tools=tools, scan=scan,
            redactor=redactor, consent=Approvals(), servers=self.told,
        )  # fmt: skip
        return await loop.run(job, sink)


@pytest.fixture
def open_flag(monkeypatch: pytest.MonkeyPatch, estate: Estate) -> None:
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"mcp_stdio": True}))


async def local(estate: Estate) -> tuple[AgentRow, CrewIntegration, str]:
    """A server behind stdio that is told of one credential by its binding, and of another by its own text."""
    here = {"workspace_id": estate.workspace.id}
    crew = Crew(name="Crew", slug=new_id(), **here)
    made = CrewIntegration(
        crew_id=crew.id, name="local", display_name="Local", transport=Transport.stdio, command=PYTHON,
        args_json=json.dumps(["-c", SOURCE, "environment", "${OWN}"]), env_json='{"TEXT": "key=${OWN}"}', **here,
    )  # fmt: skip
    await estate.add(crew, made)
    row = await estate.agent(crew_id=crew.id)
    secret = await give(estate, row.id, "OWN", VALUE)
    scope = {"mcp_server_id": made.id, "mcp_server_scope": IntegrationScope.crew}
    tie = AgentIntegration(agent_id=row.id, credential_id=secret, env_var_name="BOUND", **scope, **here)
    await estate.add(tie)
    return row, made, secret


async def run_of(estate: Estate, shop: Any, agent: Agent, row: AgentRow) -> str:  # noqa: F811
    await shop.worker(agent)
    run = await estate.ask(chat=await estate.chat(row))
    ended = await estate.ended(run.id)
    assert ended.status == "COMPLETED"
    return str(await estate.answer(str(run.chat_id)))


async def test_a_run_uses_a_program_with_a_credential(
    estate: Estate,
    shop: Any,  # noqa: F811
    sandbox: Bubblewrap,
    workdir: Workdir,
    open_flag: None,
) -> None:
    row, _, _ = await local(estate)
    agent = Agent(sandbox, workdir)
    answer = await run_of(estate, shop, agent, row)
    [heard] = agent.heard
    assert agent.told == [{"name": "local", "status": "connected"}]
    assert '"BOUND": "' in heard["content"]
    assert '"TEXT": "key=' in heard["content"]
    assert VALUE not in heard["content"]
    assert VALUE not in answer
    assert await calls(estate, row) == [("speak", "success", None)]


@pytest.mark.parametrize("how", ["flag", "sandbox", "keeper"])
async def test_where_no_program_is_started(
    estate: Estate,
    shop: Any,  # noqa: F811
    sandbox: Bubblewrap,
    workdir: Workdir,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    allowed = instance.settings.model_copy(update={"mcp_stdio": how != "flag"})
    monkeypatch.setattr(instance, "_settings", allowed)
    row, _, secret = await local(estate)
    await estate.owner.execute("UPDATE credentials SET type = 'SECRET' WHERE id = $1", secret)
    agent = Agent(Unconfined() if how == "sandbox" else sandbox, workdir, guarded=how == "keeper")
    await run_of(estate, shop, agent, row)
    assert agent.told == [{"name": "local", "status": "skipped"}]
    assert await calls(estate, row) == []


async def test_a_program_that_was_changed_meanwhile_is_not_started(
    estate: Estate,
    shop: Any,  # noqa: F811
    sandbox: Bubblewrap,
    workdir: Workdir,
    open_flag: None,
) -> None:
    row, made, _ = await local(estate)

    async def change() -> None:
        sql = "UPDATE crew_integrations SET args_json = '[]' WHERE id = $1"
        await across_workspaces(lambda rows: rows.fetch(sql, made.id))

    agent = Agent(sandbox, workdir, meanwhile=change)
    await run_of(estate, shop, agent, row)
    [heard] = agent.heard
    assert NOT_ALLOWED in heard["content"]
    assert [status for _, status, _ in await calls(estate, row)] == ["denied"]


@pytest.mark.parametrize("how", [*TAKEN, "another"])
async def test_what_was_taken_away_meanwhile_is_given_to_no_further_program(
    estate: Estate,
    shop: Any,  # noqa: F811
    sandbox: Bubblewrap,
    workdir: Workdir,
    open_flag: None,
    how: str,
) -> None:
    """The credential that the server's own text names; that of its binding stays."""
    row, _, secret = await local(estate)
    other = await give(estate, row.id, "OTHER", "bound-and-stays-with-it")
    third = await give(estate, row.id, "THIRD", "no-business-of-the-server")
    await estate.owner.execute("UPDATE agent_mcp_bindings SET credential_id = $1 WHERE agent_id = $2", other, row.id)

    async def take() -> None:
        taken = third if how == "another" else secret
        await across_workspaces(lambda rows: rows.fetch(TAKEN.get(how, TAKEN["deleted"]), taken))

    agent = Agent(sandbox, workdir, meanwhile=take)
    await run_of(estate, shop, agent, row)
    assert agent.told == [{"name": "local", "status": "connected"}]
    [heard] = agent.heard
    assert (NOT_ALLOWED in heard["content"]) is (how != "another")
    assert ('"TEXT": "key=[REDACTED' in heard["content"]) is (how == "another")
    assert [status for _, status, _ in await calls(estate, row)] == ["success" if how == "another" else "denied"]


@pytest.mark.slow
async def test_a_program_that_waited_for_its_turn_is_asked_for_again(sandbox: Bubblewrap, workdir: Workdir) -> None:
    allowed, asked = asyncio.Event(), asyncio.Semaphore(0)
    allowed.set()

    async def still(_: GivenServer) -> bool:
        asked.release()
        return allowed.is_set()

    slow, good = (server(PYTHON, "-c", SOURCE, name) for name in ("slow", "good"))
    made = LocalServers([slow, good], {}, still).among([slow, good], ProgramsPlace(sandbox, workdir, None))
    holds, waits = (one.program for one in made)
    assert holds is not None
    assert waits is not None
    before = [asyncio.create_task(called(holds, "speak", {}, seconds=6)) for _ in range(AT_ONCE)]
    for _ in before:
        await asyncio.wait_for(asked.acquire(), 5)
    late = asyncio.create_task(called(waits, "speak", {"text": "ahoy"}, seconds=20))
    await asyncio.sleep(0.5)
    allowed.clear()
    with pytest.raises(NotAllowed):
        await late
    ended = await asyncio.gather(*before, return_exceptions=True)
    assert all(isinstance(each, McpFailed) and each.timed_out for each in ended)


@pytest.mark.slow
@pytest.mark.skipif(NODE is None or NPM is None, reason="needs node and npm")
async def test_the_server_that_has_everything(
    request: pytest.FixtureRequest, sandbox: Bubblewrap, workdir: Workdir
) -> None:
    modules = await asyncio.to_thread(node_modules, request.config, SERVERS / "package.json", "mcp-servers")
    place = _output(workdir) / "node_modules"
    await asyncio.to_thread(shutil.copytree, modules, place, symlinks=True)
    index = "/output/node_modules/@modelcontextprotocol/server-everything/dist/index.js"
    one = program(sandbox, workdir, "node", index, "stdio")
    assert {"echo", "get-sum"} <= {tool.name for tool in await offered(one, seconds=30)}
    assert (await called(one, "echo", {"message": "ahoy"})).text == "Echo: ahoy"
    assert "5" in (await called(one, "get-sum", {"a": 2, "b": 3})).text
    assert (await called(one, "echo", {})).is_error


@pytest.mark.slow
async def test_a_server_of_python(request: pytest.FixtureRequest, sandbox: Bubblewrap, workdir: Workdir) -> None:
    packages = await asyncio.to_thread(
        lambda: installed(request.config, "mcp-server-time", "mcp-server-time==2026.10.19", python=PYTHON)
    )
    await asyncio.to_thread(shutil.copytree, packages, _output(workdir) / "packages")
    run = "import sys; sys.path.insert(0, '/output/packages'); import mcp_server_time; mcp_server_time.main()"
    one = program(sandbox, workdir, PYTHON, "-c", run, "--local-timezone", "UTC")
    assert {"get_current_time", "convert_time"} <= {tool.name for tool in await offered(one, seconds=30)}
    asked = {"source_timezone": "UTC", "time": "12:00", "target_timezone": "UTC"}
    assert "12:00" in (await called(one, "convert_time", asked)).text
    assert (await called(one, "convert_time", asked | {"time": "noon"})).is_error


def _output(workdir: Workdir) -> Path:
    descriptor = workdir.open_output()
    try:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)
