"""Saved views on both surfaces: what is stored as sent, who sees which, and that nobody changes another one's."""

from typing import Any

import pytest

from tests.world import Person, World

pytestmark = pytest.mark.anyio
VIEWS = "/api/v1/saved-views"
LIST = "query($ws: ID) { savedViews(workspaceId: $ws) { name owner { fullName } } }"
EDGE = "query($ws: ID) { workspace(id: $ws) { savedViews { name } } }"
UPDATE = (
    "mutation($ws: ID, $in: UpdateSavedViewInput!, $v: Int) {"
    " updateSavedView(workspaceId: $ws, input: $in, ifVersion: $v) { name version } }"
)


@pytest.fixture(autouse=True)
async def nothing_saved(world: World) -> None:
    await world.database.execute("DELETE FROM saved_views")


async def saved(world: World, person: Person, name: str = "Mine", **fields: Any) -> dict[str, Any]:
    answer = await world.rest(person, "POST", VIEWS, {"name": name, "filters_json": "{}", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def names(world: World, person: Person) -> list[str]:
    """As both surfaces list them."""
    rest = [view["name"] for view in (await world.rest(person, "GET", VIEWS)).json()]
    answer = (await world.graphql(person, LIST))["data"]["savedViews"]
    below = (await world.graphql(person, EDGE))["data"]["workspace"]["savedViews"]
    assert rest == [view["name"] for view in answer] == [view["name"] for view in below]
    return rest


async def test_a_view_is_stored_as_it_was_sent(world: World) -> None:
    view = await saved(world, world.manager, "No JSON", filters_json="no json", is_default=True, owner="somebody")
    assert view == {key: view[key] for key in ("id", "created_at")} | {
        "name": "No JSON", "filters_json": "no json", "sort_json": None, "view_type": "list", "is_default": False,
        "shared": False,
    }  # fmt: skip
    path, sent = f"{VIEWS}/{view['id']}", {"sort_json": "", "view_type": "board", "is_default": True, "shared": True}
    changed = await world.rest(world.manager, "PATCH", path, sent)
    assert (changed.status_code, changed.json()) == (200, view | sent)
    assert (await world.rest(world.manager, "PATCH", path, {"sort_json": None})).json()["sort_json"] is None
    assert (await world.rest(world.manager, "DELETE", path)).status_code == 204
    assert (await world.rest(world.manager, "DELETE", path)).status_code == 404


async def test_the_own_and_the_shared_ones_are_listed_defaults_first(world: World) -> None:
    await saved(world, world.manager, "b")
    await saved(world, world.manager, "a")
    await saved(world, world.admin, "shared", shared=True)
    await saved(world, world.admin, "private")
    first = await saved(world, world.manager, "c")
    await world.rest(world.manager, "PATCH", f"{VIEWS}/{first['id']}", {"is_default": True})
    assert await names(world, world.manager) == ["c", "a", "b", "shared"]
    assert await names(world, world.admin) == ["private", "shared"]
    assert await names(world, world.viewer) == ["shared"]
    owner = (await world.graphql(world.viewer, LIST))["data"]["savedViews"][0]["owner"]
    assert owner == {"fullName": "Admin Example"}


async def test_one_default_does_not_demote_another(world: World) -> None:
    for name in ("a", "b"):
        view = await saved(world, world.owner, name)
        await world.rest(world.owner, "PATCH", f"{VIEWS}/{view['id']}", {"is_default": True})
    assert [view["is_default"] for view in (await world.rest(world.owner, "GET", VIEWS)).json()] == [True, True]


@pytest.mark.parametrize("shared", [False, True])
async def test_nobody_changes_the_view_of_another(world: World, shared: bool) -> None:
    view = await saved(world, world.admin, shared=shared)
    path, before = f"{VIEWS}/{view['id']}", await world.snapshot()
    for person in (world.owner, world.manager, world.member, world.viewer):
        assert (await world.rest(person, "PATCH", path, {"name": "x"})).status_code == 403
        assert (await world.rest(person, "DELETE", path)).status_code == 403
    answer = await world.graphql(world.owner, UPDATE, {"in": {"id": view["id"], "name": "x"}})
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    for method, body in (("PATCH", {"name": "x"}), ("DELETE", None)):
        elsewhere = await world.rest(world.outsider, method, path, body, workspace=world.other.id)
        assert elsewhere.status_code == 404
    assert await world.snapshot() == before


async def test_an_owner_deletes_a_view_whatever_became_of_the_role(world: World) -> None:
    view = await saved(world, world.manager)
    role = "UPDATE memberships SET role = $1 WHERE user_id = $2"
    try:
        await world.database.execute(role, "VIEWER", world.manager.user_id)
        path = f"{VIEWS}/{view['id']}"
        assert (await world.rest(world.manager, "PATCH", path, {"name": "x"})).status_code == 403
        assert (await world.rest(world.manager, "DELETE", path)).status_code == 204
    finally:
        await world.database.execute(role, "MANAGER", world.manager.user_id)


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"filters_json": ""},
        {"filters_json": {"a": 1}},
        {"view_type": "grid"},
        {"shared": "yes"},
        {"name": 1},
        {"sort_json": 1},
        {"name": "x" * 601},
        {"filters_json": "x" * 64_001},
    ],
)
async def test_a_bad_view_is_refused_and_writes_nothing(world: World, body: dict[str, Any]) -> None:
    view = await saved(world, world.owner)
    before = await world.snapshot()
    created = await world.rest(world.owner, "POST", VIEWS, {"name": "x", "filters_json": "{}"} | body)
    changed = await world.rest(world.owner, "PATCH", f"{VIEWS}/{view['id']}", body)
    assert (created.status_code, changed.status_code) == (400, 400)
    assert next(iter(body)) in changed.json()["fields"]
    assert await world.snapshot() == before


async def test_nothing_to_update_is_refused_and_an_old_version_too(world: World) -> None:
    view = await saved(world, world.owner)
    for body in ({}, {"name": None, "is_default": None}, {"unknown": 1}):
        assert (await world.rest(world.owner, "PATCH", f"{VIEWS}/{view['id']}", body)).status_code == 400
    assert (await world.graphql(world.owner, UPDATE, {"in": {"id": view["id"], "name": "b"}, "v": 1}))["data"] == {
        "updateSavedView": {"name": "b", "version": 2}
    }
    again = await world.graphql(world.owner, UPDATE, {"in": {"id": view["id"], "name": "c"}, "v": 1})
    assert again["errors"][0]["extensions"]["code"] == "PRECONDITION_FAILED"


async def test_views_go_with_their_owner(world: World) -> None:
    person = await world.person("leaver", None)
    await world.database.execute(
        "INSERT INTO saved_views"
        " (id, workspace_id, user_id, name, filters_json, view_type, is_default, shared, version)"
        " VALUES ('cleaver', $1, $2, 'x', '{}', 'list', false, true, 1)",
        world.workspace.id,
        person.user_id,
    )
    await world.database.execute("DELETE FROM users WHERE id = $1", person.user_id)
    assert await names(world, world.viewer) == []
