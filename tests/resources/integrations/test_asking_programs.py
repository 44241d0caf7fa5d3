"""MCP servers behind stdio that people have tested and asked for their tools: programs, real ones and hostile ones."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.resources.credentials import Credential, CredentialType
from models.staff.crews import Crew, NetworkMode
from resolvers.instance.running import Instance
from resolvers.kernel import instance
from resolvers.kernel.ground.pace import Pace
from resolvers.resources.integrations import programs as asking
from runtime.runs.mcp_programs import NO_SANDBOX, SandboxedPrograms
from runtime.sandbox import Limits, Unconfined, Workdir
from runtime.sandbox.groups import Groups, NoGroups
from runtime.sandbox.namespace import Bubblewrap
from runtime.sandbox.programs import Programs
from tests.pypi import installed
from tests.resources.integrations.test_servers import _nothing_yet, agent_of, bound, made  # noqa: F401
from tests.runtime.sandbox.machine import *  # noqa: F403
from tests.runtime.sandbox.test_running import running_with
from tests.sealing import sealed_before
from tests.world import World

pytestmark = pytest.mark.anyio
SOURCE = (Path(__file__).parent / "stdio_server.py").read_text()
PYTHON = "/usr/bin/python3"
VALUE = "canary/5e1f+7-of-a-program"


class Settled:
    """What the instance is for a test: the flag, and the sandbox that programs are started in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, storage: Path) -> None:
        self._patch, self.storage = monkeypatch, storage

    def settings(self, **changes: Any) -> None:
        self._patch.setattr(instance, "_settings", instance.settings.model_copy(update=changes))

    def sandbox(self, sandbox: Any) -> None:
        self.settings(storage_path=self.storage)
        self._patch.setattr(instance, "programs", SandboxedPrograms(instance.settings, sandbox))


