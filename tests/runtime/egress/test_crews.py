"""The way out of a run: its crew's rules as they are, what its agent reads of a refusal, and what the journal keeps."""

import secrets
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from models.staff.agents import CliAdapter, ToolProfile
from models.staff.chats import Chat
from models.staff.crews import Crew, NetworkMode
from models.staff.runs import Run
from resolvers.instance.ports import CommandOfAgent
from resolvers.kernel import instance
from resolvers.rules.redaction import Redactor
from runtime.containers.choice import Sandboxes
from runtime.egress import ConnectionRefused, EgressGateway, Endpoint
from runtime.oversight import keeper_commands as keeper
from runtime.oversight.keeper_commands import SandboxedCommands
from runtime.runs import outfit
from runtime.runs.job import Job, Worker
from runtime.runs.network import gateway_for, gateway_of
from runtime.sandbox import Unconfined, Workdir
from runtime.sandbox.namespace import Bubblewrap
from runtime.tools import tools_for
from tests.kernel.servers import answering, response
from tests.runtime.egress.outside import Outside
from tests.runtime.estate import Estate

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]
SECRET = "sesame-open-4711"


async def job_of(estate: Estate, *, restricted: bool = False, **network: object) -> Job:
    crew = Crew(workspace_id=estate.workspace.id, name="Crew", slug=f"crew-{secrets.token_hex(6)}", **network)
    await estate.add(crew)
    agent = await estate.agent(crew_id=crew.id)
    worker = Worker(
        agent.id, "bob", agent.name, crew.id, crew.slug, "", CliAdapter.CLAUDE_CODE, None, None, ToolProfile.CODING
    )
    return Job("run1", estate.workspace.id, None, worker, "", restricted=restricted)


def allows(gateway: object, authority: str) -> bool:
    try:
        gateway.judge(Endpoint.of(authority), tunnel=True)  # type: ignore[attr-defined]
    except ConnectionRefused:
        return False
    return True


async def test_the_rules_are_those_of_the_crew_as_it_is(estate: Estate) -> None:
    job = await job_of(estate, allowed_domains=["one.example.com"])
    gateway = await gateway_for(job, Redactor(), hosts=["own.example.com"])
    reached = ("one.example.com:443", "own.example.com:443")
    assert all(allows(gateway, each) for each in (*reached, "api.anthropic.com:443"))
    others = ("two.example.com:443", "one.example.com:8443", "127.0.0.1:11435", "models.example.com:443", "1.1.1.1:443")
    assert not any(allows(gateway, each) for each in others)

    change = "UPDATE crews SET allowed_domains = $2, network_mode = $3 WHERE id = $1"
    await estate.owner.execute(change, job.agent.crew_id, ["two.example.com"], NetworkMode.restricted)
    await gateway.renew()
    assert allows(gateway, "two.example.com:443")
    assert not allows(gateway, "one.example.com:443")
    await estate.owner.execute(change, job.agent.crew_id, [], NetworkMode.free)
    await gateway.renew()
    assert allows(gateway, "1.1.1.1:22")
    await estate.owner.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", job.agent.crew_id)
    await gateway.renew()
    assert not allows(gateway, "1.1.1.1:22")


DECLARED = {
    "anthropic_base_url": "https://claude.example.com:8443/v1", "openai_base_url": "https://gpt.example.com",
    "gemini_base_url": "https://generativelanguage.googleapis.com", "ollama_base_url": "http://127.0.0.1:11434",
    "keeper_address": "http://judge.example.com:11434",
}  # fmt: skip
OF_THE_SERVICE = ("claude.example.com:8443", "gpt.example.com:443", "127.0.0.1:11434", "judge.example.com:11434")


