"""Ids in bodies: what is not a live row of the workspace and of the right kind, is refused, and nothing is written."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

import pytest

from models.base import new_id
from models.staff.agents import Agent
from tests.work.issues.board import ISSUES, UNKNOWN, Board
from tests.world import World, now

pytestmark = pytest.mark.anyio
CREATE = "mutation($ws: ID, $in: CreateIssueInput!) { createIssue(workspaceId: $ws, input: $in) { id } }"
UPDATE = "mutation($ws: ID, $in: UpdateIssueInput!) { updateIssue(workspaceId: $ws, input: $in) { id } }"
BULK = "mutation($ws: ID, $in: BulkUpdateInput!) { updateIssues(workspaceId: $ws, input: $in) { updated } }"
THEIRS = "Secret harbour"


def camel(body: dict[str, Any]) -> dict[str, Any]:
    return {re.sub(r"_(.)", lambda found: found[1].upper(), name): value for name, value in body.items()}


@dataclass
class Ids:
    """For each field, values that name nothing it could take; and one that it takes."""

    board: Board
    issue: dict[str, Any]
    bad: dict[str, list[str]]
    good: dict[str, str]

    @classmethod
    async def of(cls, world: World) -> "Ids":
        board, there = await Board.of(world), await Board.of(world, world.other, name=THEIRS)
        mine, theirs = await board.project(), await there.project(name=THEIRS)
        stage, their_stage = await board.milestone(mine), await there.milestone(theirs, name=THEIRS)
        issue, their_issue = await board.create(), await there.create(THEIRS)
        label, their_label, mission = await board.label(), await there.label(THEIRS), await board.mission()
        gone = Agent(name="Gone", slug=new_id(), crew_id=board.crew.id, deleted_at=now(), **board.here)
        their_agent = Agent(name=THEIRS, slug=new_id(), crew_id=there.crew.id, **there.here)
        await world.add(gone, their_agent)
        bad = {
            "project_id": [theirs.id, UNKNOWN, stage.id, mine.slug],
            "milestone_id": [their_stage.id, UNKNOWN, mine.id],
            "parent_issue_id": [their_issue["id"], UNKNOWN, mission.id, issue["identifier"]],
            "labels": [their_label.id, UNKNOWN, mine.id, label.name],
            "assignee_id": [their_agent.id, gone.id, UNKNOWN, world.owner.user_id, board.worker.slug],
            "routine_id": [UNKNOWN, mine.id],
        }
        good = {
            "project_id": mine.id,
            "milestone_id": stage.id,
            "parent_issue_id": issue["id"],
            "labels": label.id,
            "assignee_id": board.worker.id,
        }
        return cls(board, issue, bad, good)

    def bodies(self, *fields: str) -> list[tuple[str, dict[str, Any]]]:
        made = [
            (field, {field: [self.good["labels"], value] if field == "labels" else value})
            for field in fields
            for value in self.bad[field]
        ]
        members = [self.board.worker.id, self.board.world.outsider.user_id, self.board.world.nobody.user_id]
        return made + [
            ("assignee_id", {"assignee_type": "user", "assignee_id": id}) for id in members if "assignee_id" in fields
        ]


@pytest.fixture(scope="module")
async def ids(world: World) -> Ids:
    return await Ids.of(world)


def refused(field: str, code: str, text: str) -> None:
    assert code == "BAD_REQUEST", text
    assert text.startswith(f"{field}: there is no such "), text
    assert THEIRS not in text


async def test_no_issue_is_created_with_an_id_that_names_nothing(ids: Ids) -> None:
    board = ids.board
    before = await board.world.snapshot()
    for field, body in ids.bodies(
        "project_id", "milestone_id", "parent_issue_id", "labels", "assignee_id", "routine_id"
    ):
        answer = await board.ask("POST", board.path, {"title": "Bad"} | body)
        assert answer.status_code == 400, (body, answer.text[:300])
        refused(field, "BAD_REQUEST", answer.json()["detail"])
        assert list(answer.json()["fields"]) == [field]
        refused(field, *await board.code(CREATE, **{"in": {"title": "Bad", "crewId": board.crew.id} | camel(body)}))
    assert await board.world.snapshot() == before


async def test_no_issue_is_changed_to_an_id_that_names_nothing(ids: Ids) -> None:
    board = ids.board
    before = await board.world.snapshot()
    for field, body in ids.bodies("project_id", "milestone_id", "parent_issue_id", "assignee_id", "routine_id"):
        if body in ({"parent_issue_id": ids.issue["identifier"]}, {"assignee_id": board.world.owner.user_id}):
            continue  # a member is found without a type
        answer = await board.patch(ids.issue, title="Bad", **body)
        assert answer.status_code == 400, (body, answer.text[:300])
        refused(field, "BAD_REQUEST", answer.json()["detail"])
        named = {"crewId": board.crew.id, "identifier": ids.issue["identifier"]}
        refused(field, *await board.code(UPDATE, **{"in": named | camel(body)}))
    assert await board.world.snapshot() == before


async def test_no_issue_of_many_is_changed_to_an_id_that_names_nothing(ids: Ids) -> None:
    board = ids.board
    before = await board.world.snapshot()
    for field, body in ids.bodies("project_id", "assignee_id"):
        sent = {"ids": [ids.issue["id"]], "updates": {"priority": "low"} | body}
        answer = await board.ask("PATCH", f"{ISSUES}/bulk", sent)
        assert answer.status_code == 400, (body, answer.text[:300])
        assert answer.json()["detail"].removeprefix("updates.").startswith(f"{field}: there is no such ")
        code, text = await board.code(BULK, **{"in": {"ids": sent["ids"], "updates": camel(body)}})
        refused(field, code, text.removeprefix("updates."))
    assert await board.world.snapshot() == before


async def test_an_id_of_several_faults_names_each_field(ids: Ids) -> None:
    answer = await ids.board.ask(
        "POST", ids.board.path, {"title": "Bad", "project_id": UNKNOWN, "labels": [UNKNOWN], "milestone_id": UNKNOWN}
    )
    assert set(answer.json()["fields"]) == {"project_id", "labels", "milestone_id"}


async def test_what_is_of_the_workspace_is_taken(ids: Ids) -> None:
    """Also when it is of another crew, a label twice, and an assignee without a type."""
    good = ids.good | {"labels": [ids.good["labels"]] * 2}
    made = await ids.board.create("Good", **good)
    found = await ids.board.get(made)
    assert [label["id"] for label in found["labels"]] == [ids.good["labels"]]
    for field in ("project_id", "milestone_id", "parent_issue_id", "assignee_id"):
        assert found[field] == ids.good[field]
    assert (found["assignee_type"], "assignee_name" in found, made["project_id"]) == (None, False, None)
    other = await Board.of(ids.board.world)
    assert (await other.create("Other", parent_issue_id=made["id"]))["parent_issue_id"] == made["id"]
    assert (await ids.board.create("User", assignee_type="user", assignee_id=ids.board.world.viewer.user_id))[
        "assignee_type"
    ] == "user"


async def test_under_another_type_an_assignee_is_a_mere_text(ids: Ids) -> None:
    made = await ids.board.create(
        "Free", assignee_type="team", assignee_id="nobody", priority="whatever", due_date="someday", estimate=-3
    )
    assert (made["assignee_type"], made["assignee_id"], made["priority"], made["due_date"], made["estimate"]) == (
        "team",
        "nobody",
        "whatever",
        "someday",
        -3,
    )
    agent = await ids.board.create("Free", assignee_type="team", assignee_id=ids.board.worker.id)
    system = await ids.board.create("Free", assignee_type="system", assignee_id=ids.board.worker.id)
    for issue in (made, agent, system):
        assert "assignee_name" not in await ids.board.get(issue)
    assert (await ids.board.ask("POST", ids.board.of_issue(agent, "/start"))).status_code == 400


async def test_a_milestone_of_another_project_is_refused(ids: Ids) -> None:
    board = ids.board
    other = await board.project()
    before = await board.world.snapshot()
    answer = await board.ask(
        "POST", board.path, {"title": "Bad", "project_id": other.id, "milestone_id": ids.good["milestone_id"]}
    )
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["milestone_id"])
    assert await board.world.snapshot() == before
    assert (await board.create("Good", milestone_id=ids.good["milestone_id"]))["milestone_id"] == ids.good[
        "milestone_id"
    ]


async def test_only_a_live_crew_with_a_lead_has_issues(world: World) -> None:
    leaderless, gone, there = await Board.of(world), await Board.of(world), await Board.of(world, world.other)
    await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", leaderless.lead.id)
    await world.database.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", gone.crew.id)
    before = await world.snapshot()
    answer = await leaderless.ask("POST", leaderless.path, {"title": "x"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Crew has no LEAD agent")
    for crew_id in (gone.crew.id, there.crew.id, UNKNOWN, leaderless.crew.slug):
        answer = await leaderless.ask("POST", f"/api/v1/crews/{crew_id}/issues", {"title": ""})
        assert (answer.status_code, answer.json()["detail"]) == (404, "Crew not found")
        code = (await leaderless.code(CREATE, **{"in": {"title": "x", "crewId": crew_id}}))[0]
        assert code == "NOT_FOUND"
    assert await world.snapshot() == before


async def test_a_type_alone_names_nobody_of_another_workspace(board: Board) -> None:
    """Under a type of its own an id is a mere text; what makes it somebody's is checked again."""
    stranger = board.world.outsider.user_id
    issue = await board.create(assignee_type="squad", assignee_id=stranger)
    assert (await board.patch(issue, assignee_type="user")).status_code == 400
    bulk = {"ids": [issue["id"]], "updates": {"assignee_type": "user"}}
    assert (await board.ask("PATCH", f"{ISSUES}/bulk", bulk)).status_code == 400
    assert (await board.row(issue))["assignee_type"] == "squad"
    project = await board.project(lead_type="squad", lead_id=stranger)
    assert (await board.ask("PATCH", f"/api/v1/projects/{project.id}", {"lead_type": "user"})).status_code == 400


@pytest.mark.parametrize(("table", "column"), [("missions", "assignee"), ("projects", "lead")])
async def test_who_was_checked_is_who_stands(board: Board, table: str, column: str) -> None:
    """Somebody else writes a stranger's id, as a mere text, between the check of a type and the write."""
    viewer, stranger = board.world.viewer.user_id, board.world.outsider.user_id
    chosen = {f"{column}_type": "squad", f"{column}_id": viewer}
    if table == "missions":
        issue = await board.create(**chosen)
        id, path = issue["id"], board.of_issue(issue)
    else:
        id = (await board.project(**chosen)).id
        path = f"/api/v1/projects/{id}"
    async with board.world.database.transaction():
        await board.world.database.execute(f"UPDATE {table} SET {column}_id = $1 WHERE id = $2", stranger, id)
        patch = asyncio.create_task(board.ask("PATCH", path, {f"{column}_type": "user"}))
        await asyncio.sleep(0.2)
    assert (await patch).status_code == 200
    found = await board.read(path)
    assert (found[f"{column}_id"], found[f"{column}_name"]) == (viewer, "Viewer Example")
