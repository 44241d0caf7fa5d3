"""Mission templates and workflow templates: two surfaces over one table."""

import json
from typing import Any

import pytest

from models.base import new_id
from tests.every import each_of
from tests.staff.onboarding.first_runs import newcomer
from tests.work.templates.cases import STAGES
from tests.world import Person, World

pytestmark = pytest.mark.anyio
MISSIONS, WORKFLOWS = "/api/v1/templates", "/api/v1/workflow-templates"
BUILT_IN = ["dev-test-loop", "parallel", "pipeline", "sequential"]


async def founder(world: World) -> tuple[Person, str]:
    """Somebody who has founded a workspace, and its id."""
    person = await world.person(new_id(), None)
    body = {"name": "Founded", "slug": new_id()}
    made = await world.rest(person, "POST", "/api/v1/workspaces", body, workspace=None)
    assert made.status_code == 201, made.text
    return person, made.json()["id"]


async def listed(world: World, person: Person, workspace: str, path: str = MISSIONS) -> list[dict[str, Any]]:
    answer = await world.rest(person, "GET", path, workspace=workspace)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def stages(*each: tuple[Any, ...]) -> str:
    return json.dumps([dict(zip(("name", "type", "position", "color"), one, strict=False)) for one in each])


async def test_a_new_workspace_has_the_four_patterns(world: World) -> None:
    person, workspace = await founder(world)
    missions = await listed(world, person, workspace)
    assert [one["name"] for one in missions] == BUILT_IN
    for one in missions:
        assert (one["is_builtin"], one["workspace_id"], one["id"][:3], len(one["id"])) == (True, workspace, "wt_", 19)
        definition = one["template_json"]
        assert (definition["name"], definition["description"]) == (one["name"], one["description"])
        ids = [step["id"] for step in definition["steps"]]
        for step in definition["steps"]:
            assert set(step.get("depends_on", [])) <= set(ids)
            assert step.get("loop_back_to", ids[0]) in ids
    workflows = await listed(world, person, workspace, WORKFLOWS)
    assert [one["name"] for one in workflows] == BUILT_IN
    assert [json.loads(one["template_json"]) for one in workflows] == [one["template_json"] for one in missions]


@each_of("value", [{"b": 1, "a": [1, {"z": None}]}, [1, 2], "text", 0, None, True, ""])
async def test_a_mission_template_is_any_json(world: World, value: Any) -> None:
    person, workspace = await newcomer(world, new_id())
    events = await world.events()
    body = {"name": "Mine", "template_json": value, "description": "d", "icon": "star", "color": "any"}
    made = await world.rest(person, "POST", MISSIONS, body, workspace=workspace.id)
    assert (made.status_code, made.json().keys()) == (201, {"id"}), made.text
    id = made.json()["id"]
    shown = (await world.rest(person, "GET", f"{MISSIONS}/{id}", workspace=workspace.id)).json()
    assert {key: shown[key] for key in body} == body
    assert json.dumps(shown["template_json"]) == json.dumps(value), "in the order in which it was written"
    assert [event["type"] for event in (await world.events())[len(events) :]] == ["workflow_template.created"]


async def test_what_is_not_sent_stays(world: World) -> None:
    person, workspace = await newcomer(world, new_id())
    body = {"name": "Mine", "template_json": {"steps": []}, "description": "d", "icon": "star"}
    id = (await world.rest(person, "POST", MISSIONS, body, workspace=workspace.id)).json()["id"]
    for change in ({}, {"description": None, "template_json": None}, {"icon": "", "color": "c"}, {"name": "Yours"}):
        changed = await world.rest(person, "PATCH", f"{MISSIONS}/{id}", change, workspace=workspace.id)
        assert (changed.status_code, changed.json()) == (200, {"id": id})
    shown = (await world.rest(person, "GET", f"{MISSIONS}/{id}", workspace=workspace.id)).json()
    assert {key: shown[key] for key in (*body, "color")} == body | {"name": "Yours", "icon": "", "color": "c"}
    gone = await world.rest(person, "DELETE", f"{MISSIONS}/{id}", workspace=workspace.id)
    assert gone.status_code == 204
    for method, given in (("GET", None), ("PATCH", {"name": "z"}), ("DELETE", None)):
        answer = await world.rest(person, method, f"{MISSIONS}/{id}", given, workspace=workspace.id)
        assert answer.status_code == 404


