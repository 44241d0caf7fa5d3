"""REST: labels, as the contract states them."""

import pytest

from tests.every import each_of
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_a_label_lives(world: World) -> None:
    made = await world.rest(world.manager, "POST", "/api/v1/labels", {"name": "bug", "color": "#f00"})
    assert made.status_code == 201
    label = made.json()
    assert label == {"id": label["id"], "name": "bug", "color": "#f00", "label_group": None}
    changed = await world.rest(world.admin, "PATCH", f"/api/v1/labels/{label['id']}", {"label_group": "kind"})
    assert changed.json() == label | {"label_group": "kind"}
    assert (await world.rest(world.viewer, "GET", "/api/v1/labels")).json() == [changed.json()]
    gone = await world.rest(world.admin, "DELETE", f"/api/v1/labels/{label['id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    assert (await world.rest(world.viewer, "GET", "/api/v1/labels")).json() == []
    assert (await world.rest(world.admin, "DELETE", f"/api/v1/labels/{label['id']}")).status_code == 404


async def test_labels_are_listed_by_name(world: World) -> None:
    for name in ("b", "a", "B"):
        await world.rest(world.owner, "POST", "/api/v1/labels", {"name": name, "color": "x"})
    assert [label["name"] for label in (await world.rest(world.member, "GET", "/api/v1/labels")).json()] == [
        "B",
        "a",
        "b",
    ]


@each_of(
    ("body", "status"),
    [
        ({}, 400),
        ({"name": "", "color": "x"}, 400),
        ({"name": "x", "color": ""}, 400),
        ({"name": 1, "color": "x"}, 400),
        ({"name": "taken", "color": "x"}, 409),
    ],
)
async def test_a_bad_label_is_refused_and_writes_nothing(world: World, body: dict[str, object], status: int) -> None:
    await world.rest(world.owner, "POST", "/api/v1/labels", {"name": "taken", "color": "x"})
    before = await world.snapshot()
    answer = await world.rest(world.owner, "POST", "/api/v1/labels", body)
    assert answer.status_code == status
    assert answer.json()["error"] == answer.json()["detail"]
    assert await world.snapshot() == before


async def test_an_update_of_nothing_is_refused(world: World) -> None:
    label = (await world.rest(world.owner, "POST", "/api/v1/labels", {"name": "still", "color": "x"})).json()
    for body in ({}, {"unknown": 1}, {"name": None}):
        assert (await world.rest(world.owner, "PATCH", f"/api/v1/labels/{label['id']}", body)).status_code == 400


async def test_a_bad_update_is_refused_before_its_label_is_looked_for(world: World) -> None:
    """The contract has this order for labels alone; the role comes first all the same."""
    for body, status in (({}, 400), ({"name": ""}, 400), ({"name": 1}, 400), ({"name": "x"}, 404)):
        answer = await world.rest(world.owner, "PATCH", "/api/v1/labels/cunknown0000000000000", body)
        assert answer.status_code == status, (body, answer.text)
    assert (await world.rest(world.manager, "PATCH", "/api/v1/labels/cunknown0000000000000", {})).status_code == 403
