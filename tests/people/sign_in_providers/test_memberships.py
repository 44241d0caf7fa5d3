"""Groups at the provider, and the roles that they give in a workspace."""

import secrets
from typing import Any

import pytest

from crewship.cli.doctor import _check_place
from models.people.workspaces import Membership, Role, Workspace
from tests.people.auth.browsers import new_user
from tests.people.sign_in_providers.conftest import Visits
from tests.world import World, now

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def owned(world: World) -> Workspace:
    """The workspace in which groups make owners."""
    made = Workspace(name="Owned", slug="owned")
    await world.add(made)
    return made


async def role_in(world: World, workspace: Workspace, user_id: str | None) -> str | None:
    role: str | None = await world.database.fetchval(
        "SELECT role FROM memberships WHERE workspace_id = $1 AND user_id = $2", workspace.id, user_id
    )
    return role


async def sign_in(visitor: Visits, id: str, subject: str, address: str | None = None, **claims: Any) -> str | None:
    visit = visitor(id)
    known = {"email": address or f"{subject}@corp.example", "email_verified": True}
    answer = await visit.sign_in(subject, {}, **known, **claims)
    assert answer.status_code == 307, answer.text
    return await visit.user_id()


def realm(*groups: str) -> dict[str, Any]:
    return {"realm_access": {"roles": list(groups)}}


async def test_the_role_follows_the_groups_at_each_sign_in(world: World, visitor: Visits) -> None:
    subject, home = secrets.token_hex(4), world.workspace
    for groups, role in (
        (["crew-members", "others"], "MEMBER"),
        (["crew-members", "crew-admins"], "ADMIN"),
        (["crew-members"], "MEMBER"),
        (["others"], None),
        ([], None),
        (["crew-admins"], "ADMIN"),
    ):
        user_id = await sign_in(visitor, "groups", subject, **realm(*groups))
        assert await role_in(world, home, user_id) == role, groups
    memberships = await world.database.fetch("SELECT workspace_id FROM memberships WHERE user_id = $1", user_id)
    assert [row["workspace_id"] for row in memberships] == [home.id]


@pytest.mark.parametrize("told", [None, "crew-admins", {"roles": {"crew-admins": 1}}, {"roles": [["crew-admins"]]}])
async def test_groups_that_are_not_told_give_nothing(world: World, visitor: Visits, told: Any) -> None:
    claims = {} if told is None else {"realm_access": told}
    user_id = await sign_in(visitor, "groups", secrets.token_hex(4), **claims)
    assert await role_in(world, world.workspace, user_id) is None


async def test_groups_may_be_told_by_userinfo(world: World, visitor: Visits) -> None:
    visit, subject = visitor("groups"), secrets.token_hex(4)
    told = {"realm_access": {"roles": ["crew-admins"]}}
    await visit.sign_in(subject, told, email=f"{subject}@corp.example", email_verified=True)
    assert await role_in(world, world.workspace, await visit.user_id()) == "ADMIN"


async def test_where_groups_make_no_owners_they_unmake_none(world: World, visitor: Visits) -> None:
    user = await new_user(world, email_verified=now())
    await world.add(Membership(workspace_id=world.workspace.id, user_id=user.id, role=Role.OWNER))
    for groups in (["crew-members"], []):
        assert await sign_in(visitor, "groups", "an owner", user.email, **realm(*groups)) == user.id
        assert await role_in(world, world.workspace, user.id) == "OWNER"


async def test_owners_are_made_where_that_is_configured_and_the_last_one_stays(
    world: World, owned: Workspace, visitor: Visits
) -> None:
    first, second = secrets.token_hex(4), secrets.token_hex(4)
    one = await sign_in(visitor, "owners", first, groups=["chiefs"])
    assert await role_in(world, owned, one) == "OWNER"
    assert await sign_in(visitor, "owners", first, groups=[]) == one
    assert await role_in(world, owned, one) == "OWNER", "the last owner stays"
    other = await sign_in(visitor, "owners", second, groups=["chiefs"])
    assert await role_in(world, owned, other) == "OWNER"
    await sign_in(visitor, "owners", first, groups="nobody")
    assert await role_in(world, owned, one) == "VIEWER", "whoever is in no group has the default role"


