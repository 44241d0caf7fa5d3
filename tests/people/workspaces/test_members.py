"""REST: members of a workspace, as the contract states them."""

import asyncio
from typing import Any

import pytest

from models.base import new_id
from models.people.workspaces import Membership, Role
from tests.every import each_of
from tests.people.workspaces.calls import at, call, outcome
from tests.world import World

pytestmark = pytest.mark.anyio
MEMBER = {"id", "workspace_id", "user_id", "role", "created_at", "updated_at"}


async def test_every_member_sees_every_member_in_the_order_of_joining(world: World) -> None:
    people = [world.owner, world.admin, world.manager, world.member, world.viewer]
    for person in people:
        listed = (await at(world, person, "GET", "/members")).json()
        assert [m["user_id"] for m in listed] == [p.user_id for p in people]
    assert listed[1] == {
        "id": world.admin.membership_id,
        "workspace_id": world.workspace.id,
        "user_id": world.admin.user_id,
        "role": "ADMIN",
        "created_at": listed[1]["created_at"],
        "updated_at": listed[1]["updated_at"],
        "user": {
            "id": world.admin.user_id,
            "email": "admin@example.com",
            "full_name": "Admin Example",
            "avatar_url": None,
        },
        "email": "admin@example.com",
        "full_name": "Admin Example",
    }


@each_of(
    ("by", "given", "status"),
    [
        ("owner", "ADMIN", 201),
        ("owner", "VIEWER", 201),
        ("admin", "MANAGER", 201),
        ("admin", None, 201),
        ("admin", "ADMIN", 403),
        ("owner", "OWNER", 400),
        ("admin", "OWNER", 400),
        ("manager", "VIEWER", 403),
        ("member", "VIEWER", 403),
        ("viewer", "VIEWER", 403),
    ],
)
async def test_who_may_give_which_role(world: World, by: str, given: str | None, status: int) -> None:
    person = await world.person(new_id(), None)
    before = await world.snapshot()
    answer = await at(world, getattr(world, by), "POST", "/members", {"user_id": person.user_id, "role": given})
    assert answer.status_code == status
    if status != 201:
        assert await world.snapshot() == before
        return
    made = answer.json()
    assert made.keys() == MEMBER
    assert (made["workspace_id"], made["user_id"], made["role"]) == (
        world.workspace.id,
        person.user_id,
        given or "MEMBER",
    )
    assert [w["currentUserRole"] for w in (await call(world, person, "GET")).json()] == [given or "MEMBER"]
    await at(world, world.owner, "DELETE", f"/members/{made['id']}")


@each_of(
    "change",
    [
        {"user_id": None},
        {"user_id": ""},
        {"user_id": 1},
        {"role": ""},
        {"role": "admin"},
        {"role": "BOSS"},
        {"role": 1},
    ],
)
async def test_a_bad_body_is_refused_and_writes_nothing(world: World, change: dict[str, Any]) -> None:
    before = await world.snapshot()
    answer = await at(world, world.admin, "POST", "/members", {"user_id": world.nobody.user_id} | change)
    assert (answer.status_code, next(iter(answer.json()["fields"]))) == (400, next(iter(change)))
    assert await world.snapshot() == before


async def test_refusals_come_in_the_order_of_the_contract(world: World) -> None:
    before = await world.snapshot()
    for person in (world.manager, world.member, world.viewer):  # role before body
        assert outcome(await at(world, person, "POST", "/members", {"role": "BOSS"})) == (403, "Forbidden")
    no_admin = (403, "Only an owner can assign the role ADMIN")
    for id in (world.member.user_id, new_id()):  # ADMIN before a membership or an account is looked for
        assert outcome(await at(world, world.admin, "POST", "/members", {"user_id": id, "role": "ADMIN"})) == no_admin
    for role in ("MEMBER", "VIEWER"):
        taken = await at(world, world.admin, "POST", "/members", {"user_id": world.member.user_id, "role": role})
        assert outcome(taken) == (409, "This user is already a member")
    assert outcome(await at(world, world.admin, "POST", "/members", {"user_id": new_id()})) == (404, "User not found")
    assert await world.snapshot() == before


async def test_of_two_who_add_the_same_user_one_succeeds(world: World) -> None:
    person = await world.person("contended", None)
    answers = await asyncio.gather(
        *[at(world, p, "POST", "/members", {"user_id": person.user_id}) for p in (world.owner, world.admin) * 3]
    )
    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409, 409, 409]


async def test_access_ends_with_the_membership_and_nothing_else(world: World) -> None:
    person = await world.person("leaver", Role.MANAGER)
    assert (await at(world, person, "GET", "/members")).status_code == 200
    answer = await at(world, world.admin, "DELETE", f"/members/{person.membership_id}")
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert outcome(await at(world, person, "GET", "/members")) == (403, "Not a member of this workspace")
    assert (await call(world, person, "GET")).json() == []  # the token still works
    assert outcome(await at(world, world.admin, "DELETE", f"/members/{person.membership_id}")) == (
        404,
        "Member not found",
    )
    again = await at(world, world.admin, "POST", "/members", {"user_id": person.user_id, "role": "VIEWER"})
    assert again.status_code == 201
    assert again.json()["id"] != person.membership_id


async def test_an_admin_may_remove_another_and_themselves(world: World) -> None:
    one, other = await world.person("admin-one", Role.ADMIN), await world.person("admin-two", Role.ADMIN)
    assert (await at(world, one, "DELETE", f"/members/{other.membership_id}")).status_code == 200
    assert (await at(world, one, "DELETE", f"/members/{one.membership_id}")).status_code == 200
    assert (await at(world, one, "GET")).status_code == 403