@pytest.mark.parametrize("mode", NetworkMode)
async def test_servers_of_models_are_reached_by_no_process(
    estate: Estate, mode: NetworkMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the crew lists them: whatever else they do than answer is the operator's business."""
    monkeypatch.setattr(instance, "_settings", estate.settings.model_copy(update=DECLARED))
    hosts = [each.partition(":")[0] for each in OF_THE_SERVICE]
    job = await job_of(estate, network_mode=mode, allowed_domains=[*hosts, "other.example.com"])
    for gateway in (
        await gateway_for(job, Redactor()),
        await gateway_of(job.workspace_id, job.agent.crew_id, {}, Redactor()),
        await keeper._network(of_keeper(job, "true")),
    ):
        assert not any(allows(gateway, each) for each in OF_THE_SERVICE)
        assert allows(gateway, "other.example.com:443")
        assert allows(gateway, "generativelanguage.googleapis.com:443")


@pytest.mark.parametrize("mode", NetworkMode)
async def test_a_command_deletes_no_model(
    estate: Estate, sandbox: Bubblewrap, workdir: Workdir, python: str, mode: NetworkMode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Neither where the server is on this machine, nor by the proxy."""
    async with answering(response(b"deleted")) as ollama:
        settings = estate.settings.model_copy(update={"ollama_base_url": f"http://127.0.0.1:{ollama.port}"})
        monkeypatch.setattr(instance, "_settings", settings)
        network = await gateway_for(await job_of(estate, network_mode=mode), Redactor())
        asks = (
            "import sys, http.client as h\n"
            "for port in (int(sys.argv[1]), 3128):\n"
            "    c = h.HTTPConnection('127.0.0.1', port, timeout=9)\n"
            "    try:\n"
            "        c.request('DELETE', f'http://127.0.0.1:{sys.argv[1]}/api/delete')\n"
            "        print(c.getresponse().status)\n"
            "    except OSError as error: print(error)\n"
        )
        ended = await sandbox.run([python, "-c", asks, str(ollama.port)], workdir=workdir, timeout=30, network=network)
    assert (ended.stdout.splitlines(), ollama.connections) == (["[Errno 111] Connection refused", "403"], 0), ended


async def test_neither_our_own_loop_nor_a_coding_agent_has_a_way_beside_the_gateway_that_counts(
    estate: Estate, sandbox: Bubblewrap, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Any]()

    async def remembered(job: Job, redactor: Redactor, **also: Any) -> EgressGateway:
        asked.append(await gateway_for(job, redactor, **also))
        return asked[-1]  # type: ignore[no-any-return]

    monkeypatch.setattr(outfit, "gateway_for", remembered)
    settings = estate.settings.model_copy(
        update={
            "run_adapter": "auto", "coding_agents": Path("/nowhere"), "anthropic_api_key": SecretStr("sk-x"),
            "ollama_base_url": "http://127.0.0.1:11434", "openai_base_url": "no URL",
        }
    )  # fmt: skip
    monkeypatch.setattr(instance, "_settings", settings)
    fitting = outfit.InstanceOutfit(settings)
    fitting._sandboxes = Sandboxes(settings, sandbox)
    await fitting.fit(await job_of(estate))
    of_coding_agent, of_loop = asked
    assert [allows(each, "127.0.0.1:11434") for each in (of_coding_agent, of_loop)] == [False, False]
    assert [list(each.listens) for each in (of_coding_agent, of_loop)] == [[("127.0.0.1", 3128)]] * 2


async def test_a_run_by_a_webhook_is_restricted(estate: Estate) -> None:
    gateway = await gateway_for(await job_of(estate, restricted=True, network_mode=NetworkMode.free), Redactor())
    assert not allows(gateway, "1.1.1.1:22")
    assert allows(gateway, "api.openai.com:443")


async def test_a_refusal_is_told_to_the_agent_and_the_journal(
    estate: Estate, sandbox: Bubblewrap, workdir: Workdir, python: str
) -> None:
    job = await job_of(estate)
    network = await gateway_for(job, Redactor((SECRET,)))
    command = tools_for(job, sandbox, workdir, network=network)["run_command"]
    assert "HTTPS_PROXY" in command.description
    ask = (
        f"{python} -c 'import urllib.request as u; u.urlopen(\"https://{SECRET}.example.net/x?y\", timeout=9)'"
        f" 2>&1 | tail -1"
    )
    said = await command.run({"command": ask})
    assert f"[network: {SECRET}.example.net:443 was refused: the host is not on the crew's allow-list]" in (
        said.content
    )
    rows = await estate.owner.fetch(
        "SELECT summary, actor_type, agent_id, crew_id, payload, refs FROM journal_entries"
        " WHERE entry_type = $1 AND agent_id = $2",
        "network.egress",
        job.agent.id,
    )
    [row] = [dict(row) for row in rows]
    assert (row["actor_type"], row["agent_id"], row["crew_id"]) == ("sidecar", job.agent.id, job.agent.crew_id)
    assert row["payload"]["method"] == "CONNECT"
    assert row["payload"]["status_code"] == 403
    assert row["refs"] == {"run_id": "run1"}
    assert SECRET not in str(row)
    assert ".example.net" in row["summary"]


async def test_commands_without_a_boundary_have_no_proxy(estate: Estate, tmp_path: Path) -> None:
    """What they reach cannot be held: they are told of no proxy that would say otherwise."""
    job = await job_of(estate)
    place = Workdir.of(tmp_path, workspace_id="w", agent_id="a", agent_slug="bob")
    network = await gateway_for(job, Redactor())
    ended = await Unconfined(unsafe=True).run(["env"], workdir=place, timeout=10, network=network)
    assert "PROXY" not in ended.stdout


ASK = (
    "import urllib.request as u; print(u.urlopen('http://allowed.example.com/').status);"
    " u.urlopen('http://other.example.net/')"
)


def of_keeper(job: Job, command: str, *, reaches_out: bool = True) -> CommandOfAgent:
    return CommandOfAgent(
        job.workspace_id, job.agent.id, "bob", job.agent.crew_id, command, {"KEY": SECRET}, 20, reaches_out=reaches_out
    )


async def test_a_command_that_the_keeper_allows_has_the_same_way_out(
    estate: Estate, outside: Outside, sandbox: Bubblewrap, python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gateway(*_: object, **__: object) -> EgressGateway:
        return outside.gateway()

    monkeypatch.setattr(keeper, "gateway_of", gateway)
    commands, job = SandboxedCommands(estate.settings, sandbox), await job_of(estate)
    ran = await commands.run(of_keeper(job, f'{python} -c "{ASK}"'))
    assert "[network: other.example.net:80 was refused: the host is not on the crew's allow-list]" in ran.output
    assert "\n200\n" in ran.output
    assert "HTTP Error 403" in ran.output
    outside.looked_up.clear()
    without = await commands.run(of_keeper(job, f'{python} -c "{ASK}"', reaches_out=False))
    assert (without.exit_code, "200" in without.output, outside.looked_up) == (1, False, [])


async def test_the_keepers_command_keeps_its_secret_out_of_the_journal(
    estate: Estate, sandbox: Bubblewrap, python: str
) -> None:
    job = await job_of(estate)
    ask = f"{python} -c \"import urllib.request as u; u.urlopen('https://$KEY.example.net/', timeout=9)\""
    ran = await SandboxedCommands(estate.settings, sandbox).run(of_keeper(job, ask))
    assert ran.exit_code == 1
    rows = await estate.owner.fetch("SELECT * FROM journal_entries WHERE entry_type = 'network.egress'")
    [row] = [dict(row) for row in rows if row["agent_id"] == job.agent.id]
    assert (row["crew_id"], ".example.net" in row["summary"], SECRET in str(row)) == (job.agent.crew_id, True, False)


async def test_a_command_for_somebody_outside_is_restricted(estate: Estate) -> None:
    job = await job_of(estate, network_mode=NetworkMode.free)
    assert allows(await keeper._network(of_keeper(job, "true")), "1.1.1.1:22")
    chat = Chat(agent_id=job.agent.id, workspace_id=job.workspace_id)
    run = Run(agent_id=job.agent.id, workspace_id=job.workspace_id, chat_id=chat.id, restricted=True)
    await estate.add(chat, run)
    assert not allows(await keeper._network(of_keeper(job, "true")), "1.1.1.1:22")
    assert allows(await keeper._network(of_keeper(job, "true")), "api.openai.com:443")
    await estate.owner.execute("UPDATE runs SET status = 'COMPLETED', finished_at = now() WHERE id = $1", run.id)
    assert allows(await keeper._network(of_keeper(job, "true")), "1.1.1.1:22")


async def test_a_terminal_has_the_same_way_out(
    outside: Outside, sandbox: Bubblewrap, workdir: Workdir, python: str
) -> None:
    said = b""
    async with sandbox.terminal(
        [python, "-c", ASK], workdir=workdir, size=(24, 80), network=outside.gateway()
    ) as terminal:
        while piece := await terminal.read():
            said += piece
    assert b"200" in said
    assert b"HTTP Error 403" in said
    assert outside.refused == [("other.example.net", "the host is not on the crew's allow-list")]
