"""The catalogue of routines: order, filters, pages, tenants, names, looks, tags and deletion."""

from typing import Any

import pytest

from tests.work.issues.board import UNKNOWN, Board, word
from tests.work.routines.yard import CODE, act, changes, document, items, pipelines, saved

pytestmark = pytest.mark.anyio
LIST = (
    "query($ws: ID, $crew: ID, $n: Int, $after: String, $order: RoutineOrder) {"
    " routines(workspaceId: $ws, authorCrewId: $crew, first: $n, after: $after, order: $order) {"
    " nodes { slug name tags headVersion authorCrew { id } versions { nodes { number isHead } } }"
    " pageInfo { endCursor hasNextPage } totalCount } }"
)

TAGS = "query($ws: ID, $s: String!) { routine(workspaceId: $ws, slug: $s) { tags } }"


async def several(board: Board) -> list[dict[str, Any]]:
    """Of the crew: the first by name is the last by its invocations, and was invoked last."""
    made = []
    for name, invoked, at in (("C", 2, None), ("A", 0, "2031-01-01"), ("B", 5, "2030-01-01")):
        routine = await saved(board, word(), document(), name=name, author_crew_id=board.crew.id)
        await board.world.database.execute(
            "UPDATE routines SET invocation_count = $1, last_invoked_at = $2::text::timestamptz WHERE id = $3",
            invoked, at, routine["id"],
        )  # fmt: skip
        made.append(routine)
    return made


async def listed(board: Board, **query: Any) -> list[str]:
    rows = await board.read(pipelines(board), author_crew_id=board.crew.id, **query)
    return [row["name"] for row in rows]


async def test_routines_are_listed_in_three_orders(board: Board) -> None:
    await several(board)
    assert await listed(board) == ["B", "C", "A"]
    assert await listed(board, order="name") == ["A", "B", "C"]
    assert await listed(board, order="recent") == ["A", "B", "C"]
    assert await listed(board, order="unknown") == ["B", "C", "A"]
    assert await listed(board, order="name", limit=2, offset=1) == ["B", "C"]


