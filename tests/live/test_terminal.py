"""/ws/terminal over real sockets: a shell in the sandbox, for as long as its user may have one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.running import instance
from rest_compat.ws import terminals
from runtime.runs.terminals import SandboxedTerminals
from runtime.sandbox import Unconfined
from tests.live.sockets import ticket
from tests.world import Person, World

pytestmark = pytest.mark.anyio
CLIENT = {"X-Crewship-Client": "test"}


class Screen:
    """What was shown, and what the server said beside it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.shown, self.said = socket, b"", list[dict[str, Any]]()

    async def listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in self.socket:
                if isinstance(message, bytes):
                    self.shown += message
                else:
                    self.said.append(orjson.loads(message))

    async def say(self, **frame: Any) -> None:
        await self.socket.send(orjson.dumps(frame).decode())

    async def type(self, text: str, *, until: str) -> None:
        await self.socket.send(text.encode())
        async with asyncio.timeout(20):
            while until.encode() not in self.shown:
                await asyncio.sleep(0.01)

    async def closed(self, within: float = 20) -> int | None:
        async with asyncio.timeout(within):
            await self.socket.wait_closed()
        return self.socket.close_code


@contextlib.asynccontextmanager
async def screen(world: World, person: Person, first: Any = None, **place: Any) -> AsyncIterator[Screen]:
    url = world.url.replace("http", "ws") + "/ws/terminal"
    async with connect(url, additional_headers=CLIENT) as socket:
        made = Screen(socket)
        listening = asyncio.create_task(made.listen())
        try:
            await made.say(**(first or {"type": "auth", "token": await ticket(world, person)}))
            if place:
                await made.say(**place)
            yield made
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@pytest.fixture
async def agent(world: World, monkeypatch: pytest.MonkeyPatch) -> Agent:
    found = SandboxedTerminals(world.settings)
    if not await found.available():
        pytest.skip("no sandbox on this machine")
    monkeypatch.setattr(instance, "terminals", found)
    number = await world.database.fetchval("SELECT count(*) FROM agents")
    crew = Crew(workspace_id=world.workspace.id, name="Engine", slug=f"terminal-{number}")
    await world.add(crew)
    made = Agent(workspace_id=world.workspace.id, name="Ada", slug=f"ada-{number}", crew_id=crew.id)
    await world.add(made)
    return made


async def logged(world: World, agent: Agent) -> list[dict[str, Any]]:
    rows = await world.database.fetch(
        "SELECT action, user_id, data AS metadata FROM audit_logs WHERE entity_id = $1 ORDER BY seq", agent.crew_id
    )
    read = [row["metadata"] if isinstance(row["metadata"], dict) else orjson.loads(row["metadata"]) for row in rows]
    return [dict(row) | {"metadata": data} for row, data in zip(rows, read, strict=True)]


async def test_a_shell_in_the_folder_of_an_agent(world: World, agent: Agent) -> None:
    place = {"crew_id": agent.crew_id, "crew_slug": "engine", "agent_slug": agent.slug, "rows": 30, "cols": 90}
    async with screen(world, world.manager, **place) as shown:
        await shown.type("pwd; stty size; echo $((6*7))-\n", until="42-")
        assert f"/output/{agent.slug}".encode() in shown.shown
        assert b"30 90" in shown.shown
        await shown.say(type="resize", rows=40, cols=100)
        await shown.say(type="resize", rows=0, cols=-5)
        await shown.say(type="resize", rows="x")
        await shown.socket.send("[]")
        await shown.type("stty size; echo hi >made; echo $((7*8))-\n", until="56-")
        assert b"40 100" in shown.shown
        looped = """sh -c 'trap "echo got-$((4+4)); exit" INT; echo up-$((1+1)); while :; do sleep 0.1; done'"""
        await shown.type(f"{looped}\n", until="up-2")
        await shown.type("\x03", until="got-8")
        await shown.type("exit\n", until="exit")
        assert await shown.closed() == 1000
    base = world.settings.storage_path / "workspaces" / world.workspace.id / "crews" / str(agent.crew_id)
    assert (base / "output" / agent.slug / "made").read_text() == "hi\n"
    opened, closed = await logged(world, agent)
    assert (opened["action"], opened["user_id"]) == ("terminal.opened", world.manager.user_id)
    assert opened["metadata"]["agent_slug"] == agent.slug
    assert closed["action"] == "terminal.closed"
    assert closed["metadata"]["user_id"] == world.manager.user_id
    assert closed["metadata"]["reason"] == "its program ended"


async def test_who_may_not_change_files_does_not_here(world: World, agent: Agent) -> None:
    async with screen(world, world.viewer, crew_id=agent.crew_id) as shown:
        await shown.type(f"pwd; touch x /output/{agent.slug}/y; touch ~/z && echo $((6*7))-\n", until="42-")
        assert shown.shown.count(b"Read-only") >= 1
        assert [each["type"] for each in shown.said] == ["info"]
    assert (await logged(world, agent))[0]["metadata"]["read_only"] is True


