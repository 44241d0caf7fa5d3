"""Projects on both surfaces: names that clash, leads, what is cleared, what is counted, and what a deletion leaves."""

import asyncio
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from models.work.missions import MissionStatus
from tests.work.issues.board import UNKNOWN, Board, word
from tests.world import World, now

pytestmark = pytest.mark.anyio
PROJECTS = "/api/v1/projects"
TAKEN = "A project with this slug already exists"
CREATE = "mutation($ws: ID, $in: CreateProjectInput!) { createProject(workspaceId: $ws, input: $in) { %s } }"
UPDATE = (
    "mutation($ws: ID, $in: UpdateProjectInput!, $v: Int) {"
    " updateProject(workspaceId: $ws, input: $in, ifVersion: $v) { %s } }"
)
OPTIONAL = ("description", "icon", "lead_type", "lead_id", "start_date", "target_date")


async def made(board: Board, name: str = "", **fields: Any) -> dict[str, Any]:
    answer = await board.ask("POST", PROJECTS, {"name": name or word(), **fields})
    assert answer.status_code == 201, answer.text[:300]
    return answer.json()  # type: ignore[no-any-return]


async def change(board: Board, project: dict[str, Any], **fields: Any) -> Any:
    return await board.ask("PATCH", f"{PROJECTS}/{project['id']}", fields)


async def changed(board: Board, project: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await change(board, project, **fields)
    assert answer.status_code == 200, answer.text[:300]
    return answer.json()  # type: ignore[no-any-return]


async def test_a_project_of_nothing_but_a_name_has_the_defaults(board: Board) -> None:
    since, name = await board.since(), word()
    project = await made(board, name.title(), summary="ignored", labels=["x"], health="at_risk", slug="mine")
    times = {key: project[key] for key in ("id", "created_at", "updated_at")}
    assert project == times | {
        "workspace_id": board.world.workspace.id, "name": name.title(), "slug": name, "description": None, "icon": None,
        "color": "blue",
        "status": "backlog", "priority": "none", "health": "on_track", "lead_type": None, "lead_id": None,
        "start_date": None, "target_date": None,
        "issue_count": 0, "done_count": 0, "progress": 0,
    }  # fmt: skip
    assert await board.read(f"{PROJECTS}/{project['id']}") == project
    assert await board.events(since) == [("project.created", {"id": project["id"]})]
    rows = [row["action"] for row in await board.world.audit() if row["entity_id"] == project["id"]]
    assert rows == ["project.created"]
    assert (await made(board, **dict.fromkeys((*OPTIONAL, "color", "status", "priority"))))["color"] == "blue"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": None},
        {"name": 1},
        {"status": "started"},
        {"priority": "asap"},
        {"status": ""},
        {"lead_id": {}},
    ],
)
async def test_a_bad_project_is_refused(board: Board, body: dict[str, Any]) -> None:
    project = await made(board)
    before = await board.world.snapshot()
    assert (
        await board.ask("POST", PROJECTS, body if "name" in body or not body else {"name": word()} | body)
    ).status_code == 400
    assert (await change(board, project, **body)).status_code == 400
    assert await board.world.snapshot() == before


async def test_a_taken_slug_is_a_conflict(board: Board) -> None:
    name, there = word(), await Board.of(board.world, board.world.other)
    project, other = await made(board, f"{name} one"), await made(board)
    before = await board.world.snapshot()
    for taken in (f"{name.upper()} One", f"{name}--one!"):
        for answer in (
            await board.ask("POST", PROJECTS, {"name": taken}),
            await change(board, other, name=taken, color="red"),
        ):
            assert (answer.status_code, answer.json()["detail"]) == (409, TAKEN)
        assert await board.code(CREATE % "id", **{"in": {"name": taken}}) == ("CONFLICT", TAKEN)
        assert await board.code(UPDATE % "id", **{"in": {"id": other["id"], "name": taken}}) == ("CONFLICT", TAKEN)
    assert await board.world.snapshot() == before
    assert (await made(there, f"{name} one"))["slug"] == project["slug"]
    # its own slug is not in its way
    assert (await changed(board, project, name=f"{name} ONE"))["name"] == f"{name} ONE"


async def test_of_many_at_once_one_gets_the_slug(board: Board) -> None:
    name = word()
    answers = await asyncio.gather(*[board.ask("POST", PROJECTS, {"name": name}) for _ in range(8)])
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_a_new_name_makes_a_new_slug(board: Board) -> None:
    project, name = await made(board), word()
    since = await board.since()
    assert (await changed(board, project, name=f"{name} Two"))["slug"] == f"{name}-two"
    assert (await changed(board, project, name="\u6f22\u5b57"))["slug"] == f"project-{project['id'][-8:]}"
    assert (await changed(board, project, slug="x", color=""))["color"] == ""
    assert await board.events(since) == [("project.updated", {"id": project["id"]})] * 3
    await made(board, project["name"])  # what it was called is free


