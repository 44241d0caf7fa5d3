"""Saving of routines: bytes, versions, faults, tokens, authors, calls, and what a refusal leaves."""

import asyncio
import hashlib
from typing import Any

import pytest

from resolvers.kernel import instance
from tests.work.issues.board import UNKNOWN, Board, word
from tests.work.routines.yard import CODE, STEP, act, as_sent, changes, document, pipelines, save, saved, send, written

pytestmark = pytest.mark.anyio
SAVE = (
    "mutation($ws: ID, $in: SaveRoutineInput!) { saveRoutine(workspaceId: $ws, input: $in) {"
    " id slug headVersion definition source definitionHash status version } }"
)
CHECK = (
    "query($ws: ID, $d: String!) { routineCheck(workspaceId: $ws, definition: $d) {"
    " valid saveToken definitionHash faults { line column pointer text } } }"
)


async def test_a_definition_is_kept_byte_for_byte(board: Board) -> None:
    slug, text = word(), written(document())
    body = f'{{"slug": "{slug}", "skip_test_gate": true, "definition": {{"x": 1}},  "definition" : {text} }}'
    made = await as_sent(board, pipelines(board, "/save"), body)
    assert made.status_code == 201, made.text
    assert made.json()["definition_hash"] == hashlib.sha256(text.encode()).hexdigest()
    assert f'"definition":{text}' in (await act(board, "GET", slug)).text.replace('"definition": ', '"definition":')
    row = await board.world.database.fetchrow("SELECT * FROM routine_versions WHERE routine_id = $1", made.json()["id"])
    assert row["source"] == text
    assert row["definition"] == document()
    assert row["is_json"]


async def test_a_definition_in_yaml_is_shown_as_json(board: Board) -> None:
    slug, text = word(), "name: tides\nsteps:\n- {id: a, type: transform, transform: {input: '7', expression: .}}\n"
    made = await board.data(SAVE, board.world.owner, **{"in": {"slug": slug, "definition": text, "skipTestGate": True}})
    assert made["source"] == text
    assert made["definition"] == document()
    assert made["definitionHash"] == hashlib.sha256(text.encode()).hexdigest()
    assert (await act(board, "GET", slug)).json()["definition"] == document()
    assert (await saved(board, word(), text))["definition"] == document()


async def test_a_save_adds_a_version_unless_the_bytes_are_known(board: Board) -> None:
    since, slug = await board.since(), word()
    first = await saved(board, slug, document(), change_summary="one\nline", name="Tides", description="Of the sea")
    second = await saved(board, slug, document(STEP | {"id": "b"}))
    assert (second["id"], second["name"], second["description"]) == (first["id"], "Tides", "Of the sea")
    again = await saved(board, slug, document())
    assert again["definition_hash"] == first["definition_hash"] != second["definition_hash"]
    versions = (await act(board, "GET", slug, "/versions")).json()
    assert [(v["version"], v["is_head"], v.get("parent_version")) for v in versions] == [
        (2, False, 1), (1, True, None)
    ]  # fmt: skip
    assert versions[1]["change_summary"] == "one line"
    assert versions[1]["author_id"] == board.world.owner.user_id
    assert await changes(board, since) == ["saved"] * 3
    actions = [row["action"] for row in await board.world.audit() if row["entity_id"] == first["id"]]
    assert actions == ["routine.saved"] * 3


async def test_concurrent_saves_of_a_slug_are_one_routine(board: Board) -> None:
    slug = word()
    made = await asyncio.gather(*[saved(board, slug, document(STEP | {"id": f"s{n}"})) for n in range(4)])
    assert len({each["id"] for each in made}) == 1
    versions = (await act(board, "GET", slug, "/versions")).json()
    assert [each["version"] for each in versions] == [4, 3, 2, 1]
    assert sum(each["is_head"] for each in versions) == 1


async def test_all_faults_come_with_their_lines_and_nothing_is_written(board: Board) -> None:
    step = "- id: a\n  type: transform\n  transform: {input: '{{ inputs.x }}', expression: .}\n"
    text = f"name: tides\nsteps:\n{step}- id: b\n"
    before = await board.world.snapshot()
    refused = await save(board, word(), text)
    assert refused.status_code == 422
    faults = refused.json()["faults"]
    assert [(each["line"], each["pointer"]) for each in faults] == [
        (5, "/steps/0/transform/input"),
        (6, "/steps/1/type"),
    ]
    shown = await board.data(CHECK, d=text)
    assert shown["faults"] == faults
    assert (shown["valid"], shown["saveToken"], shown["definitionHash"]) == (False, None, None)
    assert await board.world.snapshot() == before


@pytest.mark.parametrize(
    "definition",
    ["text", [1], 7, True, {"name": "tides", "steps": []}, {}, {"name": "a\u0000b", "steps": [STEP]}, "a: [", "- a"],
)
async def test_what_is_no_routine_is_refused(board: Board, definition: Any) -> None:
    before = await board.world.snapshot()
    refused = await save(board, word(), definition)
    assert refused.status_code == 422, refused.text
    assert await board.world.snapshot() == before


@pytest.mark.parametrize(
    "body",
    [
        {"slug": "Odd Slug!"}, {"slug": ""}, {"slug": None}, {"slug": "x" * 65}, {"definition": None}, {"name": 7},
        {"author_crew_id": UNKNOWN}, {"author_agent_id": UNKNOWN}, {"skip_test_gate": "yes"},
        {"description": "x" * 10_001},
    ],
)  # fmt: skip
async def test_a_bad_body_is_refused_and_names_its_field(board: Board, body: dict[str, Any]) -> None:
    before = await board.world.snapshot()
    refused = await send(board, {"slug": word(), "definition": document()} | body)
    assert refused.status_code == 400, refused.text
    assert next(iter(body)) in refused.text
    assert await board.world.snapshot() == before


