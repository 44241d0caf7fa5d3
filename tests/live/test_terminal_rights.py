"""A terminal outlives the right to it by half a minute at most, and so do its processes, however the right ends."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
import psutil
import pytest
from websockets.asyncio.client import connect

from models.people.workspaces import Role, Workspace
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.instance.running import instance
from runtime.runs.terminals import SandboxedTerminals
from tests.live.sockets import ticket
from tests.live.test_terminal import CLIENT, Screen
from tests.people.auth.browsers import PASSWORD, Browser
from tests.world import Person, World

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
PROMISED = 30.0  # seconds


@dataclass
class Place:
    """A workspace with an owner, and a person with a terminal in its crew: signed in in a browser, or by a token."""

    world: World
    workspace: Workspace
    owner: Person
    crew: Crew
    person: Person
    browser: Browser

    async def asked(self, method: str, path: str, body: object = None, by: Person | None = None) -> None:
        answer = await self.world.rest(by or self.owner, method, path, body, workspace=self.workspace.id)
        assert answer.is_success, answer.text

    async def changed(self, statement: str, *values: object) -> None:
        assert (await self.world.database.execute(statement, *values)).split()[-1] != "0"


@pytest.fixture
async def place(world: World, monkeypatch: pytest.MonkeyPatch) -> Place:
    found = SandboxedTerminals(world.settings)
    if not await found.available():
        pytest.skip("no sandbox on this machine")
    monkeypatch.setattr(instance, "terminals", found)
    name = secrets.token_hex(4)
    workspace = Workspace(name=name, slug=name)
    await world.add(workspace)
    owner = await world.person(f"owner-{name}", Role.OWNER, workspace)
    crew = Crew(workspace_id=workspace.id, name="Engine", slug="engine")
    await world.add(crew)
    await world.add(Agent(workspace_id=workspace.id, name="Ada", slug="ada", crew_id=crew.id))
    person = await world.person(f"person-{name}", Role.MANAGER, workspace)
    hashed = await instance.passwords.hash(PASSWORD)
    await world.database.execute("UPDATE users SET password_hash = $2 WHERE id = $1", person.user_id, hashed)
    browser = Browser(world.url)
    assert (await browser.log_in(person.email)).json()["ok"] is True
    return Place(world, workspace, owner, crew, person, browser)


def running(mark: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or [])]


@contextlib.asynccontextmanager
async def terminal(place: Place, by: Person | Browser, mark: str) -> AsyncIterator[Screen]:
    """One in which a program runs, and another one that has left its session."""
    url = place.world.url.replace("http", "ws") + "/ws/terminal"
    async with connect(url, additional_headers=CLIENT) as socket:
        shown = Screen(socket)
        listening = asyncio.create_task(shown.listen())
        try:
            await shown.say(type="auth", token=await ticket(place.world, by))
            await shown.say(mode="shell", crew_id=place.crew.id, agent_slug="ada")
            await shown.type(f"(setsid sleep {mark} &); echo $((6*7))-; sleep {mark}\n", until="42-")
            async with asyncio.timeout(20):
                while len(running(mark)) < 2:
                    await asyncio.sleep(0.01)
            yield shown
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def gone(mark: str) -> None:
    async with asyncio.timeout(PROMISED):
        while running(mark):
            await asyncio.sleep(0.01)


async def removed(place: Place) -> None:
    await place.asked("DELETE", f"/api/v1/workspaces/{place.workspace.id}/members/{place.person.membership_id}")


async def membership_deleted(place: Place) -> None:
    await place.changed("DELETE FROM memberships WHERE id = $1", place.person.membership_id)


async def role_lowered(place: Place) -> None:
    await place.changed("UPDATE memberships SET role = 'VIEWER' WHERE id = $1", place.person.membership_id)


async def signed_out(place: Place) -> None:
    answer = await place.browser.send("POST", "/api/auth/signout", json={"csrfToken": await place.browser.csrf()})
    assert answer.is_success, answer.text


async def session_revoked(place: Place) -> None:
    other = Browser(place.world.url)
    await other.log_in(place.person.email)
    first = await place.world.database.fetchval(
        "SELECT id FROM sessions WHERE user_id = $1 ORDER BY created_at LIMIT 1", place.person.user_id
    )
    answer = await other.send("POST", f"/api/v1/auth/sessions/{first}/revoke", json={})
    assert answer.is_success, answer.text


async def token_revoked(place: Place) -> None:
    await place.changed("DELETE FROM cli_tokens WHERE user_id = $1", place.person.user_id)


async def erased(place: Place) -> None:
    await place.asked("POST", f"/api/v1/admin/users/{place.person.user_id}/erase", {"reason": "asked"})


async def workspace_deleted(place: Place) -> None:
    await place.changed("UPDATE workspaces SET deleted_at = now() WHERE id = $1", place.workspace.id)


async def crew_deleted(place: Place) -> None:
    await place.asked("DELETE", f"/api/v1/crews/{place.crew.id}")


EITHER = (removed, membership_deleted, role_lowered, erased, workspace_deleted, crew_deleted)
WAYS: list[tuple[Callable[[Place], Awaitable[None]], bool, set[int]]] = [
    *((each, browser, {1008, 4401} if each is erased else {1008}) for each in EITHER for browser in (True, False)),
    (signed_out, True, {4401}), (session_revoked, True, {4401}), (token_revoked, False, {1008, 4401}),
]  # fmt: skip


@pytest.mark.parametrize(("change", "in_browser", "codes"), WAYS)
async def test_whose_right_ends_has_no_terminal(
    place: Place, change: Any, in_browser: bool, codes: set[int], record_property: Any
) -> None:
    mark = f"97{secrets.randbelow(10**8)}"
    async with terminal(place, place.browser if in_browser else place.person, mark) as shown:
        since = time.monotonic()
        await change(place)
        assert await shown.closed(PROMISED) in codes
        assert [said["type"] for said in shown.said] == ["error"]
        await gone(mark)
        took = time.monotonic() - since
    assert took < PROMISED
    record_property("seconds", round(took, 2))


async def test_whoever_reads_nothing_is_not_spared(place: Place) -> None:
    mark = f"97{secrets.randbelow(10**8)}"
    url = place.world.url.replace("http", "ws") + "/ws/terminal"
    async with connect(url, additional_headers=CLIENT, max_queue=1) as socket:
        await socket.send(orjson.dumps({"type": "auth", "token": await ticket(place.world, place.person)}).decode())
        await socket.send(orjson.dumps({"crew_id": place.crew.id}).decode())
        await socket.send(f"sleep {mark} & yes\n".encode())
        async with asyncio.timeout(20):
            while not running(mark):
                await asyncio.sleep(0.01)
        since = time.monotonic()
        await removed(place)
        await gone(mark)
        assert time.monotonic() - since < PROMISED
        socket.transport.abort()
