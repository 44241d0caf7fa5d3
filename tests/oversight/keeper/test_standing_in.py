"""A secret whose hosts are known never enters the sandbox of a command: real programs, in a real one, over TLS."""

import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.staff.crews import NetworkMode
from resolvers.kernel import instance
from resolvers.resources.credentials import hosts
from runtime.egress import EgressGateway, Policy
from runtime.egress import proxy as proxies
from runtime.oversight import keeper_commands as keeper
from runtime.oversight.keeper_commands import SandboxedCommands
from runtime.sandbox.namespace import Bubblewrap
from tests.kernel.servers import answering, certificate
from tests.oversight.keeper.conftest import SECRET, ScriptedModel, Ship, verdict
from tests.oversight.keeper.test_prepared_files import Prepared
from tests.runtime.egress.outside import LISTED, OTHER, Outside
from tests.runtime.egress.test_stand_ins import HEARD
from tests.runtime.egress.test_stand_ins import heard as hears
from tests.runtime.sandbox.machine import data_dir, host_allows, programs, python, sandbox, why_not  # noqa: F401
from tests.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outside]:
    authority, tls = certificate(tmp_path, LISTED)
    trusting = ssl.create_default_context(cafile=str(authority))
    monkeypatch.setattr(proxies, "client", lambda: trusting)
    async with answering(hears, tls) as secure, answering(hears) as plain:
        HEARD.clear()
        made = Outside(secure, plain)

        async def gateway(*_: Any, stand_ins: Any = None, **__: Any) -> EgressGateway:
            return made.gateway(stand_ins=stand_ins)

        monkeypatch.setattr(keeper, "gateway_of", gateway)
        yield made


@pytest.fixture
async def here(
    ship: Ship,
    world: World,
    model: ScriptedModel,
    sandbox: Bubblewrap,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Prepared]:
    """The agent holds a credential for the host that answers."""
    monkeypatch.setattr(hosts, "HOSTS", {"HARBOUR": frozenset({LISTED})})
    await world.database.execute("UPDATE credentials SET provider = 'HARBOUR' WHERE name = 'mid'")
    model.answer = verdict("ALLOW")
    instance.commands = SandboxedCommands(world.settings, sandbox)
    yield Prepared(ship, world, sandbox)
    instance.commands = None


async def test_a_program_uses_it_and_does_not_see_it(here: Prepared, outside: Outside) -> None:
    said = await here.allowed(f'curl -sS -H "Authorization: token $K_MID" https://{LISTED}/user -o OUT/answer')
    assert said.get("exit_code", 0) == 0, said
    [heard] = HEARD
    assert f"authorization: token {SECRET}".encode() in heard
    shown = (await here.allowed("printenv K_MID"))["output"].strip()
    assert (len(shown), shown == SECRET, shown[:1].islower()) == (len(SECRET), False, True)
    assert (await here.allowed("printenv K_MID"))["output"].strip() != shown
    assert "authorization: token " in (here.workdir.path / "answer").read_text()  # the host says back what it hears
    assert SECRET not in here.kept()


async def test_a_thief_gets_a_stand_in_that_opens_nothing(here: Prepared, outside: Outside) -> None:
    """The command works where its agent does, by what the agent has prepared, and there is nothing to be seen."""
    prepares = "git init -q . && git config core.fsmonitor OUT/thief && touch a && git add a"
    steals = "printenv K_MID >OUT/stolen; cat /proc/*/environ >>OUT/stolen"
    thief = f"printf '#!/bin/sh\\n{steals}\\n' >OUT/thief; chmod +x OUT/thief"
    await here.command(f"cd OUT\n{thief}\n{prepares}".replace("OUT", here.at))
    await here.allowed("git status --short")
    stolen = (here.workdir.path / "stolen").read_text(errors="replace")
    assert stolen.strip()
    assert SECRET not in stolen
    shown = stolen.splitlines()[0]
    before = len(outside.dialled)
    await here.allowed(f"curl -sS -H 'Authorization: token {shown}' https://{LISTED}/user")
    assert len(outside.dialled) == before + 1
    assert shown.encode() in HEARD[-1]  # that of another command opens nothing
    assert SECRET.encode() not in HEARD[-1]


async def test_it_goes_to_its_hosts_alone(here: Prepared, outside: Outside) -> None:
    await here.allowed(f'curl -sS -H "Authorization: token $K_MID" http://{LISTED}/user')
    assert b"uthorization: token " in HEARD[-1]
    assert SECRET.encode() not in HEARD[-1]  # over plain HTTP nothing is put in
    refused = await here.allowed(f'curl -sS -H "Authorization: token $K_MID" https://{OTHER}/user')
    assert f"{OTHER}:443 was refused" in refused["output"]