async def test_a_body_that_is_nested_too_deep_is_refused(board: Board) -> None:
    deep = '{"slug": "deep", "skip_test_gate": true, "definition": ' + "[" * 1_000 + "]" * 1_000 + "}"
    refused = await as_sent(board, pipelines(board, "/save"), deep)
    assert refused.status_code in (400, 422), refused.text


# ---- the test --------------------------------------------------------------------------------------------------------


async def checked(board: Board, definition: Any) -> dict[str, Any]:
    answer = await board.ask("POST", pipelines(board, "/validate"), {"definition": definition}, board.world.manager)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


async def by_manager(board: Board, slug: str, definition: Any, **more: Any) -> Any:
    return await save(board, slug, definition, board.world.manager, **{"skip_test_gate": False} | more)


async def test_a_manager_saves_with_a_token_of_the_same_definition(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    slug, token = word(), (await checked(board, document()))["save_token"]
    assert (await by_manager(board, slug, document())).status_code == 422
    assert (await by_manager(board, slug, document(), save_token="1.abc")).status_code == 422
    assert (await by_manager(board, slug, document(STEP | {"id": "b"}), save_token=token)).status_code == 422
    assert (await save(board, slug, document(), save_token=token)).status_code == 422  # of another user
    assert (await by_manager(board, slug, document(), save_token=token)).status_code == 201
    assert (await by_manager(board, slug, document(), save_token=token)).status_code == 201
    late = instance.clock.seconds() + 301
    monkeypatch.setattr(type(instance.clock), "seconds", lambda _: late)
    assert (await by_manager(board, slug, document(), save_token=token)).status_code == 422


@pytest.mark.parametrize("flag", ["skip_test_gate", "skip_governance_gate"])
async def test_a_manager_skips_no_gate(board: Board, flag: str) -> None:
    token = (await checked(board, document()))["save_token"]
    refused = await by_manager(board, word(), document(), save_token=token, **{flag: True})
    assert refused.status_code == 403
    assert flag in refused.text
    assert (await by_manager(board, word(), {}, **{flag: True})).status_code == 403  # ahead of the definition


# ---- authors and calls -----------------------------------------------------------------------------------------------


async def test_agents_are_looked_up_in_the_author_crew(board: Board) -> None:
    asks = {"id": "a", "type": "agent_run", "agent_slug": board.worker.slug[:-1], "prompt": "Write"}
    refused = await save(board, word(), document(asks), author_crew_id=board.crew.id)
    assert refused.status_code == 422
    (fault,) = refused.json()["faults"]
    assert fault["pointer"] == "/steps/0/agent_slug"
    assert board.worker.slug in fault["text"]
    known = document(asks | {"agent_slug": board.worker.slug})
    assert (await saved(board, word(), known, author_crew_id=board.crew.id))["manifest"]["agents"] == [
        board.worker.slug
    ]
    await saved(board, word(), document(asks))  # without a crew nobody is looked up


async def test_the_author_agent_is_one_of_the_author_crew(board: Board) -> None:
    other = await Board.of(board.world)
    strange = {"author_crew_id": board.crew.id, "author_agent_id": other.worker.id}
    assert (await save(board, word(), document(), **strange)).status_code == 400
    assert (await save(board, word(), document(), author_agent_id=board.worker.id)).status_code == 400
    slug = word()
    made = await saved(board, slug, document(), author_crew_id=board.crew.id, author_agent_id=board.worker.id)
    assert made["author_agent_id"] == board.worker.id
    assert (await saved(board, slug, document(STEP | {"id": "b"})))["author_agent_id"] == board.worker.id
    elsewhere = await saved(board, slug, document(), author_crew_id=other.crew.id)
    assert "author_agent_id" not in elsewhere


async def test_a_comment_needs_an_author_agent(board: Board) -> None:
    comment = {"id": "c", "type": "crewship", "action": "issue.comment", "args": {"identifier": "A-1", "body": "Hi"}}
    refused = await save(board, word(), document(comment), author_crew_id=board.crew.id)
    assert refused.status_code == 422
    assert refused.json()["faults"][0]["pointer"] == "/steps/0/action"
    await saved(board, word(), document(comment), author_crew_id=board.crew.id, author_agent_id=board.worker.id)


async def test_calls_have_no_cycle(board: Board) -> None:
    one, two, three = word(), word(), word()

    def calls(slug: str) -> dict[str, Any]:
        return document({"id": "c", "type": "call_pipeline", "pipeline_slug": slug})

    await saved(board, one, calls(two))
    await saved(board, two, calls(three))
    refused = await save(board, three, calls(one))
    assert refused.status_code == 422
    assert "cycle" in refused.text
    assert (await save(board, three, calls(three))).status_code == 422
    await saved(board, three, document())


async def test_a_deleted_routine_returns_under_its_id(board: Board) -> None:
    slug = word()
    first = await saved(board, slug, document(), name="Tides", description="Of the sea")
    await board.world.database.execute("UPDATE routines SET invocation_count = 3 WHERE id = $1", first["id"])
    assert (await act(board, "DELETE", slug)).status_code == 204
    again = await saved(board, slug, document(CODE), skip_governance_gate=True)
    assert (again["id"], again["name"], again["invocation_count"]) == (first["id"], "", 0)
    assert "description" not in again
    assert [v["version"] for v in (await act(board, "GET", slug, "/versions")).json()] == [2, 1]
