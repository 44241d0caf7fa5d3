"""REST: what members may do beyond their role, as the contract states it."""

import asyncio
from typing import Any

import orjson
import pytest

from models.base import new_id
from models.people.workspaces import Role
from tests.every import each_of
from tests.people.workspaces.calls import at, call, outcome
from tests.world import Person, World

pytestmark = pytest.mark.anyio
ADMIN = [
    "chat",
    "credential.create",
    "credential.rotate",
    "issue.create",
    "memory.write",
    "routine.create",
    "skill.create",
]
POWER = ["chat", "issue.create", "memory.write", "routine.create"]
DEFAULTS = {"OWNER": ADMIN, "ADMIN": ADMIN, "MANAGER": POWER, "MEMBER": ["chat"], "VIEWER": ["chat"]}


async def change(world: World, by: Person, of: str, body: Any) -> Any:
    return await at(world, by, "PATCH", f"/members/{of}/capabilities", body)


async def stored(world: World, person: Person) -> list[str] | None:
    kept: list[str] | None = await world.database.fetchval(
        "SELECT capabilities FROM memberships WHERE id = $1", person.membership_id
    )
    return kept


async def test_the_default_of_the_role_holds_at_first(world: World) -> None:
    expected = [
        {"user_id": getattr(world, role.lower()).user_id, "role": role, "capabilities": held}
        for role, held in DEFAULTS.items()
    ]
    for person in (world.owner, world.admin):
        assert (await at(world, person, "GET", "/members/capabilities")).json() == {"members": expected}
    for entry in expected:
        assert (await at(world, world.admin, "GET", f"/members/{entry['user_id']}/capabilities")).json() == entry


async def test_members_are_named_by_their_user(world: World) -> None:
    for id in (world.member.membership_id, world.outsider.user_id, new_id()):
        assert outcome(await at(world, world.admin, "GET", f"/members/{id}/capabilities")) == (404, "Member not found")
        assert outcome(await change(world, world.admin, str(id), {"preset": "chat"})) == (404, "Member not found")


async def test_the_first_change_stores_the_whole_set(world: World) -> None:
    person = await world.person("growing", Role.MANAGER)
    before = await world.database.fetchval("SELECT updated_at FROM memberships WHERE id = $1", person.membership_id)
    assert await stored(world, person) is None
    steps: list[tuple[dict[str, Any], list[str]]] = [
        ({"grant": ["chat"]}, POWER),  # changes nothing, and stores what held
        ({"grant": ["skill.create", "skill.create"], "revoke": []}, sorted([*POWER, "skill.create"])),
        ({"grant": ["skill.create"]}, sorted([*POWER, "skill.create"])),
        ({"revoke": ["memory.write", "routine.create"], "preset": ""}, ["chat", "issue.create", "skill.create"]),
        ({"set": ["memory.write"]}, ["chat", "memory.write"]),
        ({"preset": "admin"}, sorted([*ADMIN, "routine.run"])),
        ({"preset": "power", "set": None, "grant": []}, [*POWER, "routine.run"]),
        ({"preset": "chat", "unknown": 1}, ["chat"]),
    ]
    for body, expected in steps:
        answer = await change(world, world.admin, person.user_id, body)
        assert (answer.status_code, answer.json()) == (
            200,
            {"user_id": person.user_id, "role": "MANAGER", "capabilities": expected},
        )
        assert await stored(world, person) == expected
    assert (
        await world.database.fetchval("SELECT updated_at FROM memberships WHERE id = $1", person.membership_id) > before
    )
    bulk = (await at(world, world.owner, "GET", "/members/capabilities")).json()["members"]
    assert bulk[-1] == {"user_id": person.user_id, "role": "MANAGER", "capabilities": ["chat"]}
    assert bulk[:-1] == [
        {"user_id": getattr(world, role.lower()).user_id, "role": role, "capabilities": held}
        for role, held in DEFAULTS.items()
    ]