@pytest.fixture
def settled(world: World, monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> Settled:
    made = Settled(monkeypatch, data_dir / "files")
    monkeypatch.setattr(asking, "_starts", Pace(1000, asking.TOO_OFTEN))
    made.settings(mcp_stdio=True)
    return made


@pytest.fixture
def allowed(settled: Settled, sandbox: Bubblewrap) -> Settled:
    settled.sandbox(sandbox)
    return settled


async def crew_of(world: World, **fields: Any) -> Crew:
    crew = Crew(name="Engine", slug=new_id(), workspace_id=world.workspace.id, **fields)
    await world.add(crew)
    return crew


def of(form: str, *arguments: str, **texts: Any) -> dict[str, Any]:
    argv = ["-c", SOURCE, form, *arguments]
    return {"transport": "stdio", "endpoint": None, "command": PYTHON, "args_json": json.dumps(argv)} | texts


async def local(world: World, crew: Crew | None = None, **fields: Any) -> str:
    crew = crew or await crew_of(world)
    path = f"/api/v1/crews/{crew.id}/integrations"
    return f"{path}/{(await made(world, path, **fields))['id']}"


async def answer_of(world: World, server: str) -> dict[str, Any]:
    answer = await world.rest(world.manager, "POST", f"{server}/test", {})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def refreshed(world: World, server: str) -> httpx2.Response:
    return await world.rest(world.admin, "POST", f"{server}/tools/refresh", {})


async def description(world: World, server: str) -> dict[str, Any]:
    answer = await refreshed(world, server)
    assert answer.status_code == 200, answer.text
    [tool] = (await world.rest(world.viewer, "GET", f"{server}/tools")).json()
    return json.loads(tool["description"])  # type: ignore[no-any-return]


async def test_a_server_is_tested_and_asked(world: World, allowed: Settled) -> None:
    server = await local(world, **of("good"))
    answer = await answer_of(world, server)
    assert (answer["status"], answer["message"]) == ("ok", "Server responded successfully")
    assert answer["server_info"]["serverInfo"] == {"name": "of tests", "version": "1"}
    assert answer["server_info"]["capabilities"] == {"tools": {}}
    assert await world.database.fetchval("SELECT count(*) FROM audit_logs WHERE action LIKE '%tested%'") == 0
    assert (await refreshed(world, server)).json() == {"created": 1, "updated": 0, "total": 1}
    assert (await refreshed(world, server)).json() == {"created": 0, "updated": 1, "total": 1}
    [tool] = (await world.rest(world.viewer, "GET", f"{server}/tools")).json()
    assert (tool["tool_name"], tool["description"], tool["enabled"]) == ("speak", "Speaks.", True)
    assert [len(row[0]) for row in await world.database.fetch("SELECT fingerprint FROM tool_bindings")] == [64]
    rows = await world.database.fetch("SELECT action FROM audit_logs WHERE action LIKE '%refreshed%'")
    assert [row["action"] for row in rows] == ["crew_integration.tools_refreshed"] * 2


GREEDY = """
import os, time
held = [os.memfd_create("m") for _ in range(8)]
for each in held:
    for _ in range(128):
        os.write(each, b"x" * (1 << 20))
time.sleep(60)
"""


async def test_a_server_has_no_more_memory_than_a_command(world: World, settled: Settled, programs: Programs) -> None:
    """Of any kind: in files that have no name, too."""
    limits = Limits(memory_sum=128 << 20)
    try:
        groups = Groups.find(limits)
    except NoGroups as none:
        pytest.skip(f"NO CONTROL GROUPS, NOTHING IS PROVED: {none}")
    settled.sandbox(Bubblewrap(programs, limits=limits, groups=groups))
    argv = json.dumps(["-c", GREEDY])
    server = await local(world, transport="stdio", endpoint=None, command=PYTHON, args_json=argv)
    answer = await answer_of(world, server)
    groups.close()
    assert answer["status"] == "error"
    assert "more than 128 MiB of memory in total" in answer["message"]


@pytest.mark.parametrize(
    ("how", "why"),
    [("flag", asking.NOT_ALLOWED), ("api", asking.NOT_HERE), ("sandbox", NO_SANDBOX), ("unsafe", NO_SANDBOX)],
)
async def test_where_no_program_is_started(world: World, settled: Settled, how: str, why: str) -> None:
    settled.sandbox(Unconfined(unsafe=how == "unsafe"))
    if how == "flag":
        settled.settings(mcp_stdio=False)
    if how == "api":
        settled._patch.setattr(instance, "programs", None)
    mark = settled.storage / "began"
    server = await local(
        world, transport="stdio", endpoint=None, command="/bin/touch", args_json=json.dumps([str(mark)])
    )
    assert await answer_of(world, server) == {"status": "skipped", "message": why}
    answer = await refreshed(world, server)
    assert (answer.status_code, answer.json()["error"]) == (400, f"{why}: send its tools")
    assert not mark.exists()
    assert (await world.rest(world.viewer, "GET", f"{server}/tools")).json() == []
    sent = {"tools": [{"name": "speak"}]}
    assert (await world.rest(world.admin, "POST", f"{server}/tools/refresh", sent)).json()["created"] == 1


def test_a_process_that_answers_requests_alone_starts_none() -> None:
    assert Instance().programs is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "why"),
    [
        ("garbage", "The server's answers are longer than 4 MiB"),
        ("garbage-in-lines", "The server printed more than 2000 lines"),
        ("reads-nothing", "The server did not answer within 1 seconds"),
        ("forks", "The server did not answer within 1 seconds"),
        ("large", "The server's description of itself has more than 64 KiB"),
    ],
)
async def test_a_hostile_program(
    world: World, allowed: Settled, monkeypatch: pytest.MonkeyPatch, form: str, why: str
) -> None:
    for module in ("testing", "tools"):
        monkeypatch.setattr(f"resolvers.resources.integrations.{module}.SECONDS", 1.0)
    mark = f"mark{new_id()}"
    server = await local(world, **of(form, mark))
    answer = await answer_of(world, server)
    assert (answer["status"], answer["message"].startswith(why)) == ("error", True), answer
    if form != "large":
        asked = await refreshed(world, server)
        assert (asked.status_code, why in asked.json()["error"]) == (502, True), asked.text
    assert running_with(mark) == []
    assert (await world.rest(world.viewer, "GET", f"{server}/tools")).json() == []


@pytest.mark.parametrize(
    "command", ["no-such-program", "/etc/shadow", "../../../../data/secrets.env", "{data}/secrets.env"]
)
async def test_a_command_that_is_not_there(world: World, allowed: Settled, data_dir: Path, command: str) -> None:
    (data_dir / "secrets.env").write_text("#!/bin/sh\necho leaked >&2\n")
    (data_dir / "secrets.env").chmod(0o755)
    server = await local(world, transport="stdio", endpoint=None, command=command.format(data=data_dir))
    answer = await answer_of(world, server)
    assert answer["status"] == "error"
    assert answer["message"].startswith("The server has ended: exit code 12")
    assert "leaked" not in answer["message"]


async def secret_of(world: World, name: str, **fields: Any) -> Credential:
    row = Credential(name=name, workspace_id=world.workspace.id, **({"type": CredentialType.API_KEY} | fields))
    row.value = sealed_before(VALUE, table=Credential, column="value", row_id=row.id)
    await world.add(row)
    return row


