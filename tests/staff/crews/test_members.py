"""REST: users in a crew."""

import asyncio
from typing import Any

import pytest

from models.base import new_id
from models.people.workspaces import Role
from models.staff.crews import Crew, CrewMember
from tests.world import Person, World, now

pytestmark = pytest.mark.anyio
UNKNOWN = "role: must be one of OWNER, ADMIN, MANAGER, MEMBER, VIEWER"
CEILING = "You cannot grant a role above your own"


@pytest.fixture
async def crew(world: World) -> Crew:
    number = await world.database.fetchval("SELECT count(*) FROM crews")
    made = Crew(workspace_id=world.workspace.id, name="Engine", slug=f"engine-{number}")
    await world.add(made)
    return made


def path(crew: Crew | str, member: str | None = None) -> str:
    return f"/api/v1/crews/{crew if isinstance(crew, str) else crew.id}/members" + (f"/{member}" if member else "")


async def joined(world: World, crew: Crew, person: Person, role: Role | None = None) -> CrewMember:
    member = CrewMember(workspace_id=world.workspace.id, crew_id=crew.id, user_id=person.user_id, role=role)
    await world.add(member)
    return member


def shown(person: Person) -> dict[str, Any]:
    return {
        "id": person.user_id,
        "email": person.email,
        "full_name": f"{person.name.title()} Example",
        "avatar_url": None,
    }


async def test_members_are_listed_in_the_order_they_came(world: World, crew: Crew) -> None:
    assert (await world.rest(world.viewer, "GET", path(crew))).json() == []
    added = await world.rest(world.manager, "POST", path(crew), {"user_id": world.viewer.user_id, "role": "MANAGER"})
    assert added.status_code == 201
    member = added.json()
    assert member == {
        "id": member["id"],
        "crew_id": crew.id,
        "user_id": world.viewer.user_id,
        "created_at": member["created_at"],
        "user": shown(world.viewer),
    }
    second = (await world.rest(world.manager, "POST", path(crew), {"user_id": world.admin.user_id})).json()
    third = (await world.rest(world.manager, "POST", path(crew), {"user_id": world.owner.user_id, "role": ""})).json()
    assert (await world.rest(world.viewer, "GET", path(crew))).json() == [member | {"role": "MANAGER"}, second, third]
    assert (await world.rest(world.viewer, "GET", f"/api/v1/crews/{crew.id}")).json()["_count"] == {
        "agents": 0,
        "members": 3,
    }


async def test_an_unknown_crew_is_told_first(world: World, crew: Crew) -> None:
    gone = Crew(workspace_id=world.workspace.id, name="Gone", slug=f"gone-{crew.slug}", deleted_at=now())
    await world.add(gone)
    member = await joined(world, crew, world.member)
    for id, person, workspace in (
        (new_id(), world.owner, world.workspace.id),
        (gone.id, world.owner, world.workspace.id),
        (crew.id, world.outsider, world.other.id),
    ):
        for method, where, body in (
            ("GET", path(id), None),
            ("POST", path(id), {"user_id": 5}),
            ("PATCH", path(id, member.id), {"role": "X"}),
            ("DELETE", path(id, member.id), None),
        ):
            answer = await world.rest(person, method, where, body, workspace=workspace)
            missing = "Crew member not found" if method in ("PATCH", "DELETE") else "Crew not found"
            assert (method, answer.status_code, answer.json()["error"]) == (method, 404, missing)


async def test_adding_refuses_in_the_order_of_the_contract(world: World, crew: Crew) -> None:
    """Crew, JSON, user_id, workspace membership, duplicate, role."""
    await joined(world, crew, world.member)
    stranger, member, viewer = world.nobody.user_id, world.member.user_id, world.viewer.user_id
    before = await world.snapshot()
    async with world.client(world.manager) as client:
        malformed = await client.post(f"{path(crew)}?workspace_id={world.workspace.id}", content=b"[]")
    assert (malformed.status_code, malformed.json()["error"]) == (400, "Invalid JSON body")
    for body, status, text in [
        ({"role": "X"}, 400, "user_id: is required"),
        ({"user_id": "", "role": "X"}, 400, "user_id: must not be empty"),
        ({"user_id": stranger, "role": "X"}, 400, "user_id: there is no such member in this workspace"),
        ({"user_id": world.outsider.user_id, "role": "X"}, 400, "user_id: there is no such member in this workspace"),
        ({"user_id": member, "role": "X"}, 409, "The user is already a member of this crew"),
        ({"user_id": viewer, "role": "X"}, 400, UNKNOWN),
        ({"user_id": viewer, "role": "admin"}, 400, UNKNOWN),
        ({"user_id": viewer, "role": "ADMIN"}, 403, CEILING),
    ]:
        answer = await world.rest(world.manager, "POST", path(crew), body)
        assert (answer.status_code, answer.json()["error"]) == (status, text)
    assert (await world.rest(world.member, "POST", path(new_id()), {})).status_code == 403
    assert await world.snapshot() == before