async def test_null_clears_and_nothing_is_refused(board: Board) -> None:
    full = {
        "description": "d",
        "icon": "rocket",
        "lead_type": "agent",
        "lead_id": board.worker.id,
        "start_date": "soon",
        "target_date": "",
    }
    project = await made(board, **full)
    assert {name: project[name] for name in OPTIONAL} == full
    cleared = await changed(board, project, lead_type=None, lead_id=None)
    assert (cleared["lead_type"], cleared["lead_id"], cleared["icon"], "lead_name" in cleared) == (
        None,
        None,
        "rocket",
        False,
    )
    cleared = await changed(board, project, **dict.fromkeys(OPTIONAL), name=None)
    assert [cleared[name] for name in OPTIONAL] == [None] * 6
    before = await board.world.snapshot()
    for body in (
        {},
        dict.fromkeys(("name", "color", "status", "priority", "health")),
        {"slug": "x", "workspace_id": "x"},
    ):
        assert (await change(board, project, **body)).status_code == 400
    assert await board.world.snapshot() == before
    assert await board.data(UPDATE % "icon version", **{"in": {"id": project["id"], "icon": None}}) == {
        "icon": None,
        "version": 4,
    }
    assert (await board.code(UPDATE % "id", v=3, **{"in": {"id": project["id"], "color": "x"}}))[
        0
    ] == "PRECONDITION_FAILED"


async def test_a_lead_is_an_agent_or_a_member(board: Board) -> None:
    world, there = board.world, await Board.of(board.world, board.world.other)
    gone = Agent(name="Gone", slug=new_id(), deleted_at=now(), **board.here)
    await world.add(gone)
    project = await made(board)
    for lead, name in (
        ({"lead_type": "agent", "lead_id": board.worker.id}, board.worker.name),
        ({"lead_type": "user", "lead_id": world.viewer.user_id}, "Viewer Example"),
        ({"lead_type": "team", "lead_id": board.worker.id}, None),
        ({"lead_type": "team", "lead_id": "nobody"}, None),
        ({"lead_type": "system", "lead_id": "nobody"}, None),
        ({"lead_type": None, "lead_id": board.worker.id}, None),
        ({"lead_type": "agent", "lead_id": ""}, None),
    ):
        assert (await changed(board, project, **lead)).get("lead_name") == name, lead
        assert (await board.read(f"{PROJECTS}/{(await made(board, **lead))['id']}")).get("lead_name") == name, lead
    before = await world.snapshot()
    for type, id in (
        ("agent", there.worker.id), ("agent", gone.id), ("agent", UNKNOWN), ("agent", world.owner.user_id),
        (None, there.worker.id), ("", UNKNOWN),
        ("user", world.outsider.user_id), ("user", world.nobody.user_id), ("user", board.worker.id), ("user", UNKNOWN),
    ):  # fmt: skip
        for answer in (
            await board.ask("POST", PROJECTS, {"name": word(), "lead_type": type, "lead_id": id}),
            await change(board, project, lead_type=type, lead_id=id, color="x"),
        ):
            assert (answer.status_code, list(answer.json()["fields"])) == (400, ["lead_id"]), (type, id)
            assert there.worker.name not in answer.text
    assert await world.snapshot() == before
    await changed(board, project, lead_type="user", lead_id=world.viewer.user_id)
    assert (await change(board, project, lead_id=board.worker.id)).status_code == 400  # by the type that it has


async def test_the_list_is_whole_and_in_order(world: World) -> None:
    there = await Board.of(world, world.other)
    rows = [
        await made(there, name, status=status) for name, status in (("b", "planned"), ("C", "paused"), ("a", "planned"))
    ]
    await changed(there, rows[0], color="red")

    async def names(**query: Any) -> list[str]:
        return [project["name"] for project in await there.read(PROJECTS, **query) if len(project["name"]) == 1]

    assert (
        await names()
        == await names(sort="status")
        == await names(limit=1, offset=1)
        == await names(sort="", status="")
        == ["C", "a", "b"]
    )
    assert await names(sort="created_at") == ["b", "C", "a"]
    assert await names(sort="updated_at") == ["C", "a", "b"]
    assert await names(status="planned") == await names(status="planned,nope") == ["a", "b"]
    assert await names(status="paused, planned") == ["C", "a", "b"]
    assert await names(status="nope") == []
    listed = await there.data(
        "query($ws: ID) { projects(workspaceId: $ws, status: [planned], sort: created_at) { name } }"
    )
    assert [project["name"] for project in listed if len(project["name"]) == 1] == ["b", "a"]


async def test_progress_counts_issues_alone(board: Board) -> None:
    project, empty = await board.project(), await board.project()
    for status in ("DONE", "REVIEW", "COMPLETED", "BACKLOG", "TODO", "FAILED", "CANCELLED"):
        await board.in_state(MissionStatus(status), project_id=project.id)
    await board.mission(project_id=project.id, status=MissionStatus.COMPLETED)
    shown = await board.read(f"{PROJECTS}/{project.id}")
    assert (shown["issue_count"], shown["done_count"], shown["progress"]) == (7, 3, 42)
    shown = await board.read(f"{PROJECTS}/{empty.id}")
    assert (shown["issue_count"], shown["done_count"], shown["progress"]) == (0, 0, 0)
    document = (
        "query($ws: ID, $id: ID!) { project(workspaceId: $ws, id: $id) {"
        " issueCount doneCount progress issues { nodes { status } } } }"
    )
    found = await board.data(document, id=project.id)
    assert (found["issueCount"], found["doneCount"], found["progress"], len(found["issues"]["nodes"])) == (7, 3, 42, 7)