async def test_a_stored_set_that_says_nothing_is_chat_only(world: World) -> None:
    person = await world.person("odd", Role.MANAGER)
    for kept, expected in (([], ["chat"]), ({"a": 1}, ["chat"]), (["fly", "issue.create"], ["chat", "issue.create"])):
        await world.database.execute(
            "UPDATE memberships SET capabilities = $1 WHERE id = $2", kept, person.membership_id
        )
        assert (await at(world, world.admin, "GET", f"/members/{person.user_id}/capabilities")).json()[
            "capabilities"
        ] == expected


@each_of(
    "body",
    [
        {},
        {"set": [], "grant": [], "revoke": []},
        {"set": None},
        {"grant": ["issue.create"], "revoke": ["memory.write"]},
        {"set": ["chat"], "preset": "chat"},
        {"grant": ["fly"]},
        {"grant": ["ISSUE.CREATE"]},
        {"grant": [1]},
        {"grant": [None]},
        {"grant": "issue.create"},
        {"revoke": ["chat"]},
        {"revoke": ["issue.create", "chat"]},
        {"preset": "owner"},
        {"preset": 1},
        [],
    ],
)
async def test_a_bad_change_is_refused_and_writes_nothing(world: World, body: Any) -> None:
    before = await world.snapshot()
    assert (await change(world, world.owner, world.member.user_id, body)).status_code == 400
    assert await world.snapshot() == before


async def test_refusals_come_in_the_order_of_the_contract(world: World) -> None:
    bad, large = {"grant": ["fly"]}, {"grant": ["issue.create"] * 2000}
    own, unknown, owner = (
        (403, "You cannot change your own capabilities"),
        (404, "Member not found"),
        (403, "An owner's capabilities cannot be changed"),
    )
    before = await world.snapshot()
    for body in (bad, large):
        for person in (world.manager, world.member, world.viewer):
            for target in (person.user_id, new_id(), world.owner.user_id):
                assert outcome(await change(world, person, target, body)) == (403, "Forbidden")
        assert outcome(await change(world, world.admin, world.admin.user_id, body)) == own
        assert outcome(await change(world, world.owner, world.owner.user_id, body)) == own
        assert outcome(await change(world, world.admin, new_id(), body)) == unknown
        assert outcome(await change(world, world.admin, world.owner.user_id, body)) == owner
    assert outcome(await change(world, world.admin, world.member.user_id, large)) == (413, "Request body too large")
    assert await world.snapshot() == before


async def test_the_body_may_be_sixteen_kib(world: World) -> None:
    path = f"/api/v1/workspaces/{world.workspace.slug}/members/{world.viewer.user_id}/capabilities"
    content = orjson.dumps({"preset": "chat"})
    async with world.client(world.owner) as client:
        assert (await client.patch(path, content=content.ljust(16 * 1024))).status_code == 200
        assert (await client.patch(path, content=content.ljust(16 * 1024 + 1))).status_code == 413


async def test_changes_at_once_follow_each_other(world: World) -> None:
    person = await world.person("busy", Role.VIEWER)
    wanted = [name for name in ADMIN if name != "chat"]
    answers = await asyncio.gather(*[change(world, world.owner, person.user_id, {"grant": [name]}) for name in wanted])
    assert [a.status_code for a in answers] == [200] * len(wanted)
    assert await stored(world, person) == ADMIN


async def test_a_set_goes_with_its_membership(world: World) -> None:
    person = await world.person("returning", Role.MEMBER)
    await change(world, world.owner, person.user_id, {"preset": "admin"})
    await at(world, world.owner, "DELETE", f"/members/{person.membership_id}")
    await at(world, world.owner, "POST", "/members", {"user_id": person.user_id})
    assert (await at(world, world.owner, "GET", f"/members/{person.user_id}/capabilities")).json()["capabilities"] == [
        "chat"
    ]
    assert (await call(world, person, "GET")).json()[0]["currentUserRole"] == "MEMBER"