@each_of(
    "body",
    [
        {"template_json": {}},
        {"name": "", "template_json": {}},
        {"name": " \t", "template_json": {}},
        {"name": 1, "template_json": {}},
        {"name": "x"},
        {"name": "x" * 601, "template_json": {}},
        {"name": "x", "template_json": "x" * 128_000},
        {"name": "x", "template_json": "\0"},
    ],
)
async def test_a_bad_mission_template_is_refused(world: World, body: dict[str, Any]) -> None:
    before = await world.snapshot()
    assert (await world.rest(world.owner, "POST", MISSIONS, body)).status_code == 400
    assert await world.snapshot() == before


async def test_built_in_ones_are_not_a_missions_to_change(world: World) -> None:
    person, workspace = await founder(world)
    id = (await listed(world, person, workspace))[0]["id"]
    before = await world.snapshot()
    for method, body in (("PATCH", {"name": "z"}), ("PATCH", {"name": ""}), ("DELETE", None)):
        answer = await world.rest(person, method, f"{MISSIONS}/{id}", body, workspace=workspace)
        assert answer.status_code == 403, answer.text
    assert await world.snapshot() == before


async def test_a_name_is_taken_once_on_both_surfaces(world: World) -> None:
    person, workspace = await founder(world)
    for path, body in ((MISSIONS, {"template_json": {}}), (WORKFLOWS, {"template_json": STAGES})):
        for name in ("One", "parallel"):
            answer = await world.rest(person, "POST", path, body | {"name": name}, workspace=workspace)
            assert answer.status_code == (201 if (path, name) == (MISSIONS, "One") else 409), answer.text
    made = await world.rest(person, "POST", WORKFLOWS, {"name": "Two", "template_json": STAGES}, workspace=workspace)
    for path in (MISSIONS, WORKFLOWS):
        answer = await world.rest(person, "PATCH", f"{path}/{made.json()['id']}", {"name": "One"}, workspace=workspace)
        assert answer.status_code == 409


async def test_stages_are_stored_in_one_form(world: World) -> None:
    person, workspace = await newcomer(world, new_id())
    text = ' [{"position":9,"type":"completed","name":"D","zzz":1},{"name":"T","type":"open","position":1,"color":""} ]'
    last = (await world.events())[-1:]
    made = await world.rest(
        person, "POST", WORKFLOWS, {"name": "Flow", "template_json": text, "color": "any"}, workspace=workspace.id
    )
    assert made.status_code == 201, made.text
    flow = made.json()
    stored = '[{"name":"D","type":"completed","position":9},{"name":"T","type":"open","position":1}]'
    assert (flow["template_json"], flow["color"], flow["is_builtin"]) == (stored, "any", False)
    assert flow["id"][0] == "c"
    changed = await world.rest(
        person,
        "PATCH",
        f"{WORKFLOWS}/{flow['id']}",
        {"color": "", "template_json": stages(("A", "open", 1, "#0af"), ("B", "completed", 2))},
        workspace=workspace.id,
    )
    stored = '[{"name":"A","type":"open","position":1,"color":"#0af"},{"name":"B","type":"completed","position":2}]'
    assert (changed.json()["template_json"], changed.json()["color"]) == (stored, None)
    gone = await world.rest(person, "DELETE", f"{WORKFLOWS}/{flow['id']}", workspace=workspace.id)
    assert gone.status_code == 204
    told = await world.events(last[0]["seq"] if last else 0)
    assert [(event["type"], event["channel"]) for event in told] == [
        (f"workflow_template.{what}", f"workspace:{workspace.id}") for what in ("created", "updated", "deleted")
    ]


