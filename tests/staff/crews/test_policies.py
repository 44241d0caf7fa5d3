"""Policies of crews, as the contract states them."""

from typing import Any

import pytest

from models.base import new_id
from models.staff.crews import Crew
from tests.every import each_of
from tests.world import World

pytestmark = pytest.mark.anyio
STRICT = {"autonomy_level": "strict", "behavior_mode": "block"}
FULL = {"autonomy_level": "full", "behavior_mode": "warn", "reason": "They have earned it"}


async def crew(world: World, name: str = "Engine", **given: Any) -> Crew:
    row = Crew(name=name, slug=new_id(), **({"workspace_id": world.workspace.id} | given))
    await world.add(row)
    return row


def path(row: Crew) -> str:
    return f"/api/v1/crews/{row.id}/policy"


async def test_a_policy_that_nobody_has_set_is_guided_and_warns(world: World) -> None:
    row = await crew(world)
    answer = await world.rest(world.viewer, "GET", path(row))
    assert answer.status_code == 200
    assert answer.json() == {"crew_id": row.id, "autonomy_level": "guided", "behavior_mode": "warn"}


async def test_all_is_replaced_together_and_says_who_has_set_it(world: World) -> None:
    row = await crew(world)
    sent = {"autonomy_level": " full ", "behavior_mode": "\twarn", "reason": "  They have earned it \n"}
    answer = await world.rest(world.manager, "PUT", path(row), sent)
    assert answer.status_code == 200
    first = answer.json()
    set_at = "SELECT policy_set_at FROM crews WHERE id = $1"
    before = await world.database.fetchval(set_at, row.id)
    assert first == {"crew_id": row.id, **FULL, "set_by_user_id": world.manager.user_id, "set_at": first["set_at"]}
    assert (await world.rest(world.viewer, "GET", path(row))).json() == first
    second = (await world.rest(world.owner, "PUT", path(row), STRICT)).json()
    assert second == {"crew_id": row.id, **STRICT, "set_by_user_id": world.owner.user_id, "set_at": second["set_at"]}
    assert await world.database.fetchval(set_at, row.id) > before
    blank = (await world.rest(world.owner, "PUT", path(row), STRICT | {"reason": "  "})).json()
    assert "reason" not in blank


async def test_to_set_a_policy_changes_the_version_of_the_crew_and_not_its_time(world: World) -> None:
    row = await crew(world)
    read = f"/api/v1/crews/{row.id}"
    before = await world.rest(world.admin, "GET", read)
    assert (await world.rest(world.admin, "PUT", path(row), STRICT)).status_code == 200
    after = await world.rest(world.admin, "GET", read)
    assert after.json() == before.json()
    tag = before.headers["etag"]
    assert after.headers["etag"] != tag
    assert (await world.rest(world.owner, "PUT", path(row), FULL, **{"if-match": tag})).status_code == 412
    assert (await world.rest(world.admin, "PATCH", read, {"name": "Deck"}, **{"if-match": tag})).status_code == 412
    assert (await world.rest(world.admin, "GET", path(row))).json()["autonomy_level"] == "strict"


@each_of(
    "body",
    [
        {},
        {"autonomy_level": "strict"},
        {"behavior_mode": "warn"},
        {"autonomy_level": None, "behavior_mode": None},
        STRICT | {"autonomy_level": "Strict"},
        STRICT | {"autonomy_level": "reckless"},
        STRICT | {"behavior_mode": "ignore"},
        STRICT | {"autonomy_level": 1},
        STRICT | {"reason": 1},
        STRICT | {"reason": "r" * 10_001},
        FULL | {"behavior_mode": "block"},
        FULL | {"reason": " "},
        {"autonomy_level": "full", "behavior_mode": "warn"},
    ],
)
async def test_a_bad_policy_is_refused_before_its_crew_is_looked_for(world: World, body: dict[str, Any]) -> None:
    row, unknown = await crew(world), f"/api/v1/crews/{new_id()}/policy"
    before = await world.snapshot()
    for where in (path(row), unknown):
        assert (await world.rest(world.manager, "PUT", where, body)).status_code == 400
        assert (await world.rest(world.member, "PUT", where, body)).status_code == 403
    assert await world.snapshot() == before


async def test_a_crew_that_is_not_there_has_no_policy(world: World) -> None:
    gone, foreign = await crew(world), await crew(world, workspace_id=world.other.id)
    await world.rest(world.owner, "DELETE", f"/api/v1/crews/{gone.id}")
    before = await world.snapshot()
    for where in (path(gone), path(foreign), f"/api/v1/crews/{new_id()}/policy"):
        assert (await world.rest(world.owner, "GET", where)).status_code == 404
        assert (await world.rest(world.owner, "PUT", where, STRICT)).status_code == 404
    assert await world.snapshot() == before


async def test_every_live_crew_is_listed_by_name_ignoring_case(world: World) -> None:
    await world.database.execute("DELETE FROM crews")
    rows = [await crew(world, name) for name in ("bridge", "Anchor", "deck", "Cargo")]
    await crew(world, "Abroad", workspace_id=world.other.id)
    await world.rest(world.owner, "PUT", path(rows[1]), FULL)
    await world.rest(world.owner, "DELETE", f"/api/v1/crews/{rows[2].id}")
    listed = (await world.rest(world.viewer, "GET", "/api/v1/policies")).json()
    assert [policy["crew_id"] for policy in listed] == [rows[1].id, rows[0].id, rows[3].id]
    assert [policy.get("reason") for policy in listed] == [FULL["reason"], None, None]
    assert "set_at" not in listed[1]


async def test_graphql_has_the_same_policies(world: World) -> None:
    await world.database.execute("DELETE FROM crews")
    row = await crew(world)
    document = """mutation($ws: ID, $in: SetPolicyInput!) { setCrewPolicy(workspaceId: $ws, input: $in) {
        id autonomyLevel behaviorMode policyReason policySetByUserId version } }"""
    sent = {"crewId": row.id, "autonomyLevel": "full", "behaviorMode": "warn"}
    refused = await world.graphql(world.manager, document, {"in": sent})
    assert refused["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    answer = await world.graphql(world.manager, document, {"in": sent | {"reason": "Why not"}})
    shown = {"id": row.id, "autonomyLevel": "full", "behaviorMode": "warn", "policyReason": "Why not"}
    assert answer["data"]["setCrewPolicy"] == shown | {"policySetByUserId": world.manager.user_id, "version": 2}
    read = "query($ws: ID, $id: ID!) { crewPolicy(workspaceId: $ws, crewId: $id) { policyReason }"
    read += " crewPolicies(workspaceId: $ws) { id autonomyLevel } }"
    data = (await world.graphql(world.viewer, read, {"id": row.id}))["data"]
    expected = {"crewPolicy": {"policyReason": "Why not"}, "crewPolicies": [{"id": row.id, "autonomyLevel": "full"}]}
    assert data == expected
