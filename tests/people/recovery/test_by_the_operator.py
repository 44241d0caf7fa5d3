"""`crewship reset-password`: what the operator does for somebody who cannot be mailed a link."""

from typing import Any

import pytest
from typer.testing import CliRunner

from crewship.cli.main import app
from crewship.cli.passwords import NoSuchUser, reset
from models.people.workspaces import Membership, Role
from resolvers.errors import Refusal
from resolvers.instance.crypto import digest
from tests.conftest import Database
from tests.live.sockets import client_of
from tests.people.auth.browsers import PASSWORD, Browser, new_user, signed_in
from tests.world import World

pytestmark = pytest.mark.anyio
NEW = "a new horse battery"


async def logs_in(world: World, email: str, password: str) -> bool:
    return bool((await Browser(world.url).log_in(email, password)).json()["ok"])


async def audited(world: World, workspace_id: str, user_id: str) -> list[Any]:
    sql = "SELECT * FROM audit_logs WHERE workspace_id = $1 AND entity_id = $2"
    return await world.database.fetch(sql, workspace_id, user_id)  # type: ignore[no-any-return]


@pytest.mark.slow
async def test_the_new_password_holds_and_what_knew_the_old_one_has_ended(
    world: World, module_database: Database
) -> None:
    browser, user = await signed_in(world)
    await world.add(Membership(workspace_id=world.workspace.id, user_id=user.id, role=Role.MEMBER))
    await browser.send("POST", "/api/v1/auth/pair/start")
    await world.database.execute(
        "INSERT INTO password_resets (id, email, user_id, token_hash, expires_at)"
        " VALUES ($1, 'x', $2, $3, now() + interval '5 minutes')",
        f"r_{user.id}",
        user.id,
        digest(f"link of {user.id}"),
    )
    await world.database.execute(
        "UPDATE users SET failed_login_count = 10, locked_until = now() + interval '5 minutes' WHERE id = $1", user.id
    )
    somebody, other = await signed_in(world)
    async with client_of(world, browser) as socket:
        await socket.settle()
        assert await reset(module_database.owner_url, user.email, NEW) == 1
        await socket.hears("session_revoked")
    answer = await browser.send("GET", "/api/v1/auth/sessions")
    assert (answer.status_code, answer.json()["error"]) == (401, "session_revoked")
    assert [await logs_in(world, user.email, each) for each in (PASSWORD, NEW)] == [False, True]
    body = {"token": f"link of {user.id}", "new_password": "another horse"}
    assert (await Browser(world.url).send("POST", "/api/v1/auth/reset", json=body)).status_code == 400
    assert await world.database.fetchval("SELECT count(*) FROM pairings WHERE user_id = $1", user.id) == 0
    assert (await somebody.send("GET", "/api/v1/auth/sessions")).status_code == 200, "nobody else's has"
    assert await logs_in(world, other.email, PASSWORD)
    (row,) = await audited(world, world.workspace.id, user.id)
    assert (row["action"], row["actor_type"], row["user_id"]) == ("user.password_reset", "system", None)
    assert await audited(world, world.other.id, user.id) == [], "in workspaces of the user alone"
    assert NEW not in str(dict(row))


async def test_nobody_and_what_is_no_person_is_told_so(world: World, module_database: Database) -> None:
    user = await new_user(world)
    before = await world.snapshot()
    for email in ("no.such.user@example.com", user.email.upper()):
        with pytest.raises(NoSuchUser, match="there is no user"):
            await reset(module_database.owner_url, email, NEW)
    for password in ("short", "x" * 73, ""):
        with pytest.raises(Refusal, match="Password must be"):
            await reset(module_database.owner_url, user.email, password)
    assert await world.snapshot() == before


def test_a_bad_password_is_told_before_the_database_is_asked(
    monkeypatch: pytest.MonkeyPatch, module_database: Database
) -> None:
    monkeypatch.setenv("DATABASE_URL", module_database.owner_url)
    told = CliRunner().invoke(app, ["reset-password", "somebody@example.com"], input="short\n")
    assert told.exit_code == 1
    assert told.stderr == "crewship: Password must be at least 8 characters\n"
    told = CliRunner().invoke(app, ["reset-password", "somebody@example.com"], input=f"{NEW}\n")
    assert (told.exit_code, told.stderr) == (1, "crewship: there is no user somebody@example.com\n")