async def test_a_role_that_is_taken_is_told_to_who_listens(world: World, visitor: Visits) -> None:
    subject = secrets.token_hex(4)
    user_id = await sign_in(visitor, "groups", subject, **realm("crew-admins"))
    before = (await world.events())[-1]["seq"] if await world.events() else 0
    await sign_in(visitor, "groups", subject, **realm())
    assert f"access:{user_id}" in [event["channel"] for event in await world.events(before)]


async def test_an_invitation_and_a_group_make_one_membership(world: World, visitor: Visits) -> None:
    subject = secrets.token_hex(4)
    path = f"/api/v1/workspaces/{world.workspace.id}/invitations"
    await world.rest(world.owner, "POST", path, {"email": f"{subject}@corp.example", "role": "VIEWER"})
    user_id = await sign_in(visitor, "groups", subject, **realm("crew-admins"))
    assert await role_in(world, world.workspace, user_id) == "ADMIN"


async def test_a_workspace_that_is_gone_keeps_nobody_out(world: World, owned: Workspace, visitor: Visits) -> None:
    await world.database.execute("UPDATE workspaces SET deleted_at = now() WHERE id = $1", owned.id)
    try:
        user_id = await sign_in(visitor, "owners", secrets.token_hex(4), groups=["chiefs"])
        assert await role_in(world, owned, user_id) is None
    finally:
        await world.database.execute("UPDATE workspaces SET deleted_at = NULL WHERE id = $1", owned.id)


async def test_the_workspace_is_the_one_that_the_slug_meant_first(world: World, visitor: Visits) -> None:
    """Whatever it is called later: who takes the slug does not get its people, nor keeps who has left."""
    home, subject = world.workspace, secrets.token_hex(4)
    user_id = await sign_in(visitor, "groups", subject, **realm("crew-members"))
    assert await role_in(world, home, user_id) == "MEMBER"
    path = f"/api/v1/workspaces/{home.id}"
    assert (await world.rest(world.owner, "PATCH", path, {"slug": "renamed"})).status_code == 200
    body = {"name": "Daves", "slug": home.slug}
    taken = await world.rest(world.outsider, "POST", "/api/v1/workspaces", body, workspace=None)
    assert taken.status_code == 409, "a slug of the settings is the operator's"
    own = f"/api/v1/workspaces/{world.other.id}"
    moved = await world.rest(world.outsider, "PATCH", own, {"slug": home.slug}, workspace=world.other.id)
    assert moved.status_code == 409
    daves = Workspace(name="Daves", slug=home.slug)  # however it came to be
    await world.add(daves)
    try:
        newcomer = await sign_in(visitor, "groups", secrets.token_hex(4), **realm("crew-admins"))
        await sign_in(visitor, "groups", subject)
        assert [await role_in(world, home, each) for each in (newcomer, user_id)] == ["ADMIN", None]
        assert await world.database.fetchval("SELECT count(*) FROM memberships WHERE workspace_id = $1", daves.id) == 0
        provider = next(each for each in world.settings.providers if each.id == "groups")
        check = await _check_place(provider, world.database)
        assert (check.ok, check.found) == (True, f"{home.name} (renamed, {home.id})")
        elsewhere = provider.model_copy(update={"workspace": "nowhere"})
        assert not (await _check_place(elsewhere, world.database)).ok
    finally:
        await world.database.execute("DELETE FROM workspaces WHERE id = $1", daves.id)
        await world.database.execute("UPDATE workspaces SET slug = $2 WHERE id = $1", home.id, home.slug)


async def test_groups_of_the_provider_accept_a_membership(world: World, visitor: Visits) -> None:
    subject = secrets.token_hex(4)
    user_id = await sign_in(visitor, "groups", subject, **realm("crew-members"))
    await world.database.execute("UPDATE memberships SET accepted_at = NULL WHERE user_id = $1", user_id)
    await sign_in(visitor, "groups", subject, **realm("crew-members"))
    assert await world.database.fetchval("SELECT accepted_at FROM memberships WHERE user_id = $1", user_id) is not None
