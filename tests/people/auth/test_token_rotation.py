"""Rotation of CLI tokens, and the warning before one ends."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from models.people.auth import CliToken
from models.people.workspaces import Role
from tests.every import each_of
from tests.people.auth.browsers import Browser
from tests.people.auth.test_cli_tokens import create, use
from tests.world import Person, World

pytestmark = pytest.mark.anyio
LIST = "/api/v1/auth/cli-tokens"


async def rotate(world: World, person: Person, id: str, **body: Any) -> httpx2.Response:
    return await world.rest(person, "POST", f"{LIST}/{id}/rotate", body, workspace=None)


async def row_of(world: World, id: str) -> Any:
    return await world.database.fetchrow("SELECT * FROM cli_tokens WHERE id = $1", id)


async def test_a_rotated_token_ends_at_once_and_its_successor_is_like_it(world: World) -> None:
    old = (await create(world, world.admin, name="ci", scopes=["crews:read"], expires_in_seconds=5000)).json()
    answer = await rotate(world, world.admin, old["id"])
    new = answer.json()
    assert answer.status_code == 200, answer.text
    assert [new[key] for key in ("name", "tier", "scopes")] == ["ci", "STANDARD", ["crews:read"]]
    assert re.fullmatch("crewship_cli_[0-9a-f]{64}", new["token"])
    assert new["token"] != old["token"]
    assert new["id"] != old["id"]
    lives = datetime.fromisoformat(new["expires_at"]) - datetime.fromisoformat(new["created_at"])
    assert lives == timedelta(seconds=5000)
    assert ((await use(world, old["token"])).status_code, (await use(world, new["token"])).status_code) == (401, 200)
    before, after = await row_of(world, old["id"]), await row_of(world, new["id"])
    assert before["rotated_at"] == before["revoked_at"]
    assert (after["rotated_at"], after["revoked_at"], after["user_id"]) == (None, None, world.admin.user_id)


async def test_within_the_overlap_both_are_good(world: World) -> None:
    old = (await create(world, world.admin)).json()
    new = (await rotate(world, world.admin, old["id"], overlap_seconds=600)).json()
    assert "expires_at" not in new
    assert ((await use(world, old["token"])).status_code, (await use(world, new["token"])).status_code) == (200, 200)
    row = await row_of(world, old["id"])
    assert row["revoked_at"] is None
    assert row["expires_at"] - row["rotated_at"] == timedelta(seconds=600)
    await world.database.execute("UPDATE cli_tokens SET expires_at = now() WHERE id = $1", old["id"])
    assert ((await use(world, old["token"])).status_code, (await use(world, new["token"])).status_code) == (401, 200)


async def test_an_overlap_is_no_longer_life(world: World) -> None:
    old = (await create(world, world.admin, expires_in_seconds=300)).json()
    assert (await rotate(world, world.admin, old["id"], overlap_seconds=604800)).status_code == 200
    assert (await row_of(world, old["id"]))["expires_at"] == datetime.fromisoformat(old["expires_at"]).replace(
        microsecond=(await row_of(world, old["id"]))["expires_at"].microsecond
    )


@each_of("overlap", [-1, 604801, "60", 1.5, True, 10**30])
async def test_an_overlap_has_a_bound(world: World, overlap: Any) -> None:
    old = (await create(world, world.admin)).json()
    before = await world.snapshot()
    answer = await rotate(world, world.admin, old["id"], overlap_seconds=overlap)
    assert (answer.status_code, "overlap_seconds" in answer.json()["error"]) == (400, True)
    assert await world.snapshot() == before


async def test_an_admin_token_keeps_its_tier_and_its_bound(world: World) -> None:
    old = (await create(world, world.owner, tier="ADMIN", expires_in_seconds=604800)).json()
    new = (await rotate(world, world.owner, old["id"])).json()
    assert new["tier"] == "ADMIN"
    assert re.fullmatch("crewship_admin_[0-9a-f]{64}", new["token"])
    row = await row_of(world, new["id"])
    assert abs(row["expires_at"] - row["created_at"] - timedelta(days=7)) < timedelta(milliseconds=100)
    assert ((await use(world, old["token"])).status_code, (await use(world, new["token"])).status_code) == (401, 200)


@pytest.mark.parametrize(
    ("sets", "text"),
    [
        ("revoked_at = now()", "expired"),
        ("expires_at = now()", "expired"),
        ("rotated_at = now(), expires_at = now() + interval '1 hour'", "already rotated"),
    ],
)
async def test_what_has_ended_or_has_a_successor_is_not_rotated(world: World, sets: str, text: str) -> None:
    old = (await create(world, world.admin)).json()
    await world.database.execute(f"UPDATE cli_tokens SET {sets} WHERE id = $1", old["id"])
    before = await world.snapshot()
    answer = await rotate(world, world.admin, old["id"], overlap_seconds=60)
    assert (answer.status_code, text in answer.json()["error"]) == (409, True)
    assert await world.snapshot() == before


@pytest.mark.parametrize("overlap", [0, 60])
async def test_of_rotations_that_race_exactly_one_wins(world: World, overlap: int) -> None:
    old = (await create(world, world.admin, name=f"race {overlap}")).json()
    answers = await asyncio.gather(*(rotate(world, world.admin, old["id"], overlap_seconds=overlap) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    count = "SELECT count(*) FROM cli_tokens WHERE name = $1"
    assert await world.database.fetchval(count, f"race {overlap}") == 2


async def test_nobody_rotates_the_token_of_somebody_else(world: World) -> None:
    old = (await create(world, world.member)).json()
    before = await world.snapshot()
    for id in (old["id"], "c" + "0" * 24):
        answer = await rotate(world, world.owner, id)
        assert (answer.status_code, answer.json()["error"]) == (404, "CLI token not found")
    assert await world.snapshot() == before


async def test_a_token_beyond_the_role_of_today_is_not_made_anew(world: World) -> None:
    person = await world.person("sinker", Role.ADMIN)
    old = (await create(world, person, scopes=["workspace:admin"])).json()
    await world.database.execute("UPDATE memberships SET role = 'MEMBER' WHERE user_id = $1", person.user_id)
    assert (await rotate(world, person, old["id"])).status_code == 403
    assert (await use(world, old["token"])).status_code == 200


async def test_a_token_with_scopes_rotates_none_not_even_itself(world: World) -> None:
    made = (await create(world, world.owner, scopes=["*"])).json()
    answer = await Browser(world.url).send(
        "POST", f"{LIST}/{made['id']}/rotate", headers={"authorization": f"Bearer {made['token']}"}
    )
    assert answer.status_code == 403


async def test_a_rotation_in_graphql(world: World) -> None:
    old = (await create(world, world.admin, name="graph")).json()
    document = "mutation($in: RotateCliTokenInput!) { rotateCliToken(input: $in) { token id name } }"
    given = {"in": {"id": old["id"], "overlapSeconds": 60}}
    made = (await world.graphql(world.admin, document, given))["data"]["rotateCliToken"]
    assert made["name"] == "graph"
    again = await world.graphql(world.admin, document, given)
    assert again["errors"][0]["extensions"]["code"] == "CONFLICT"
    tokens = (await world.graphql(world.admin, "{ cliTokens { id rotatedAt expiresSoon } }"))["data"]["cliTokens"]
    seen = {token["id"]: token for token in tokens}
    assert (seen[old["id"]]["rotatedAt"] is not None, seen[old["id"]]["expiresSoon"]) == (True, False)
    assert seen[made["id"]] == {"id": made["id"], "rotatedAt": None, "expiresSoon": False}


@each_of(
    ("lived", "left", "soon"),
    [
        (90, 8, False),
        (90, 6, True),
        (0.7, 0.3, False),
        (0.8, 0.2, True),
        (90, -1, False),
        (90, None, False),
    ],
)
async def test_a_token_warns_before_it_ends(world: World, lived: float, left: float | None, soon: bool) -> None:
    """In days."""
    person = await world.person(f"warned-{lived}-{left}", Role.VIEWER)
    now = datetime.now(UTC)
    until = None if left is None else now + timedelta(days=left)
    created = now - timedelta(days=lived)
    token = CliToken(user_id=person.user_id, name="old", token_hash=person.name, created_at=created, expires_at=until)
    await world.add(token)

    async def warned() -> bool:
        listed = (await world.rest(person, "GET", LIST, workspace=None)).json()["data"]
        return next(one["expires_soon"] for one in listed if one["id"] == token.id)  # type: ignore[no-any-return]

    assert await warned() is soon
    await world.database.execute("UPDATE cli_tokens SET revoked_at = now() WHERE id = $1", token.id)
    assert await warned() is False
