"""The member limit of the license, which holds where a deployer configured one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.people.auth.browsers import Browser, new_user, signed_in
from tests.people.workspaces.calls import at, outcome
from tests.people.workspaces.test_acceptance import accept, invited, sign_up
from tests.world import World, world_on

pytestmark = pytest.mark.anyio
FULL = (402, "license limit reached: 6/6 members (community edition).")


@pytest.fixture(scope="module")
async def limited(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    """A world whose workspaces may have six members; there are five."""
    async with world_on(module_database, tmp_path_factory.mktemp("data"), max_members=6) as made:
        yield made


async def test_the_last_place_is_taken_once_and_then_nobody_is_added(limited: World) -> None:
    people = [await limited.person(f"candidate-{n}", None) for n in range(4)]
    answers = await asyncio.gather(
        *[at(limited, limited.owner, "POST", "/members", {"user_id": p.user_id}) for p in people]
    )
    assert sorted(a.status_code for a in answers) == [201, 402, 402, 402]
    before = await limited.snapshot()
    for path, body in (
        ("/members", {"user_id": limited.nobody.user_id}),
        ("/invitations", {"email": "new@example.com"}),
    ):
        # before the body is read, but after the role
        for sent in (body, {}, [], {"role": "BOSS"}, body | {"role": "ADMIN"}):
            assert outcome(await at(limited, limited.admin, "POST", path, sent)) == FULL
            assert outcome(await at(limited, limited.manager, "POST", path, sent)) == (403, "Forbidden")
    assert await limited.snapshot() == before
    gone = next(a.json()["id"] for a in answers if a.status_code == 201)
    assert (await at(limited, limited.admin, "DELETE", f"/members/{gone}")).status_code == 200
    for number in range(2):  # invitations are not counted
        assert (
            await at(limited, limited.admin, "POST", "/invitations", {"email": f"guest-{number}@example.com"})
        ).status_code == 201
    assert (
        await at(limited, limited.admin, "POST", "/members", {"user_id": limited.nobody.user_id})
    ).status_code == 201


async def test_an_invitation_does_not_make_room(limited: World) -> None:
    browser, user = await signed_in(limited)
    tokens = [(await invited(limited, email)).token for email in (user.email, "newcomer@example.com")]
    while (await at(limited, limited.owner, "POST", "/members", {"user_id": (await new_user(limited)).id})).is_success:
        pass
    before = await limited.snapshot()
    assert (await accept(browser, tokens[0])).status_code == 402
    assert (await sign_up(Browser(limited.url), tokens[1])).status_code == 402
    assert await limited.snapshot() == before