# Who may grant which role in a crew: nobody a role above their own in the workspace.
GRANTS = {"owner": list(Role), "admin": list(Role)[1:], "manager": list(Role)[2:]}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("granter", list(GRANTS))
async def test_nobody_grants_more_than_they_have(world: World, crew: Crew, granter: str, role: Role) -> None:
    allowed, person = role in GRANTS[granter], getattr(world, granter)
    added = await world.rest(person, "POST", path(crew), {"user_id": world.viewer.user_id, "role": role})
    assert added.status_code == (201 if allowed else 403)
    member = await joined(world, crew, world.member)
    changed = await world.rest(person, "PATCH", path(crew, member.id), {"role": role})
    assert changed.status_code == (200 if allowed and granter != "manager" else 403)


async def test_a_role_in_the_crew_is_set_and_cleared(world: World, crew: Crew) -> None:
    member = await joined(world, crew, world.member)
    for body, role in (
        ({"role": "ADMIN"}, "ADMIN"),
        ({"role": ""}, ""),
        ({"role": "VIEWER"}, "VIEWER"),
        ({}, ""),
        ({"role": "MEMBER"}, "MEMBER"),
        ({"role": None}, ""),
    ):
        answer = await world.rest(world.admin, "PATCH", path(crew, member.id), body)
        assert (answer.status_code, answer.json()) == (200, {"status": "updated", "role": role})
        assert (
            await world.database.fetchval("SELECT coalesce(role, '') FROM crew_members WHERE id = $1", member.id)
            == role
        )
    before = await world.snapshot()
    async with world.client(world.admin) as client:
        empty = await client.patch(f"{path(crew, member.id)}?workspace_id={world.workspace.id}")
    assert (empty.status_code, empty.json()["error"]) == (400, "Invalid JSON body")
    unknown = await world.rest(world.admin, "PATCH", path(crew, member.id), {"role": "CAPTAIN"})
    assert (unknown.status_code, unknown.json()["error"]) == (400, UNKNOWN)
    assert await world.snapshot() == before


async def test_a_role_in_the_crew_opens_no_route_to_its_members(world: World, crew: Crew) -> None:
    member = await joined(world, crew, world.member, Role.ADMIN)
    before = await world.snapshot()
    for method, where, body in (
        ("POST", path(crew), {"user_id": world.viewer.user_id}),
        ("PATCH", path(crew, member.id), {}),
        ("DELETE", path(crew, member.id), None),
    ):
        assert (await world.rest(world.member, method, where, body)).status_code == 403
    assert await world.snapshot() == before


async def test_a_membership_is_named_by_its_own_id_and_crew(world: World, crew: Crew) -> None:
    other = Crew(workspace_id=world.workspace.id, name="Other", slug=f"other-{crew.slug}")
    await world.add(other)
    member = await joined(world, crew, world.member)
    before = await world.snapshot()
    for where in (path(crew, world.member.user_id), path(other, member.id), path(crew, new_id())):
        for method, body in (("PATCH", {}), ("DELETE", None)):
            answer = await world.rest(world.admin, method, where, body)
            assert (answer.status_code, answer.json()["error"]) == (404, "Crew member not found")
    assert await world.snapshot() == before
    answer = await world.rest(world.admin, "DELETE", path(crew, member.id))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert await world.database.fetchval("SELECT count(*) FROM crew_members WHERE id = $1", member.id) == 0
    assert (await world.rest(world.admin, "DELETE", path(crew, member.id))).status_code == 404


async def test_memberships_are_audited_and_told(world: World, crew: Crew) -> None:
    member = (await world.rest(world.manager, "POST", path(crew), {"user_id": world.viewer.user_id})).json()["id"]
    await world.rest(world.admin, "PATCH", path(crew, member), {"role": "MEMBER"})
    await world.rest(world.admin, "DELETE", path(crew, member))
    audited = "SELECT count(*) FROM audit_logs WHERE entity_id = $1"
    assert await world.database.fetchval(audited, member) == 3
    told = [event["type"] for event in await world.events()][-3:]
    assert told == ["crew_member.added", "crew_member.updated", "crew_member.removed"]


async def test_of_two_who_add_the_same_user_one_does(world: World, crew: Crew) -> None:
    answers = await asyncio.gather(
        *[world.rest(world.manager, "POST", path(crew), {"user_id": world.viewer.user_id}) for _ in range(4)]
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


async def test_nobody_joins_a_crew_while_it_is_deleted(world: World) -> None:
    for number in range(8):
        crew = Crew(workspace_id=world.workspace.id, name="Sinking", slug=f"sinking-{number}")
        await world.add(crew)
        await asyncio.gather(
            world.rest(world.admin, "DELETE", f"/api/v1/crews/{crew.id}"),
            *[
                world.rest(world.manager, "POST", path(crew), {"user_id": person.user_id})
                for person in (world.viewer, world.member)
            ],
        )
        assert await world.database.fetchval("SELECT count(*) FROM crew_members WHERE crew_id = $1", crew.id) == 0
