"""What the operator does for somebody who has lost every passkey."""

import pytest

from crewship.cli.passkeys import NoSuchUser, forget
from tests.conftest import Database
from tests.people.auth.browsers import Browser, new_user
from tests.people.passkeys.pages import REQUIRE, data, registered, sign_in
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_without_passkeys_the_password_is_enough_again(world: World, module_database: Database) -> None:
    browser, user, authenticator = await registered(world)
    await data(browser, REQUIRE, required=True)
    _, somebody, _ = await registered(world)
    assert (await Browser(world.url).log_in(user.email)).json()["ok"] is False
    assert await forget(module_database.owner_url, user.email) == 1
    assert (await Browser(world.url).log_in(user.email)).json()["ok"] is True
    assert "errors" in await sign_in(Browser(world.url), authenticator)
    left = "SELECT count(*) FROM passkeys WHERE user_id = $1"
    assert await world.database.fetchval(left, somebody.id) == 1


async def test_nobody_is_told_so(world: World, module_database: Database) -> None:
    user = await new_user(world)
    assert await forget(module_database.owner_url, user.email) == 0
    with pytest.raises(NoSuchUser, match="there is no user"):
        await forget(module_database.owner_url, "no.such.user@example.com")