async def test_git_uses_it(here: Prepared, outside: Outside) -> None:
    """By what stands in an address, which it sends as a name and a password."""
    heard = list[bytes]()

    async def refuses(reader: Any, writer: Any) -> None:
        while True:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            asks = b"Www-Authenticate: Basic realm=x\r\n" if b"uthorization:" not in heard[-1] else b""
            status = b"401 Unauthorized" if asks else b"403 Forbidden"
            writer.write(b"HTTP/1.1 %s\r\n%sContent-Length: 0\r\n\r\n" % (status, asks))
            await writer.drain()

    _, tls = certificate(here.workdir.storage, LISTED)
    trusting = ssl.create_default_context(cafile=str(here.workdir.storage / f"{LISTED}.pem"))
    async with answering(refuses, tls) as server:
        outside.tls = server
        proxies.client = lambda: trusting  # type: ignore[assignment]
        said = await here.allowed(f'git ls-remote "https://x:$K_MID@{LISTED}/team/repo.git"')
    assert "403" in said["output"], said
    coded = base64.b64encode(f"x:{SECRET}".encode())
    assert any(coded in head for head in heard), heard


@pytest.fixture
async def named(here: Prepared, ship: Ship, world: World, outside: Outside, monkeypatch: pytest.MonkeyPatch) -> str:
    """The credential names the host that answers itself, in place of that of its provider; the crew reaches both."""
    monkeypatch.setattr(hosts, "HOSTS", {"HARBOUR": frozenset({OTHER})})

    async def gateway(*_: Any, stand_ins: Any = None, **__: Any) -> EgressGateway:
        return outside.gateway(Policy(NetworkMode.restricted, frozenset({LISTED, OTHER})), stand_ins=stand_ins)

    monkeypatch.setattr(keeper, "gateway_of", gateway)
    path = f"/api/v1/credentials/{ship.credentials['mid'].id}"
    answer = await world.rest(world.owner, "PATCH", path, {"hosts": [LISTED.upper()], "value": SECRET})
    assert answer.json()["hosts"] == [LISTED]
    return path


async def test_a_credential_names_its_hosts_itself(here: Prepared, outside: Outside, named: str) -> None:
    said = await here.allowed(f'curl -sS -H "Authorization: token $K_MID" https://{LISTED}/user -o OUT/answer')
    assert said.get("exit_code", 0) == 0, said
    [heard] = HEARD
    assert f"authorization: token {SECRET}".encode() in heard
    shown = (await here.allowed("printenv K_MID"))["output"].strip()
    assert (len(shown), shown == SECRET, shown[:1].islower()) == (len(SECRET), False, True)
    assert "authorization: token " in (here.workdir.path / "answer").read_text()
    assert SECRET not in here.kept()


async def test_any_other_host_gets_the_stand_in(here: Prepared, outside: Outside, named: str) -> None:
    """One that the provider has, too. The program trusts whoever answers; its bytes are carried unread."""
    await here.allowed(f'curl -sSk -H "Authorization: token $K_MID" https://{OTHER}/user')
    await here.allowed(f'curl -sS -H "Authorization: token $K_MID" http://{LISTED}/user')
    tunnelled, plain = HEARD
    for heard in (tunnelled, plain):
        assert b"uthorization: token " in heard
        assert SECRET.encode() not in heard
    assert [port for _, port in outside.dialled] == [443, 80]


async def test_hosts_that_were_taken_back_get_nothing(
    here: Prepared, world: World, outside: Outside, named: str
) -> None:
    """Nor does anybody point the value elsewhere without it."""
    for sent in ([OTHER], []):
        refused = await world.rest(world.owner, "PATCH", named, {"hosts": sent})
        assert (refused.status_code, refused.json()["fields"].keys()) == (400, {"value"})
    moved = await world.rest(world.owner, "PATCH", named, {"hosts": [OTHER], "value": "0ther-Value-Of-The-Harbour-43"})
    assert moved.json()["hosts"] == [OTHER]
    await here.allowed(f'curl -sSk -H "Authorization: token $K_MID" https://{LISTED}/user')
    assert b"uthorization: token " in HEARD[-1]
    assert not any(value in HEARD[-1] for value in (SECRET.encode(), b"0ther-Value-Of-The-Harbour-43"))


@pytest.mark.parametrize("provider", ["NONE", "harbour"])
async def test_where_no_hosts_are_known_nothing_of_the_agent_is_there(
    here: Prepared, world: World, outside: Outside, provider: str
) -> None:
    await world.database.execute("UPDATE credentials SET provider = $1 WHERE name = 'mid'", provider)
    assert "REDACTED" in (await here.allowed("printenv K_MID"))["output"]
    assert (await here.allowed("pwd"))["output"] == "/scratch\n"


async def test_a_value_that_no_header_holds_is_given_in_an_empty_folder(
    here: Prepared, world: World, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await here.allowed("pwd"))["output"] == f"{here.at}\n"
    with monkeypatch.context() as patched:
        patched.setattr("runtime.egress.stand_ins.FEWEST", len(SECRET) + 1)
        assert (await here.allowed("pwd"))["output"] == "/scratch\n"
    monkeypatch.setattr("runtime.runs.standing_in._trusted", lambda: None)
    assert (await here.allowed("pwd"))["output"] == "/scratch\n"