async def test_who_cannot_be_removed(world: World) -> None:
    owner = await world.person("co-owner", Role.OWNER)
    foreign = Membership(workspace_id=world.other.id, user_id=world.admin.user_id, role=Role.OWNER)
    await world.add(foreign)
    before = await world.snapshot()
    for person in (world.owner, owner, world.admin):
        assert outcome(await at(world, person, "DELETE", f"/members/{owner.membership_id}")) == (
            403,
            "An owner cannot be removed",
        )
    for id in (foreign.id, world.outsider.user_id, new_id(), "%00"):  # of another workspace; of a user who is no member
        assert (await at(world, world.admin, "DELETE", f"/members/{id}")).status_code in (
            (404,) if id != "%00" else (400, 404)
        )
    for person in (world.manager, world.member, world.viewer):
        assert outcome(await at(world, person, "DELETE", f"/members/{person.membership_id}")) == (403, "Forbidden")
    assert await world.snapshot() == before


async def test_a_member_is_removed_by_the_users_id_too(world: World) -> None:
    person = await world.person("leaving", Role.MEMBER)
    assert (await at(world, world.admin, "DELETE", f"/members/{person.user_id}")).json() == {"success": True}
    assert outcome(await at(world, world.admin, "DELETE", f"/members/{person.user_id}")) == (404, "Member not found")


ROLE = (
    "mutation($ws: ID, $id: ID!, $role: Role!) { updateMemberRole(workspaceId: $ws, input: {id: $id, role: $role})"
    " { id role viewerCan } }"
)


async def change_role(world: World, by: Any, id: str, role: str) -> tuple[str, str]:
    """The role afterwards, or the code and the text of the refusal."""
    answer = await world.graphql(by, ROLE, {"id": id, "role": role})
    if "errors" in answer:
        error = answer["errors"][0]
        return error["extensions"]["code"], error["message"]
    return "", answer["data"]["updateMemberRole"]["role"]


async def test_who_may_change_which_role(world: World) -> None:
    """For each caller, each present role and each wanted one: nobody above, and nothing at or above one's own rank."""
    ranks = [role.value for role in Role]
    for by in ("owner", "admin", "manager", "member", "viewer"):
        caller = getattr(world, by)
        own = ranks.index(by.upper())
        for place, before in enumerate(ranks):
            person = await world.person(new_id(), Role(before))
            for wanted, role in enumerate(ranks):
                await world.database.execute(
                    "UPDATE memberships SET role = $2 WHERE id = $1", person.membership_id, before
                )
                code, told = await change_role(world, caller, str(person.membership_id), role)
                may = by in ("owner", "admin", "manager") and place >= own and wanted > own
                assert (code, told) == ("", role) if may else code == "FORBIDDEN", (by, before, role, told)
            await world.database.execute("DELETE FROM memberships WHERE id = $1", person.membership_id)


async def test_the_last_owner_stays_and_of_two_who_leave_one_stays(world: World) -> None:
    own = str(world.owner.membership_id)
    await world.database.execute(
        "DELETE FROM memberships WHERE workspace_id = $1 AND role = 'OWNER' AND id <> $2", world.workspace.id, own
    )
    assert (await change_role(world, world.owner, own, "ADMIN"))[0] == "CONFLICT"
    second = await world.person(new_id(), Role.OWNER)
    told = await asyncio.gather(
        change_role(world, world.owner, own, "ADMIN"),
        change_role(world, second, str(second.membership_id), "ADMIN"),
    )
    assert sorted(code for code, _ in told) == ["", "CONFLICT"]
    owners = await world.database.fetchval(
        "SELECT count(*) FROM memberships WHERE workspace_id = $1 AND role = 'OWNER'", world.workspace.id
    )
    assert owners == 1
    await world.database.execute("UPDATE memberships SET role = 'OWNER' WHERE id = $1", own)
    await world.database.execute("DELETE FROM memberships WHERE id = $1", second.membership_id)


async def test_a_role_holds_from_the_next_request_and_is_recorded(world: World) -> None:
    person = await world.person(new_id(), Role.MEMBER)
    id = str(person.membership_id)
    assert (await change_role(world, person, str(world.viewer.membership_id), "MEMBER"))[0] == "FORBIDDEN"
    assert await change_role(world, world.admin, id, "MANAGER") == ("", "MANAGER")
    assert await change_role(world, person, str(world.viewer.membership_id), "VIEWER") == ("", "VIEWER")
    assert await change_role(world, person, id, "VIEWER") == ("", "VIEWER"), "one's own, downwards"
    assert (await change_role(world, person, id, "MANAGER"))[0] == "FORBIDDEN", "and not upwards again"
    row = next(row for row in reversed(await world.audit()) if row["entity_id"] == person.user_id)
    assert (row["action"], row["data"]) == ("member.role_change", {"from": "MANAGER", "to": "VIEWER", "member_id": id})
    event = (await world.events())[-1]
    assert (event["type"], event["payload"]["id"]) == ("workspace_member.role_changed", id)
    assert (await change_role(world, world.owner, new_id(), "VIEWER"))[0] == "NOT_FOUND"
    stranger = str((await world.person(new_id(), Role.MEMBER, world.other)).membership_id)
    assert (await change_role(world, world.owner, stranger, "VIEWER"))[0] == "NOT_FOUND"
