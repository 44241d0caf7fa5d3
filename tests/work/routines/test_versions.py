"""Versions, their differences, rollbacks, bundles, and the schema of the language."""

import json
from typing import Any

import pytest

from models.work.routines.json_schema import json_schema
from tests.work.issues.board import UNKNOWN, Board, word
from tests.work.routines.yard import CODE, STEP, act, as_sent, changes, document, items, pipelines, save, saved, written

pytestmark = pytest.mark.anyio
NO_AGENT = {"id": "a", "type": "agent_run", "agent_slug": "no", "prompt": "p"}
ONE, TWO = document(), document(STEP, STEP | {"id": "b"}, description="Two")
DIFF = (
    "query($ws: ID, $s: String!) { routineDiff(workspaceId: $ws, slug: $s, fromVersion: 1, toVersion: 2) {"
    " identical keys steps { id change keys } unifiedDiff } }"
)


async def two(board: Board) -> str:
    slug = word()
    await saved(board, slug, ONE)
    await saved(board, slug, TWO, change_summary="second")
    return slug


async def test_versions_are_listed_newest_first(board: Board) -> None:
    slug = await two(board)
    assert [v["version"] for v in (await act(board, "GET", slug, "/versions")).json()] == [2, 1]
    for limit, expected in (("1", [2]), ("0", [2, 1]), ("x", [2, 1]), ("501", [2, 1])):
        rows = await board.read(pipelines(board, f"/{slug}/versions"), limit=limit)
        assert [row["version"] for row in rows] == expected


async def test_a_version_has_its_definition(board: Board) -> None:
    slug = await two(board)
    first = (await act(board, "GET", slug, "/versions/1")).json()
    assert (first["definition"], first["parent_version"], first["change_summary"]) == (ONE, None, "")
    second = (await act(board, "GET", slug, "/versions/2")).json()
    assert (second["definition"], second["parent_version"], second["change_summary"]) == (TWO, 1, "second")
    assert (await act(board, "GET", slug, "/versions/3")).status_code == 404
    for bad in ("one", "-1", "10000"):
        assert (await act(board, "GET", slug, f"/versions/{bad}")).status_code == 400


async def test_versions_differ_by_step_and_by_line(board: Board) -> None:
    slug = await two(board)
    path = pipelines(board, f"/{slug}/diff")
    diff = await board.read(path, **{"from": 1, "to": 2})
    assert (diff["from_version"], diff["to_version"], diff["identical"]) == (1, 2, False)
    assert diff["steps"] == [{"id": "b", "change": "added", "keys": []}]
    assert diff["keys"] == ["description"]
    assert diff["unified_diff"].startswith('--- v1\n+++ v2\n@@ -1,8 +1,17 @@\n {\n+  "description": "Two",\n')
    shown = await board.data(DIFF, s=slug)
    assert (shown["unifiedDiff"], shown["steps"]) == (diff["unified_diff"], diff["steps"])
    same = await board.read(path, **{"from": 1, "to": 1})
    assert (same["identical"], same["unified_diff"], same["steps"]) == (True, "", [])
    for query, status in (({"from": 1}, 400), ({"from": "a", "to": 1}, 400), ({"from": 1, "to": 7}, 404)):
        async with board.world.client(board.person) as client:
            assert (await client.get(path, params=query)).status_code == status


async def test_a_rollback_makes_a_version_the_head(board: Board) -> None:
    slug, since = await two(board), await board.since()
    back = await act(board, "POST", slug, "/rollback", {"version": 1})
    assert (back.status_code, back.json()["definition"]) == (200, ONE)
    assert [v["is_head"] for v in (await act(board, "GET", slug, "/versions")).json()] == [False, True]
    assert (await act(board, "POST", slug, "/rollback", {"target_version": 2})).json()["definition"] == TWO
    assert await changes(board, since) == ["saved", "saved"]
    before = await board.world.snapshot()
    for body, status in (({"version": 0}, 400), ({}, 400), ({"version": 9}, 404), ({"version": "1"}, 400)):
        assert (await act(board, "POST", slug, "/rollback", body)).status_code == status
    assert (await act(board, "POST", slug, "/rollback", {"version": 1}, board.world.manager)).status_code == 403
    assert await board.world.snapshot() == before


# ---- bundles ---------------------------------------------------------------------------------------------------------


async def imported(board: Board, bundle: Any, **more: Any) -> Any:
    body = bundle | {"author_crew_id": board.crew.id} | more
    return await board.ask("POST", pipelines(board, "/import"), body)