@pytest.mark.parametrize("order", ["popularity", "recent", "name"])
async def test_pages_follow_each_other(board: Board, order: str) -> None:
    await several(board)
    whole = await board.data(LIST, crew=board.crew.id, order=order, n=3)
    found, after = list[str](), None
    while True:
        page = await board.data(LIST, crew=board.crew.id, order=order, n=1, after=after)
        found += [node["name"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert found == [node["name"] for node in whole["nodes"]]
    assert whole["totalCount"] == 3
    assert whole["nodes"][0]["versions"]["nodes"] == [{"number": 1, "isHead": True}]
    assert whole["nodes"][0]["authorCrew"] == {"id": board.crew.id}


async def test_routines_are_filtered(board: Board) -> None:
    one, two, three = await several(board)
    await act(board, "PUT", one["slug"], "/tags", {"tags": [" Nightly ", "ops"]})
    await act(board, "POST", two["slug"], "/disable")
    await saved(board, three["slug"], document(CODE))
    assert await listed(board, tag="NIGHTLY") == ["C"]
    assert await listed(board, tag="night") == []
    assert await listed(board, status="disabled") == ["A"]
    assert await listed(board, status="proposed") == ["B"]
    assert await board.read(pipelines(board), author_crew_id=UNKNOWN) == []


async def test_a_row_of_a_list_has_no_definition(board: Board) -> None:
    made = await saved(board, word(), document(), author_crew_id=board.crew.id, author_agent_id=board.worker.id)
    (row,) = await board.read(pipelines(board), author_crew_id=board.crew.id)
    assert row.keys() & {"definition", "manifest"} == set()
    assert row["author_agent_name"] == board.worker.name
    assert (row["ephemeral"], row["workspace_visible"], row["linked_issue_count"]) == (False, True, 0)
    assert row["id"] == made["id"]
    assert made["id"].startswith("pln_")
    assert made.keys() & {"risk_reasons", "icon", "color", "description", "integrations_required"} == set()


async def test_a_routine_is_found_by_its_slug_in_its_workspace_alone(board: Board) -> None:
    made = await saved(board)
    assert (await act(board, "GET", made["slug"], person=board.world.viewer)).status_code == 200
    assert (await act(board, "GET", made["id"])).status_code == 404
    assert (await act(board, "GET", word())).status_code == 404
    world = board.world
    path = f"/api/v1/workspaces/{world.other.id}/pipelines/{made['slug']}"
    assert (await world.rest(world.outsider, "GET", path, workspace=world.other.id)).status_code == 404
    assert (await act(board, "GET", made["slug"], person=world.outsider)).status_code == 403
    other = await Board.of(world, world.other)
    assert (await saved(other, made["slug"], person=world.outsider))["id"] != made["id"]


async def test_a_deleted_routine_is_gone_and_keeps_its_versions(board: Board) -> None:
    slug, since = word(), await board.since()
    made = await saved(board, slug, document(CODE))
    assert (await act(board, "DELETE", slug, person=board.world.manager)).status_code == 403
    assert (await act(board, "DELETE", slug)).status_code == 204
    for path in ("", "/versions", "/versions/1", "/export"):
        assert (await act(board, "GET", slug, path)).status_code == 404
    assert (await act(board, "DELETE", slug)).status_code == 404
    assert await items(board, slug) == [("resolved", "dismissed")]
    assert await changes(board, since) == ["saved", "deleted"]
    kept = await board.world.database.fetchval(
        "SELECT count(*) FROM routine_versions WHERE routine_id = $1", made["id"]
    )
    assert kept == 1


async def test_a_name_changes_without_a_version(board: Board) -> None:
    made = await saved(board, description="Of the sea")
    path = made["slug"]
    named = await act(board, "PATCH", path, "", {"name": "Moon"})
    assert (named.json()["name"], named.json()["description"]) == ("Moon", "Of the sea")
    cleared = await act(board, "PATCH", path, "", {"description": ""})
    assert "description" not in cleared.json()
    assert cleared.json().keys() & {"definition", "manifest"} == set()
    assert (await act(board, "PATCH", path, "", {})).status_code == 400
    assert (await act(board, "PATCH", path, "", {"name": 7})).status_code == 400
    assert len((await act(board, "GET", path, "/versions")).json()) == 1


async def test_an_appearance_keeps_what_is_absent(board: Board) -> None:
    slug = (await saved(board))["slug"]
    shown = (await act(board, "PATCH", slug, "/appearance", {"icon": " receipt ", "color": "amber"})).json()
    assert (shown["icon"], shown["color"]) == ("receipt", "amber")
    shown = (await act(board, "PATCH", slug, "/appearance", {"color": ""})).json()
    assert (shown["icon"], shown.get("color")) == ("receipt", None)
    assert (await act(board, "PATCH", slug, "/appearance", {})).json()["icon"] == "receipt"
    before = await board.world.snapshot()
    assert (await act(board, "PATCH", slug, "/appearance", {"icon": "x" * 65})).status_code == 400
    assert await board.world.snapshot() == before


async def test_tags_are_normalised_and_bounded(board: Board) -> None:
    slug = (await saved(board))["slug"]
    assert (await act(board, "PUT", slug, "/tags", {"tags": ["  "]})).json() == {"tags": None}
    added = await act(board, "PUT", slug, "/tags", {"tags": ["Ops", " ops ", "nightly", "x" * 300]})
    assert added.json() == {"tags": ["nightly", "ops", "x" * 128]}
    before = await board.world.snapshot()
    many = {"tags": [f"t{n}" for n in range(18)]}
    for bad in ({"tags": []}, {}, {"tags": "ops"}, {"tags": [7]}, many):
        assert (await act(board, "PUT", slug, "/tags", bad)).status_code == 400
    assert (await act(board, "PUT", word(), "/tags", {"tags": ["a"]})).status_code == 404
    assert (await act(board, "DELETE", slug, "/tags/absent")).json() == {"ok": True}
    assert await board.world.snapshot() == before
    assert (await act(board, "DELETE", slug, "/tags/OPS")).json() == {"ok": True}
    assert await listed_tags(board, slug) == ["nightly", "x" * 128]


async def listed_tags(board: Board, slug: str) -> Any:
    return (await board.data(TAGS, s=slug))["tags"]
