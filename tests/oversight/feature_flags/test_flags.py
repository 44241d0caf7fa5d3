"""REST: feature flags, as the contract states them."""

import asyncio
from typing import Any

import pytest

from tests.every import each_of
from tests.world import Person, World

pytestmark = pytest.mark.anyio
FLAGS = "/api/v1/feature-flags"


async def created(world: World, key: str, **more: Any) -> dict[str, Any]:
    answer = await world.rest(world.owner, "POST", FLAGS, {"key": key, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def listed(world: World, person: Person, workspace: str = "") -> dict[str, dict[str, Any]]:
    return {flag["key"]: flag for flag in (await world.rest(person, "GET", FLAGS, workspace=workspace)).json()}


async def told(world: World, since: int) -> list[tuple[str, str, dict[str, Any]]]:
    return [(event["channel"], event["type"], event["payload"]) for event in await world.events(since)]


async def last_event(world: World) -> int:
    return max([event["seq"] for event in await world.events()], default=0)


async def test_a_new_flag_is_off_and_told_to_the_workspace_it_was_made_in(world: World) -> None:
    since = await last_event(world)
    flag = await created(world, "new")
    assert flag == {
        "id": flag["id"],
        "key": "new",
        "description": None,
        "enabled": False,
        "percentage": 0,
        "created_at": flag["created_at"],
        "updated_at": flag["created_at"],
    }
    assert await told(world, since) == [(f"workspace:{world.workspace.id}", "feature_flag.created", {"key": "new"})]
    assert [row["action"] for row in await world.audit()][-1:] == ["feature_flag.created"]


async def test_flags_are_of_the_instance_and_listed_by_key(world: World) -> None:
    for key in ("order.b", "order.a", "Order", "order.ä"):
        await created(world, key, description="")
    here, elsewhere = await listed(world, world.viewer), await listed(world, world.outsider, world.other.id)
    assert here == elsewhere
    assert [key for key in here if key.lower().startswith("order")] == ["Order", "order.a", "order.b", "order.ä"]
    assert here["Order"]["description"] == "", "an empty text stays one when a flag is made"
    assert (
        await world.rest(world.outsider, "POST", FLAGS, {"key": "Order"}, workspace=world.other.id)
    ).status_code == (409)


@each_of(
    ("body", "status"),
    [
        ({}, 400),
        ({"key": ""}, 400),
        ({"key": 1}, 400),
        ({"key": "k" * 601}, 400),
        ({"key": "k", "percentage": 101}, 400),
        ({"key": "k", "percentage": -1}, 400),
        ({"key": "k", "percentage": 1.5}, 400),
        ({"key": "k", "enabled": "true"}, 400),
        ({"key": "taken"}, 409),
    ],
)
async def test_a_bad_flag_is_refused_and_writes_nothing(world: World, body: dict[str, Any], status: int) -> None:
    if "taken" not in await listed(world, world.owner):
        await created(world, "taken")
    before = await world.snapshot()
    assert (await world.rest(world.owner, "POST", FLAGS, body)).status_code == status
    assert await world.snapshot() == before


async def test_the_names_of_the_manifest_are_unknown_fields(world: World) -> None:
    flag = await created(world, "manifest", default_enabled=True, default_percentage=100)
    assert (flag["enabled"], flag["percentage"]) == (False, 0)


async def test_an_update_changes_what_is_sent(world: World) -> None:
    flag = await created(world, "odd key/1", description="Odd")
    path, since = f"{FLAGS}/odd%20key%2F1", await last_event(world)
    changed = (await world.rest(world.admin, "PATCH", path, {"enabled": True, "percentage": 100})).json()
    assert changed == flag | {"enabled": True, "percentage": 100, "updated_at": changed["updated_at"]}
    kept = (await world.rest(world.admin, "PATCH", path, {"description": None, "percentage": 7, "key": "x"})).json()
    assert (kept["key"], kept["description"], kept["percentage"]) == ("odd key/1", "Odd", 7)
    assert (await world.rest(world.admin, "PATCH", path, {"description": ""})).json()["description"] is None
    assert [type for _, type, _ in await told(world, since)] == ["feature_flag.updated"] * 3


async def test_an_update_of_nothing_is_refused_after_its_flag_is_looked_for(world: World) -> None:
    await created(world, "still")
    before = await world.snapshot()
    bodies: list[dict[str, Any]] = [{}, {"unknown": 1}, {"enabled": None, "description": None}, {"percentage": 1.5}]
    for body in bodies:
        assert (await world.rest(world.owner, "PATCH", f"{FLAGS}/still", body)).status_code == 400, body
        assert (await world.rest(world.owner, "PATCH", f"{FLAGS}/unknown", body)).status_code == 404, body
        assert (await world.rest(world.manager, "PATCH", f"{FLAGS}/unknown", body)).status_code == 403, body
    assert await world.snapshot() == before


async def test_an_edit_of_an_outdated_flag_is_refused(world: World) -> None:
    await created(world, "contested")
    path = f"{FLAGS}/contested"
    tag = (await world.rest(world.owner, "PATCH", path, {"percentage": 1})).headers["etag"]
    first, second = [
        await world.rest(world.owner, "PATCH", path, {"percentage": n}, **{"if-match": tag}) for n in (2, 3)
    ]
    assert (first.status_code, second.status_code) == (200, 412)
    assert (await listed(world, world.owner))["contested"]["percentage"] == 2


async def test_an_override_is_seen_in_its_workspace_alone(world: World) -> None:
    flag, since = await created(world, "override", enabled=True), await last_event(world)
    path = f"{FLAGS}/override/override"
    for enabled in (True, False, False):
        answer = await world.rest(world.admin, "PUT", path, {"enabled": enabled})
        assert (answer.status_code, answer.json()) == (200, {"key": "override", "enabled": enabled})
    set_here = (f"workspace:{world.workspace.id}", "feature_flag.override_set", {"key": "override"})
    assert await told(world, since) == [set_here] * 3
    assert (await listed(world, world.viewer))["override"] == flag | {"override_enabled": False}
    assert (await listed(world, world.outsider, world.other.id))["override"] == flag
    changed = await world.rest(world.owner, "PATCH", f"{FLAGS}/override", {"percentage": 5})
    assert changed.json()["override_enabled"] is False
    since = await last_event(world)
    for _ in range(2):
        assert (await world.rest(world.admin, "DELETE", path)).status_code == 204
    cleared = (f"workspace:{world.workspace.id}", "feature_flag.override_cleared", {"key": "override"})
    assert await told(world, since) == [cleared], "the second time nothing was removed"
    assert "override_enabled" not in (await listed(world, world.viewer))["override"]


async def test_a_workspace_clears_no_override_of_another(world: World) -> None:
    await created(world, "guarded")
    path = f"{FLAGS}/guarded/override"
    await world.rest(world.owner, "PUT", path, {"enabled": True})
    assert (await world.rest(world.outsider, "DELETE", path, workspace=world.other.id)).status_code == 204
    assert (await listed(world, world.viewer))["guarded"]["override_enabled"] is True


async def test_a_bad_override_is_refused_before_its_flag_is_looked_for(world: World) -> None:
    before = await world.snapshot()
    bodies: list[dict[str, Any]] = [{}, {"enabled": None}, {"enabled": "true"}]
    for body in bodies:
        assert (await world.rest(world.owner, "PUT", f"{FLAGS}/unknown/override", body)).status_code == 400, body
    assert (await world.rest(world.owner, "PUT", f"{FLAGS}/unknown/override", {"enabled": True})).status_code == 404
    assert (await world.rest(world.owner, "DELETE", f"{FLAGS}/unknown/override")).status_code == 404
    assert (await world.rest(world.manager, "PUT", f"{FLAGS}/unknown/override", {})).status_code == 403
    assert await world.snapshot() == before


async def test_a_deleted_flag_takes_the_overrides_of_every_workspace_along(world: World) -> None:
    flag = await created(world, "going")
    await world.rest(world.owner, "PUT", f"{FLAGS}/going/override", {"enabled": True})
    await world.rest(world.outsider, "PUT", f"{FLAGS}/going/override", {"enabled": True}, workspace=world.other.id)
    overrides = "SELECT count(*) FROM feature_flag_overrides WHERE flag_id = $1"
    assert await world.database.fetchval(overrides, flag["id"]) == 2
    since = await last_event(world)
    gone = await world.rest(world.admin, "DELETE", f"{FLAGS}/going")
    assert (gone.status_code, gone.content) == (204, b"")
    assert await told(world, since) == [(f"workspace:{world.workspace.id}", "feature_flag.deleted", {"key": "going"})]
    assert await world.database.fetchval(overrides, flag["id"]) == 0
    assert (await world.rest(world.admin, "DELETE", f"{FLAGS}/going")).status_code == 404


async def test_a_flag_that_is_deleted_meanwhile_keeps_no_override(world: World) -> None:
    """Each of them is done, or finds no flag: nothing else is answered, and nothing is left behind."""
    for n in range(5):
        await created(world, f"race.{n}")
        path = f"{FLAGS}/race.{n}"
        put, gone = await asyncio.gather(
            world.rest(world.owner, "PUT", f"{path}/override", {"enabled": True}),
            world.rest(world.admin, "DELETE", path),
        )
        assert (put.status_code in (200, 404), gone.status_code) == (True, 204), put.text
    assert not [key for key in await listed(world, world.owner) if key.startswith("race.")]


async def test_a_flag_is_an_object_of_its_own_in_each_workspace(world: World) -> None:
    async def seen(person: Person, workspace: str) -> dict[str, Any]:
        asked = f'{{ featureFlags(workspaceId: "{workspace}") {{ id key overrideEnabled }} }}'
        flags = (await world.graphql(person, asked))["data"]["featureFlags"]
        return next(flag for flag in flags if flag["key"] == "apart")

    flag = await created(world, "apart")
    ours, theirs = await seen(world.owner, world.workspace.id), await seen(world.outsider, world.other.id)
    assert ours["id"] != theirs["id"]
    assert ours["id"].startswith(flag["id"])
    made = await world.graphql(
        world.owner,
        'mutation($ws: ID) { setFeatureFlagOverride(workspaceId: $ws, input: {key: "apart", enabled: true}) { id } }',
    )
    assert made["data"]["setFeatureFlagOverride"] == {"id": ours["id"]}
    gone = await world.graphql(
        world.owner, 'mutation($ws: ID) { deleteFeatureFlag(workspaceId: $ws, input: {key: "apart"}) { id } }'
    )
    assert gone["data"]["deleteFeatureFlag"] == {"id": ours["id"]}