async def test_a_bundle_goes_to_another_workspace(board: Board) -> None:
    slug, text = word(), written(ONE)
    made = await as_sent(
        board,
        pipelines(board, "/save"),
        f'{{"slug": "{slug}", "name": "T", "skip_test_gate": true, "definition": {text}}}',
    )
    exported = await act(board, "GET", slug, "/export", person=board.world.viewer)
    bundle = exported.json()
    assert bundle["format"] == "crewship-pipeline-bundle/v1"
    assert bundle["pipeline"] == {"name": "T", "description": "", "slug": slug, "dsl_version": "1.0", "definition": ONE}
    assert bundle["metadata"]["head_version"] == 1
    assert bundle["metadata"]["source_workspace_id"] == board.crew.workspace_id
    assert "history" not in bundle
    assert text in exported.text
    other = await Board.of(board.world, board.world.other)
    body = exported.text[:-1] + f', "author_crew_id": "{other.crew.id}"}}'
    taken = await as_sent(other, pipelines(other, "/import"), body, other.person)
    assert taken.status_code == 201, taken.text
    assert taken.json()["definition_hash"] == made.json()["definition_hash"]
    assert taken.json()["authored_via"] == "imported"
    (version,) = (await act(other, "GET", slug, "/versions", person=other.person)).json()
    assert (version["author_type"], version["author_id"]) == ("imported", f"workspace:{board.crew.workspace_id}")


async def test_a_bundle_has_a_history_if_asked(board: Board) -> None:
    slug = await two(board)
    bundle = await board.read(pipelines(board, f"/{slug}/export"), include_history="1")
    assert [(each["version"], each["definition"]) for each in bundle["history"]] == [(2, TWO), (1, ONE)]
    assert [each.get("change_summary") for each in bundle["history"]] == ["second", None]


async def test_an_import_changes_a_known_routine_and_is_reviewed(board: Board) -> None:
    slug, since = word(), await board.since()
    first = await saved(board, slug, ONE, author_crew_id=board.crew.id)
    bundle = {
        "format": "crewship-pipeline-bundle/v1",
        "pipeline": {"name": "T", "slug": slug, "definition": document(CODE)},
    }
    made = await imported(board, bundle)
    assert (made.json()["id"], made.json()["status"]) == (first["id"], "proposed")
    assert await items(board, slug) == [("unread", None)]
    nameless = {"format": bundle["format"], "pipeline": {"name": word(), "definition": ONE}}
    assert (await imported(board, nameless)).json()["slug"] == nameless["pipeline"]["name"]
    assert await changes(board, since) == ["saved", "saved", "saved"]


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"format": "v9"}, 400, "format"),
        ({"pipeline": {"name": "x"}}, 400, "definition"),
        ({"pipeline": {"definition": ONE}}, 400, "name"),
        ({"pipeline": {"name": "Odd one", "definition": ONE}}, 400, "slug"),
        ({"pipeline": 7}, 400, "pipeline"),
        ({"author_crew_id": None}, 400, "author_crew_id"),
        ({"author_crew_id": UNKNOWN}, 400, "author_crew_id"),
        ({"metadata": []}, 400, "metadata"),
        ({"pipeline": {"name": "x", "definition": {"name": "x", "steps": []}}}, 422, "hint"),
        (
            {"pipeline": {"name": "x", "definition": document(NO_AGENT)}},
            422,
            "hint",
        ),
    ],
)  # fmt: skip
async def test_a_bad_bundle_is_refused(board: Board, change: dict[str, Any], status: int, named: str) -> None:
    before = await board.world.snapshot()
    bundle = {"format": "crewship-pipeline-bundle/v1", "pipeline": {"name": "x", "definition": ONE}}
    refused = await imported(board, bundle, **change)
    assert refused.status_code == status, refused.text
    assert named in refused.text
    assert await board.world.snapshot() == before


# ---- the language ----------------------------------------------------------------------------------------------------


async def test_editors_get_the_schema(board: Board) -> None:
    shown = (await board.ask("GET", "/api/v1/pipeline-schema")).json()
    assert shown == {"dsl_version": "1.0", "schema": json.loads(json.dumps(json_schema()))}
    language = await board.data("{ routineLanguage { dslVersion schema } }")
    assert language == {"dslVersion": "1.0", "schema": shown["schema"]}
    offered = await board.read(f"/api/v1/crews/{board.crew.id}/capabilities")
    assert offered["schema"] == shown["schema"]


async def test_a_valid_document_has_a_manifest(board: Board) -> None:
    answer = await board.ask("POST", pipelines(board, "/validate"), {"definition": document(CODE)})
    assert (answer.json()["valid"], answer.json()["faults"]) == (True, [])
    assert answer.json()["manifest"]["tools"] == [{"type": "cel"}]
    refused = await save(board, "x", document(), board.world.member)
    assert refused.status_code == 403
    for body in ({}, {"definition": None}):
        assert (await board.ask("POST", pipelines(board, "/validate"), body)).status_code == 400
    assert (
        await board.ask("POST", pipelines(board, "/validate"), {"definition": ONE}, board.world.viewer)
    ).status_code == 403
