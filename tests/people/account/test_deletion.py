"""The end of an account: what goes with it, what stays without a name, and who has to stay."""

import asyncio
from typing import Any

import httpx2
import pytest

from models.base import new_id
from models.people.auth import CliToken, User
from models.people.workspaces import Membership, Role, Workspace
from models.staff.agents import Agent
from models.staff.chats import Chat, Message, MessageRole
from resolvers.instance.crypto import digest, new_cli_token
from resolvers.people.account import LAST_PERSON, OWNS, WRONG
from tests.live.sockets import client_of
from tests.people.auth.browsers import PASSWORD, Browser, new_user, signed_in
from tests.world import World

pytestmark = pytest.mark.anyio
PATH, SESSIONS = "/api/v1/auth/account/delete", "/api/v1/auth/sessions"


async def delete(browser: Browser, password: Any = PASSWORD) -> httpx2.Response:
    return await browser.send("POST", PATH, json={"password": password})


async def founded(world: World, owner: User, *others: tuple[str, Role]) -> Workspace:
    name = new_id()
    workspace = Workspace(name=f"Of {name}", slug=name)
    await world.add(workspace, Membership(workspace_id=workspace.id, user_id=owner.id, role=Role.OWNER))
    for user_id, role in others:
        await world.add(Membership(workspace_id=workspace.id, user_id=user_id, role=role))
    return workspace


async def exists(world: World, user: User) -> bool:
    return bool(await world.database.fetchval("SELECT EXISTS (SELECT FROM users WHERE id = $1)", user.id))


async def deleted(world: World, workspace: Workspace) -> bool:
    sql = "SELECT deleted_at IS NOT NULL FROM workspaces WHERE id = $1"
    return bool(await world.database.fetchval(sql, workspace.id))