@each_of(
    "text",
    [
        "{}",
        "[]",
        "nope",
        "",
        [{"name": "Todo", "type": "open", "position": 1}],
        stages(("Doing", "started", 2), ("Done", "completed", 3)),
        stages(("A", "open", 1), ("B", "open", 2), ("C", "completed", 3)),
        stages(("A", "open", 1), ("B", "started", 2)),
        stages(("A", "open", 1), ("A", "completed", 2)),
        stages(("A", "open", 1), ("B", "completed", 1)),
        stages(("A", "open", 0), ("B", "completed", 1)),
        stages(("A", "open", True), ("B", "completed", 2)),
        stages(("A", "open", "1"), ("B", "completed", 2)),
        stages(("A", "weird", 1), ("B", "completed", 2)),
        stages(("A", "open", 1, "red"), ("B", "completed", 2)),
        stages((" ", "open", 1), ("B", "completed", 2)),
        stages((5, "open", 1), ("B", "completed", 2)),
        '[{"type": "open", "position": 1}, {"name": "B", "type": "completed", "position": 2}]',
        "[" * 10_000,
    ],
)
async def test_stages_that_break_a_rule_are_refused(world: World, text: Any) -> None:
    person, workspace = await newcomer(world, new_id())
    made = await world.rest(person, "POST", WORKFLOWS, {"name": "F", "template_json": STAGES}, workspace=workspace.id)
    before = await world.snapshot()
    for method, path in (("POST", WORKFLOWS), ("PATCH", f"{WORKFLOWS}/{made.json()['id']}")):
        answer = await world.rest(person, method, path, {"name": "X", "template_json": text}, workspace=workspace.id)
        assert answer.status_code == 400, answer.text
    assert await world.snapshot() == before


@each_of("change", [{}, {"name": None}, {"name": " "}, {"color": "red"}, {"name": 1}])
async def test_a_bad_change_of_a_workflow_is_refused(world: World, change: dict[str, Any]) -> None:
    person, workspace = await newcomer(world, new_id())
    made = await world.rest(person, "POST", WORKFLOWS, {"name": "F", "template_json": STAGES}, workspace=workspace.id)
    path = f"{WORKFLOWS}/{made.json()['id']}"
    assert (await world.rest(person, "PATCH", path, change, workspace=workspace.id)).status_code == 400


async def test_a_built_in_one_that_is_deleted_or_renamed_is_there_again(world: World) -> None:
    person, workspace = await founder(world)
    before = {one["name"]: one for one in await listed(world, person, workspace, WORKFLOWS)}
    path = f"{WORKFLOWS}/{before['pipeline']['id']}"
    changed = await world.rest(person, "PATCH", path, {"description": "Ours"}, workspace=workspace)
    assert (changed.status_code, changed.json()["description"]) == (200, "Ours")
    assert (await world.rest(person, "DELETE", path, workspace=workspace)).status_code == 204
    assert (await world.rest(person, "GET", path, workspace=workspace)).status_code == 404
    again = {one["name"]: one for one in await listed(world, person, workspace, WORKFLOWS)}
    assert sorted(again) == BUILT_IN
    assert again["pipeline"]["description"] == before["pipeline"]["description"]
    assert {name for name in BUILT_IN if again[name]["id"] != before[name]["id"]} == {"pipeline"}
    renamed = f"{WORKFLOWS}/{again['parallel']['id']}"
    answer = await world.rest(person, "PATCH", renamed, {"name": "Side by side"}, workspace=workspace)
    assert (answer.status_code, answer.json()["name"]) == (200, "Side by side")
    names = [one["name"] for one in await listed(world, person, workspace)]
    assert names == ["Side by side", *BUILT_IN]


async def test_both_are_listed_the_built_in_ones_first(world: World) -> None:
    person, workspace = await founder(world)
    for name in ("zeta", "Alpha", "mid"):
        body = {"name": name, "template_json": STAGES}
        assert (await world.rest(person, "POST", WORKFLOWS, body, workspace=workspace)).status_code == 201
    assert [one["name"] for one in await listed(world, person, workspace)] == [*BUILT_IN, "Alpha", "mid", "zeta"]
    named = [one["name"] for one in await listed(world, person, workspace, WORKFLOWS)]
    assert named == [*BUILT_IN, "zeta", "Alpha", "mid"]
    found = await listed(world, person, workspace)
    assert isinstance(found[-1]["template_json"], list)


async def test_graphql_has_both_forms_of_a_definition(world: World) -> None:
    person, workspace = await founder(world)
    document = "query($ws: ID) { missionTemplates(workspaceId: $ws) { name templateJson definition isBuiltin } }"
    shown = (await world.graphql(person, document, {"ws": workspace}))["data"]["missionTemplates"]
    assert [one["name"] for one in shown] == BUILT_IN
    assert all(json.loads(one["templateJson"]) == one["definition"] for one in shown)
    made = await world.graphql(
        person,
        "mutation($ws: ID, $in: CreateMissionTemplateInput!)"
        " { createMissionTemplate(workspaceId: $ws, input: $in) { definition version } }",
        {"ws": workspace, "in": {"name": "Pair", "templateJson": [1, None]}},
    )
    assert made["data"]["createMissionTemplate"] == {"definition": [1, None], "version": 1}, made