async def with_credentials(world: World, **fields: Any) -> tuple[str, Credential]:
    """A server that has one by the binding of an agent, and one that its text names."""
    crew = await crew_of(world)
    texts = {"env_json": '{"TEXT": "key=${OWN_KEY}"}'}
    server = await local(world, crew, **of("tells", **texts))
    secret = await secret_of(world, "bound", **fields)
    await secret_of(world, "own-key", **fields)
    tied = {"id": server.rpartition("/")[2], "crew_id": ""}
    agent = await agent_of(world, crew)
    await bound(world, agent, tied, credential_id=secret.id, env_var_name="BOUND")
    return server, secret


@pytest.mark.slow
async def test_a_program_has_the_credentials_of_a_run_and_nobody_is_told_them(world: World, allowed: Settled) -> None:
    server, secret = await with_credentials(world)
    answer = await answer_of(world, server)
    assert answer["status"] == "ok"
    environment = json.loads(answer["server_info"]["serverInfo"]["version"])["environment"]
    assert (environment["BOUND"], environment["TEXT"]) == ("[REDACTED:credential]", "key=[REDACTED:credential]")
    found = await description(world, server)
    assert found["environment"]["BOUND"] == "[REDACTED:credential]"
    told = "SELECT details FROM credential_events WHERE credential_id = $1 AND event_type = 'USE'"
    assert [row[0] for row in await world.database.fetch(told, secret.id)] == [{"source": "mcp_server"}]
    rows = str(await world.database.fetch("SELECT * FROM audit_logs")) + str(await world.events())
    assert "canary" not in rows + json.dumps(answer)
    await world.database.execute("UPDATE credentials SET status = 'REVOKED'")
    environment = (await description(world, server))["environment"]
    assert ("BOUND" in environment, environment["TEXT"]) == (False, "key=")


async def test_a_secret_is_used_by_leave_of_the_keeper_alone(world: World, allowed: Settled) -> None:
    allowed.settings(keeper_switch=True, keeper_model="judge")
    assert instance.settings.keeper_enabled
    server, secret = await with_credentials(world, type=CredentialType.SECRET)
    assert await answer_of(world, server) == {"status": "skipped", "message": asking.BY_LEAVE}
    assert (await refreshed(world, server)).status_code == 400
    await world.database.execute("UPDATE credentials SET type = 'API_KEY' WHERE id = $1", secret.id)
    environment = (await description(world, server))["environment"]
    assert (environment["BOUND"], environment["TEXT"]) == ("[REDACTED:credential]", "key=")


async def test_a_program_changes_no_files_and_has_a_home_that_is_empty(world: World, allowed: Settled) -> None:
    crew = await crew_of(world)
    agent = await agent_of(world, crew)
    there = Workdir.of(
        allowed.storage, workspace_id=world.workspace.id, crew_id=crew.id, agent_id=agent.id, agent_slug=agent.slug
    )
    for opened, name in ((there.open_output(), "shared"), (there.open_home(), "private")):
        Path(os.readlink(f"/proc/self/fd/{opened}"), name).write_text("x")
        os.close(opened)
    server = await local(world, crew, **of("tells"))
    found = await description(world, server)
    assert (found["home"], found["writes"], found["cwd"]) == ([], [True, False, False], "/output")
    assert found["files"] == sorted(["shared", agent.slug])
    await bound(world, agent, {"id": server.rpartition("/")[2], "crew_id": ""})
    found = await description(world, server)
    assert (found["home"], found["files"], found["cwd"]) == ([], [], f"/output/{agent.slug}")


@pytest.mark.parametrize("mode", [NetworkMode.restricted, NetworkMode.free])
async def test_a_program_reaches_what_its_crew_does(world: World, allowed: Settled, mode: NetworkMode) -> None:
    listed, other = "listed.invalid", "other.invalid"  # no such host: what is let through finds nobody
    crew = await crew_of(world, network_mode=mode, allowed_domains=[listed])
    found = await description(world, await local(world, crew, **of("tells", listed, other)))
    assert found["reached"] == ["502", "403" if mode is NetworkMode.restricted else "502"]
    told = await world.database.fetch("SELECT payload FROM journal_entries WHERE crew_id = $1", crew.id)
    refused = {row["payload"]["host"] for row in told if row["payload"]["status_code"] == 403}
    assert refused == ({other} if mode is NetworkMode.restricted else set())
    whole = await made(world, **of("tells", listed))
    answer = await answer_of(world, f"/api/v1/integrations/{whole['id']}")
    found = json.loads(answer["server_info"]["serverInfo"]["version"])
    assert (found["reached"], found["files"]) == (["403"], [])