async def test_everything_of_the_user_goes(world: World) -> None:
    browser, user = await signed_in(world)
    token = (await browser.send("POST", "/api/v1/auth/cli-token")).json()["token"]
    await browser.send("POST", "/api/v1/auth/pair/start")
    await browser.send("PUT", "/api/v1/me/preferences/theme", content=b'"dark"')
    await world.add(Membership(workspace_id=world.workspace.id, user_id=user.id, role=Role.MEMBER))
    async with client_of(world, browser) as socket:
        await socket.settle()
        answer = await delete(browser)
        assert (answer.status_code, answer.json()) == (200, {"success": True})
        await socket.until(lambda: socket.closed is not None)
    assert not await exists(world, user)
    for table in ("sessions", "cli_tokens", "memberships", "pairings", "preferences", "sign_in_devices"):
        assert await world.database.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", user.id) == 0, table
    assert (await Browser(world.url).log_in(user.email)).json()["ok"] is False
    answer = await Browser(world.url).send("GET", SESSIONS, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 401
    assert not await deleted(world, world.workspace)
    again = await new_user(world, email=user.email)
    assert await exists(world, again), "the email is free again"


async def test_the_cookies_go_too_and_a_stolen_one_is_no_good(world: World) -> None:
    browser, _ = await signed_in(world)
    stolen = Browser(world.url, cookies=dict(browser.cookies))
    assert (await delete(browser)).status_code == 200
    assert [name for name in browser.cookies if name.endswith(("session-token", "refresh-token"))] == []
    assert (await stolen.send("GET", SESSIONS)).status_code == 401
    assert (await stolen.send("POST", "/api/auth/token/refresh")).status_code == 401


async def test_what_was_written_for_others_stays_without_a_name(world: World) -> None:
    browser, user = await signed_in(world)
    here: dict[str, Any] = {"workspace_id": world.workspace.id}
    agent = Agent(name="Hand", slug=new_id(), created_by_user_id=user.id, **here)
    chat = Chat(agent_id=agent.id, created_by=user.id, **here)
    await world.add(Membership(user_id=user.id, role=Role.MEMBER, **here), agent, chat)
    said = {"chat_id": chat.id, "agent_id": agent.id, "author_user_id": user.id}
    await world.add(Message(seq=1, role=MessageRole.user, content="Hoist", **said, **here))
    assert (await delete(browser)).status_code == 200
    row = await world.database.fetchrow("SELECT content, author_user_id FROM messages WHERE chat_id = $1", chat.id)
    assert tuple(row) == ("Hoist", None)
    row = await world.database.fetchrow(
        "SELECT a.created_by_user_id, c.created_by FROM agents a JOIN chats c ON c.agent_id = a.id WHERE a.id = $1",
        agent.id,
    )
    assert tuple(row) == (None, None)


async def test_a_workspace_of_nobody_else_goes_along(world: World) -> None:
    browser, user = await signed_in(world)
    alone = [await founded(world, user) for _ in range(2)]
    joined = await founded(world, await new_user(world), (user.id, Role.ADMIN))
    assert (await delete(browser)).status_code == 200
    assert [await deleted(world, each) for each in (*alone, joined)] == [True, True, False]
    enqueued = "SELECT count(*) FROM dbos.workflow_status WHERE name = 'workspaces.files_of_workspace'"
    assert await world.database.fetchval(enqueued) == 2, "their files go with them"
    assert await world.database.fetchval("SELECT count(*) FROM memberships WHERE workspace_id = $1", joined.id) == 1


async def test_the_last_owner_of_others_stays(world: World) -> None:
    browser, user = await signed_in(world)
    alone = await founded(world, user)
    crowded = await founded(world, user, (world.member.user_id, Role.ADMIN))
    before = await world.snapshot()
    answer = await delete(browser)
    assert (answer.status_code, answer.json()["error"]) == (409, f"{OWNS} {crowded.name}")
    assert await world.snapshot() == before
    assert not await deleted(world, alone)
    await world.add(Membership(workspace_id=crowded.id, user_id=(await new_user(world)).id, role=Role.OWNER))
    assert (await delete(browser)).status_code == 200, "another owner is left"
    assert [await deleted(world, each) for each in (alone, crowded)] == [True, False]


async def test_a_service_account_is_nobody_to_leave_a_workspace_to(world: World) -> None:
    browser, user = await signed_in(world)
    workspace = await founded(world, user)
    answer = await browser.send(
        "POST",
        f"/api/v1/service-accounts?workspace_id={workspace.id}",
        json={"name": "robot", "role": "MEMBER"},
    )
    assert answer.status_code in (200, 201), answer.text
    assert (await delete(browser)).status_code == 200
    assert await deleted(world, workspace)


@pytest.mark.parametrize(("password", "status"), [("wrong", 403), ("", 403), (None, 400), (7, 400)])
async def test_without_the_password_nothing_goes(world: World, password: Any, status: int) -> None:
    browser, user = await signed_in(world)
    answer = await delete(browser, password)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"] == WRONG
    assert await exists(world, user)
    assert (await browser.send("GET", SESSIONS)).status_code == 200


async def test_deleted_twice_at_once(world: World) -> None:
    browser, user = await signed_in(world)
    answers = await asyncio.gather(*(delete(Browser(world.url, cookies=dict(browser.cookies))) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers)[0] == 200
    assert {answer.status_code for answer in answers} <= {200, 401, 404}
    assert not await exists(world, user)


async def test_by_graphql(world: World) -> None:
    browser, user = await signed_in(world)
    document = "mutation($in: DeleteAccountInput!) { deleteAccount(input: $in) { success } }"
    wrong = {"query": document, "variables": {"in": {"password": "not this one"}}}
    refused = (await browser.send("POST", "/graphql", json=wrong)).json()
    assert list(refused["errors"][0]["extensions"]["fields"]) == ["password"]
    answer = await browser.send(
        "POST", "/graphql", json={"query": document, "variables": {"in": {"password": PASSWORD}}}
    )
    assert answer.json()["data"]["deleteAccount"] == {"success": True}
    assert not await exists(world, user)


async def test_the_last_person_of_the_server_stays(world: World) -> None:
    """Or nobody could sign in to it, or open it for others."""
    browser, user = await signed_in(world)
    token = new_cli_token("STANDARD")  # type: ignore[arg-type]
    await world.add(CliToken(user_id=user.id, name="test", token_hash=digest(token)))
    await world.database.execute("DELETE FROM users WHERE id <> $1", user.id)
    before = await world.snapshot()
    answer = await delete(browser)
    assert (answer.status_code, answer.json()["error"]) == (409, LAST_PERSON)
    assert await world.snapshot() == before
