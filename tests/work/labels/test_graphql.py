"""GraphQL: labels."""

import pytest

from tests.world import World

pytestmark = pytest.mark.anyio


async def test_a_label_lives(world: World) -> None:
    document = (
        "mutation($ws: ID, $in: CreateLabelInput!) {"
        " createLabel(workspaceId: $ws, input: $in) { id name color labelGroup } }"
    )
    made = (await world.graphql(world.manager, document, {"in": {"name": "bug", "color": "red", "labelGroup": "g"}}))[
        "data"
    ]["createLabel"]
    assert made == {"id": made["id"], "name": "bug", "color": "red", "labelGroup": "g"}
    document = (
        "mutation($ws: ID, $in: UpdateLabelInput!) { updateLabel(workspaceId: $ws, input: $in) { name labelGroup } }"
    )
    changed = await world.graphql(world.admin, document, {"in": {"id": made["id"], "labelGroup": None}})
    assert changed["data"]["updateLabel"] == {"name": "bug", "labelGroup": None}
    assert (await world.graphql(world.viewer, "query($ws: ID) { labels(workspaceId: $ws) { id } }"))["data"][
        "labels"
    ] == [{"id": made["id"]}]
    document = "mutation($ws: ID, $in: ByIdInput!) { deleteLabel(workspaceId: $ws, input: $in) { id } }"
    gone = await world.graphql(world.admin, document, {"in": {"id": made["id"]}})
    assert gone["data"]["deleteLabel"] == {"id": made["id"]}


async def test_refusals_have_a_code_and_no_data(world: World) -> None:
    document = "mutation($ws: ID, $in: CreateLabelInput!) { createLabel(workspaceId: $ws, input: $in) { id } }"
    answer = await world.graphql(world.viewer, document, {"in": {"name": "x", "color": "y"}})
    assert answer["data"] == {"createLabel": None}
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