@pytest.mark.slow
async def test_how_many_are_started_at_once(world: World, allowed: Settled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.resources.integrations.testing.SECONDS", 2.0)
    hanging = await local(world, **of("reads-nothing"))
    answers = await asyncio.gather(
        *[world.rest(world.manager, "POST", f"{hanging}/test", {}) for _ in range(asking.OF_WORKSPACE + 3)]
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [200] * asking.OF_WORKSPACE + [429] * 3
    assert {answer.json()["error"] for answer in answers if answer.status_code == 429} == {asking.BUSY}
    assert not asking._under_way, "and the next is asked again"
    monkeypatch.setitem(asking._under_way, "another workspace", asking.AT_ONCE)
    assert (await refreshed(world, hanging)).status_code == 429


async def test_how_often_they_are_started(world: World, allowed: Settled, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed.settings(ratelimit_disabled=False)
    monkeypatch.setattr(asking, "_starts", Pace(2, asking.TOO_OFTEN))
    server = await local(world, **of("dies-listing"))
    assert [(await refreshed(world, server)).status_code for _ in range(3)] == [502, 502, 429]
    answer = await world.rest(world.manager, "POST", f"{server}/test", {})
    assert (answer.status_code, answer.json()["error"]) == (429, asking.TOO_OFTEN)


@pytest.mark.slow
async def test_whoever_asked_may_be_gone(world: World, allowed: Settled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.resources.integrations.testing.SECONDS", 2.0)
    mark = f"mark{new_id()}"
    server = await local(world, **of("reads-nothing", mark))
    asked = asyncio.create_task(world.rest(world.manager, "POST", f"{server}/test", {}))
    await until(lambda: bool(running_with(mark)))  # noqa: F405
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: not running_with(mark) and not asking._under_way)  # noqa: F405


STARTING = """
import asyncio, sys
from pathlib import Path
from resolvers.instance.ports import AskedProgram
from resolvers.instance.settings import load_settings
from runtime.runs import mcp_programs
from runtime.egress import EgressGateway, Policy
async def reaches(*about):
    return EgressGateway(Policy())
async def run():
    mcp_programs.gateway_of = reaches
    started = mcp_programs.SandboxedPrograms(load_settings(data_dir=Path(sys.argv[1])))
    asked = AskedProgram("ws1", "s1", None, "", ("/bin/sh", "-c", sys.argv[2]), {})
    async with started.start(asked) as line:
        await line.read()
        print("begun", flush=True)
        await line.read()
asyncio.run(run())
"""


@pytest.mark.slow
async def test_nothing_is_left_of_a_service_that_is_killed(programs: Any, tmp_path: Path) -> None:
    mark = f"mark{new_id()}"
    script = f"echo {mark}; setsid sh -c 'while :; do sleep 1; done # {mark}' & sleep 600"
    command = [sys.executable, "-c", STARTING, str(tmp_path), script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    try:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "begun\n"
        assert running_with(mark)
    finally:
        process.kill()
        process.communicate()
    await until(lambda: not running_with(mark))  # noqa: F405


async def test_one_without_a_command_is_not_started(world: World, allowed: Settled) -> None:
    server = await local(world, **of("good"))
    await world.rest(world.owner, "PATCH", server, {"command": ""})
    assert await answer_of(world, server) == {"status": "error", "message": asking.NO_COMMAND}
    assert (await refreshed(world, server)).status_code == 400


async def test_a_server_of_which_no_agent_can_make_use_has_no_credential(world: World, allowed: Settled) -> None:
    server, _ = await with_credentials(world)
    await world.rest(world.owner, "PATCH", server, {"enabled": False})
    assert "BOUND" not in (await description(world, server))["environment"]


@pytest.mark.slow
async def test_a_server_of_python(world: World, request: pytest.FixtureRequest, allowed: Settled) -> None:
    requirement = "mcp-server-time==2026.10.19"
    packages = await asyncio.to_thread(lambda: installed(request.config, "mcp-server-time", requirement, python=PYTHON))
    crew = await crew_of(world)
    shared = allowed.storage / "workspaces" / world.workspace.id / "crews" / crew.id / "output"
    await asyncio.to_thread(shutil.copytree, packages, shared / "packages")
    run = "import sys; sys.path.insert(0, '/output/packages'); import mcp_server_time; mcp_server_time.main()"
    argv = ["-c", run, "--local-timezone", "UTC"]
    server = await local(world, crew, **of("good", args_json=json.dumps(argv)))
    answer = await answer_of(world, server)
    assert (answer["status"], answer["server_info"]["serverInfo"]["name"]) == ("ok", "mcp-time")
    assert (await refreshed(world, server)).json() == {"created": 2, "updated": 0, "total": 2}