async def test_the_numbers_of_a_project(world: World) -> None:
    board, other = await Board.of(world), await Board.of(world)
    project, bug, ui = await board.project(), await board.label(f"a{word()}"), await board.label(f"b{word()}")
    gone = Agent(name=f"Z{word()}", slug=new_id(), **board.here)
    await world.add(gone)
    agent, of_user = (
        {"assignee_type": "agent", "assignee_id": board.worker.id},
        {"assignee_type": "user", "assignee_id": world.owner.user_id},
    )
    await board.in_state(MissionStatus.DONE, project_id=project.id, labels=[bug.id, ui.id], **agent)
    await board.in_state(MissionStatus.REVIEW, project_id=project.id, labels=[bug.id], **agent)
    await other.create(project_id=project.id, **agent)
    await other.create(project_id=project.id, **of_user)
    await other.create(project_id=project.id, assignee_type="team", assignee_id=board.lead.id)
    await board.create(project_id=project.id, assignee_id=gone.id)
    await board.create(labels=[bug.id], **agent)
    await board.mission(project_id=project.id)
    await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", gone.id)
    assert await board.read(f"{PROJECTS}/{project.id}/stats") == {
        "total_issues": 6,
        "completed_issues": 2,
        "by_status": {"BACKLOG": 4, "DONE": 1, "REVIEW": 1},
        "by_assignee": [
            {"agent_id": board.worker.id, "agent_name": board.worker.name, "total": 3, "completed": 2},
            {"agent_id": "", "agent_name": "Unassigned", "total": 2, "completed": 0},
            {"agent_id": gone.id, "agent_name": gone.name, "total": 1, "completed": 0},
        ],
        "by_label": [
            {"label_name": bug.name, "color": "red", "count": 2},
            {"label_name": ui.name, "color": "red", "count": 1},
        ],
        "crews": sorted([board.crew.slug, other.crew.slug]),
    }
    bare = await board.project()
    nothing = {
        "total_issues": 0,
        "completed_issues": 0,
        "by_status": {},
        "by_assignee": [],
        "by_label": [],
        "crews": [],
    }
    assert await board.read(f"{PROJECTS}/{bare.id}/stats") == nothing
    document = (
        "query($ws: ID, $id: ID!) { projectStats(workspaceId: $ws, id: $id) {"
        " totalIssues byStatus byLabel { count } crews } }"
    )
    found = await board.data(document, id=project.id)
    assert (found["totalIssues"], found["byStatus"]["BACKLOG"], [each["count"] for each in found["byLabel"]]) == (
        6,
        4,
        [2, 1],
    )
    there = await Board.of(world, world.other)
    assert (await there.ask("GET", f"{PROJECTS}/{project.id}/stats")).status_code == 404


async def test_a_deleted_project_lets_its_issues_go(board: Board) -> None:
    """In one transaction: whoever looks sees all of it or nothing."""
    project, kept = await board.project(), await board.project()
    milestones = [await board.milestone(project) for _ in range(2)]
    issues = [await board.create(project_id=project.id, milestone_id=milestone.id) for milestone in milestones]
    mixed, other = await board.create(milestone_id=milestones[0].id), await board.create(project_id=kept.id)
    since = await board.since()
    for person, status in ((board.world.manager, 403), (board.world.admin, 204), (board.world.admin, 404)):
        assert (await board.ask("DELETE", f"{PROJECTS}/{project.id}", None, person)).status_code == status
    for issue in (*issues, mixed):
        found = await board.get(issue)
        assert (found["project_id"], found["milestone_id"]) == (None, None)
    assert (await board.get(other))["project_id"] == kept.id
    assert await board.world.database.fetchval("SELECT count(*) FROM milestones WHERE project_id = $1", project.id) == 0
    assert await board.events(since) == [("project.deleted", {"id": project.id})]
    assert (await made(board, project.name))["slug"] == project.slug
    writers = "SELECT count(DISTINCT xmin::text) FROM missions WHERE id = ANY($1)"
    assert await board.world.database.fetchval(writers, [issue["id"] for issue in (*issues, mixed)]) == 1


async def test_a_deletion_while_issues_come_leaves_none_behind(board: Board) -> None:
    """A reference that was checked a moment before is refused or unlinked, and never a 500."""
    for _ in range(3):
        project = await board.project()
        creates = [board.ask("POST", board.path, {"title": "x", "project_id": project.id}) for _ in range(6)]
        gone, *answers = await asyncio.gather(
            board.ask("DELETE", f"{PROJECTS}/{project.id}", None, board.world.admin), *creates
        )
        assert gone.status_code == 204
        assert {answer.status_code for answer in answers} <= {201, 400}
        assert (
            await board.world.database.fetchval("SELECT count(*) FROM missions WHERE project_id = $1", project.id) == 0
        )