async def test_nothing_is_left_where_its_user_leaves(world: World, agent: Agent) -> None:
    async with screen(world, world.manager, crew_id=agent.crew_id) as shown:
        await shown.type("sleep 1000 & sleep 1000 & echo $((6*7))-\n", until="42-")
        assert terminals._open.total() == 1
    async with asyncio.timeout(20):
        while terminals._open.total():
            await asyncio.sleep(0.01)
    async with asyncio.timeout(20):
        while len(await logged(world, agent)) < 2:
            await asyncio.sleep(0.01)
    assert (await logged(world, agent))[1]["metadata"]["reason"] == "its user left"


@pytest.mark.slow
async def test_a_removed_member_has_a_terminal_no_longer(world: World, agent: Agent) -> None:
    async with screen(world, world.member, crew_id=agent.crew_id) as shown:
        await shown.type("echo $((6*7))-\n", until="42-")
        await world.database.execute("DELETE FROM memberships WHERE id = $1", world.member.membership_id)
        assert await shown.closed() == 1008
        assert shown.said[-1] == {"type": "error", "message": terminals.NO_LONGER}
    async with asyncio.timeout(20):
        while len(await logged(world, agent)) < 2:
            await asyncio.sleep(0.01)
    assert (await logged(world, agent))[1]["metadata"]["reason"] == "the permission was withdrawn"


@pytest.mark.slow
async def test_a_role_that_changed_ends_it(world: World, agent: Agent) -> None:
    async with screen(world, world.admin, crew_id=agent.crew_id) as shown:
        await shown.type("echo $((6*7))-\n", until="42-")
        change = "UPDATE memberships SET role = 'VIEWER' WHERE id = $1"
        await world.database.execute(change, world.admin.membership_id)
        assert await shown.closed() == 1008


@pytest.mark.slow
async def test_nobody_types_for_long(world: World, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminals, "IDLE", 0.5)
    async with screen(world, world.manager, crew_id=agent.crew_id) as shown:
        assert await shown.closed() == 4408
        assert shown.said[-1]["type"] == "info"


async def test_a_terminal_that_nobody_types_in_is_not_silent(
    world: World, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals, "BEAT", 0.05)
    async with screen(world, world.manager, crew_id=agent.crew_id) as shown:
        sent: list[Frame] = []
        protocol, send = shown.socket.protocol, shown.socket.protocol.send_frame
        monkeypatch.setattr(protocol, "send_frame", lambda frame: (sent.append(frame), send(frame)))
        await shown.type("echo $((6*7))-\n", until="42-")
        async with asyncio.timeout(20):
            while [frame.opcode for frame in sent].count(Opcode.PONG) < 3:
                await asyncio.sleep(0.01)
        await shown.type("echo $((7*8))-\n", until="56-")
        assert [each for each in shown.said if each["type"] != "info"] == []


@pytest.mark.parametrize(("name", "most"), [("MOST", 0), ("MOST_OF_USER", 0)])
async def test_too_many_are_told_so(
    world: World, agent: Agent, name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminals, name, most)
    async with screen(world, world.manager, crew_id=agent.crew_id) as shown:
        assert await shown.closed() == 4429
        assert shown.said == [{"type": "error", "message": "Too many terminals are open"}]


@pytest.mark.parametrize(
    ("first", "place"),
    [
        ({"type": "auth", "token": "nonsense"}, {}), ({"type": "auth"}, {}), ({"type": "ping"}, {}),
        (None, {"mode": "other", "crew_id": "crew"}), (None, {"mode": "shell"}), (None, {"crew_id": "cunknown"}),
        (None, {"crew_id": "crew", "mode": "attach"}), (None, {"crew_id": "crew", "agent_slug": "../.."}),
        (None, {"crew_id": "crew", "rows": 0}), (None, {"crew_id": "crew", "cols": 100_000}),
    ],
)  # fmt: skip
async def test_what_opens_none(world: World, agent: Agent, first: Any, place: dict[str, Any]) -> None:
    asked = place | ({"crew_id": agent.crew_id} if place.get("crew_id") == "crew" else {})
    async with screen(world, world.manager, first, **asked) as shown:
        await shown.closed()
        assert [each["type"] for each in shown.said] == ["error"]
        assert shown.shown == b""


async def test_of_another_workspace(world: World, agent: Agent) -> None:
    async with screen(world, world.outsider, crew_id=agent.crew_id) as shown:
        await shown.closed()
        assert [each["type"] for each in shown.said] == ["error"]


async def test_which_pages_open_one(world: World, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    url = world.url.replace("http", "ws") + "/ws/terminal"
    for headers in ({}, {"Origin": "https://evil.example.com"}, {"Origin": "null"} | CLIENT):
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, additional_headers=headers)
        assert refused.value.response.status_code == 403
    async with connect(url, additional_headers={"Origin": world.url}):
        pass
    monkeypatch.setattr(instance, "terminals", SandboxedTerminals(world.settings, Unconfined()))
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, additional_headers=CLIENT)
    assert (refused.value.response.status_code, refused.value.response.body) == (503, b"terminal not available")
