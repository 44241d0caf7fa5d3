"""GraphQL: what is read from an issue, what a mutation answers with, and what subscriptions are told."""

from typing import Any

import pytest

from models.people.workspaces import Role
from models.work.missions import MissionStatus
from tests.live.graphql import Talk, talking
from tests.work.issues.board import ISSUES, Board, word
from tests.world import Person

pytestmark = pytest.mark.anyio
CREATE = "mutation($ws: ID, $in: CreateIssueInput!) { createIssue(workspaceId: $ws, input: $in) { %s } }"
READ = "query($ws: ID, $i: String!) { issue(workspaceId: $ws, identifier: $i) { %s } }"
CAPABILITY = "mutation($in: UpdateCapabilitiesInput!) { updateCapabilities(input: $in) { __typename } }"
WORKSPACE = """
    subscription($ws: ID) { workspaceEvents(workspaceId: $ws) {
      __typename
      ... on IssueCreatedEvent { id } ... on IssueCreatedByServiceEvent { id identifier title }
      ... on IssueUpdatedEvent { id reference: identifier now: status }
      ... on IssueStartedEvent { id identifier status }
      ... on IssueDeletedEvent { identifier } ... on IssuesBulkUpdatedEvent { count }
      ... on MissionUpdatedEvent { id crewId name: title state: status }
      ... on ProjectCreatedEvent { id }
    } }
"""
MISSION = (
    "subscription($id: ID!) { missionEvents(missionId: $id) {"
    " __typename ... on MissionStatusChangedEvent { status title } } }"
)


async def created(board: Board, shown: str, **values: Any) -> Any:
    return await board.data(CREATE % shown, **{"in": {"crewId": board.crew.id, "title": "Leak"} | values})


async def test_all_around_an_issue_in_one_question(board: Board) -> None:
    project, label = await board.project(name="Voyage"), await board.label(f"b-{word()}")
    milestone, first = await board.milestone(project, name="Cape"), await board.label(f"a-{word()}")
    above, other = await board.create("Hull"), await board.create("Pump")
    issue = await board.create(
        project_id=project.id, milestone_id=milestone.id, labels=[label.id, first.id], parent_issue_id=above["id"],
        assignee_id=board.worker.id,
        assignee_type="agent",
    )  # fmt: skip
    below = [await board.create(title, parent_issue_id=issue["id"]) for title in ("One", "Two")]
    for body in ("A", "B", "C"):
        await board.ask("POST", board.of_issue(issue, "/comments"), {"body": body})
    await board.ask(
        "POST",
        board.of_issue(other, "/relations"),
        {"target_identifier": issue["identifier"], "relation_type": "blocks"},
    )
    await board.change(issue, priority="high", status="TODO")
    shown = """
        status priority assigneeName createdByType createdByName authoredVia version commentCount subIssuesCount
        crew { slug } leadAgent { id } project { name issueCount } milestone { name issueCount project { id } }
        parentIssue { title subIssues { id } }
        labels { name } subIssues { title parentIssue { id } } activity { action details actorName }
        relations { relationType targetIdentifier targetTitle targetStatus }
        comments(first: 2) { nodes { body authorName issue { id } } pageInfo { hasNextPage endCursor } }
    """
    found = await board.data(READ % shown, board.world.viewer, i=issue["identifier"])
    page = found.pop("comments")
    assert found == {
        "status": "TODO", "priority": "high", "assigneeName": board.worker.name, "createdByType": "user",
        "createdByName": "Manager Example",
        "authoredVia": "user_api", "version": 2, "commentCount": 3, "subIssuesCount": 2,
        "crew": {"slug": board.crew.slug},
        "leadAgent": {"id": board.lead.id}, "project": {"name": "Voyage", "issueCount": 1},
        "milestone": {"name": "Cape", "issueCount": 1, "project": {"id": project.id}},
        "parentIssue": {"title": "Hull", "subIssues": [{"id": issue["id"]}]},
        "labels": [{"name": first.name}, {"name": label.name}],
        "subIssues": [{"title": title, "parentIssue": {"id": issue["id"]}} for title in ("One", "Two")],
        "activity": [
            {"action": "priority_changed", "details": "high", "actorName": "Manager Example"},
            {"action": "status_changed", "details": "BACKLOG \u2192 TODO", "actorName": "Manager Example"},
        ],
        "relations": [{"relationType": "blocked_by", "targetIdentifier": other["identifier"], "targetTitle": "Pump",
            "targetStatus": "BACKLOG"}],
    }  # fmt: skip
    assert page["nodes"] == [
        {"body": body, "authorName": "Manager Example", "issue": {"id": issue["id"]}} for body in ("A", "B")
    ]
    assert page["pageInfo"]["hasNextPage"]
    rest = (
        READ.replace("$i: String!", "$i: String!, $after: String")
        % "comments(first: 2, after: $after) { nodes { body } pageInfo { hasNextPage } }"
    )
    found = await board.data(rest, i=issue["identifier"], after=page["pageInfo"]["endCursor"])
    assert found == {"comments": {"nodes": [{"body": "C"}], "pageInfo": {"hasNextPage": False}}}
    assert {each["identifier"] for each in below} == {
        each["identifier"] for each in await board.read(board.of_issue(issue, "/subtasks"))
    }


async def test_each_issue_of_a_list_has_its_own(board: Board) -> None:
    labels = [await board.label() for _ in range(3)]
    issues = [await board.create(f"Leak {n}", labels=[label.id]) for n, label in enumerate(labels)]
    for n, issue in enumerate(issues):
        for each in range(n):
            await board.ask("POST", board.of_issue(issue, "/comments"), {"body": f"{n}-{each}"})
        await board.ask(
            "POST",
            board.of_issue(issue, "/relations"),
            {"target_identifier": issues[n - 1]["identifier"], "relation_type": "duplicate_of"},
        )
    document = """
        query($ws: ID, $crew: ID) { issues(workspaceId: $ws, crewId: $crew) { nodes {
          title labels { id } commentCount comments { nodes { body } } relations { targetTitle } } } }
    """
    nodes = (await board.data(document, crew=board.crew.id))["nodes"]
    assert [node["title"] for node in nodes] == ["Leak 2", "Leak 1", "Leak 0"]
    for node in nodes:
        n = int(node["title"][-1])
        assert node["labels"] == [{"id": labels[n].id}]
        assert [each["body"] for each in node["comments"]["nodes"]] == [f"{n}-{each}" for each in range(n)]
        assert (node["commentCount"], {each["targetTitle"] for each in node["relations"]}) == (
            n,
            {f"Leak {m}" for m in range(3) if m != n},
        )


async def test_a_new_issue_answers_with_what_hangs_on_it(board: Board) -> None:
    label, project = await board.label(), await board.project()
    above = await board.create("Hull")
    shown = (
        "number labels { id } project { id issueCount } parentIssue { subIssuesCount }"
        " crew { issueCounter } commentCount comments { nodes { id } }"
    )
    made = await created(board, shown, labels=[label.id], projectId=project.id, parentIssueId=above["id"])
    assert made == {
        "number": 2, "labels": [{"id": label.id}], "project": {"id": project.id, "issueCount": 1},
        "parentIssue": {"subIssuesCount": 1},
        "crew": {"issueCounter": 2}, "commentCount": 0, "comments": {"nodes": []},
    }  # fmt: skip


async def test_a_changed_issue_answers_with_what_it_is_now(board: Board) -> None:
    issue, project, label = await board.create(), await board.project(), await board.label()
    document = """
        mutation($ws: ID, $in: UpdateIssueInput!) { updateIssue(workspaceId: $ws, input: $in) {
          status project { doneCount issueCount } labels { id } completedAt } }
    """
    sent = {
        "crewId": board.crew.id,
        "identifier": issue["identifier"],
        "status": "CANCELLED",
        "projectId": project.id,
        "labels": [label.id],
    }
    changed = await board.data(document, **{"in": sent})
    assert changed.pop("completedAt")
    assert changed == {
        "status": "CANCELLED",
        "project": {"doneCount": 0, "issueCount": 1},
        "labels": [{"id": label.id}],
    }


async def heard(talk: Talk, id: str, count: int) -> list[dict[str, Any]]:
    return [next(iter((await talk.next(id)).values())) for _ in range(count)]


async def test_a_workspace_is_told_of_its_issues(board: Board) -> None:
    world = board.world
    async with talking(world, world.viewer) as talk:
        await talk.listen("w", WORKSPACE, ws=world.workspace.id)
        issue = await board.create(assignee_type="agent", assignee_id=board.worker.id)
        await board.change(issue, title="Renamed")
        await board.ask("POST", board.of_issue(issue, "/start"))
        await board.ask("POST", board.of_issue(issue, "/stop"))
        await board.ask("PATCH", f"{ISSUES}/bulk", {"ids": [issue["id"]], "updates": {"status": "TODO"}})
        await world.database.execute("UPDATE missions SET status = 'REVIEW' WHERE id = $1", issue["id"])
        await board.ask("POST", board.of_issue(issue, "/review"), {"action": "request_changes"})
        await board.change(issue, status="CANCELLED")
        await board.ask("DELETE", board.of_issue(issue))
        named = {"id": issue["id"], "identifier": issue["identifier"]}
        changed = {"__typename": "IssueUpdatedEvent", "id": issue["id"], "reference": None, "now": None}
        assert await heard(talk, "w", 9) == [
            {"__typename": "IssueCreatedEvent", "id": issue["id"]},
            changed,
            {"__typename": "IssueStartedEvent", "status": "IN_PROGRESS"} | named,
            {
                "__typename": "MissionUpdatedEvent",
                "id": issue["id"],
                "crewId": board.crew.id,
                "name": "Renamed",
                "state": "STARTED",
            },
            changed | {"reference": issue["identifier"], "now": "CANCELLED"},
            {"__typename": "IssuesBulkUpdatedEvent", "count": "1"},
            changed | {"reference": issue["identifier"]},
            changed,
            {"__typename": "IssueDeletedEvent", "identifier": issue["identifier"]},
        ]
        there = await Board.of(world, world.other)
        await there.create()
        assert await talk.silent()


async def test_a_mission_is_told_of_its_start(board: Board) -> None:
    world, issue = board.world, await board.create("Leak", assignee_id=board.worker.id)
    async with talking(world, world.viewer) as talk:
        await talk.listen("m", MISSION, id=issue["id"])
        await board.ask("POST", board.of_issue(issue, "/start"))
        assert await heard(talk, "m", 1) == [
            {"__typename": "MissionStatusChangedEvent", "status": "STARTED", "title": "Leak"}
        ]


# ---- the capability --------------------------------------------------------------------------------------------------


async def able(board: Board, person: Person, *capabilities: str) -> None:
    path = f"/api/v1/workspaces/{board.world.workspace.id}/members/{person.user_id}/capabilities"
    answer = await board.world.rest(board.world.owner, "PATCH", path, {"grant": list(capabilities)}, workspace=None)
    assert answer.status_code == 200, answer.text[:300]


async def test_a_viewer_who_holds_the_capability_creates_and_no_more(board: Board) -> None:
    world = board.world
    person, plain = await world.person(word(), Role.VIEWER), await world.person(word(), Role.VIEWER)
    await able(board, person, "issue.create")
    await able(board, plain, "routine.create")
    for each in (plain, world.member):
        before = await world.snapshot()
        answer = await board.ask("POST", board.path, {"title": 1}, each)
        assert (answer.status_code, answer.json()["error"]) == (403, "Forbidden")
        assert (await board.code(CREATE % "id", each, **{"in": {"crewId": board.crew.id, "title": "no"}}))[
            0
        ] == "FORBIDDEN"
        assert await world.snapshot() == before
    issue = await board.create("By a viewer", person=person)
    assert (issue["created_by"], issue["authored_via"]) == (
        {"type": "user", "id": person.user_id, "name": f"{person.name.title()} Example"},
        "user_api",
    )
    made = await board.data(
        CREATE % "number createdById", person, **{"in": {"crewId": board.crew.id, "title": "By a viewer"}}
    )
    assert made == {"number": 2, "createdById": person.user_id}
    assert (await board.ask("POST", "/api/v1/crews/cnosuchcrew/issues", {"title": "x"}, person)).status_code == 404
    assert (await board.ask("POST", board.path, {"title": ""}, person)).status_code == 400
    before = await world.snapshot()
    path = board.of_issue(issue)
    for method, target, body in (
        ("PATCH", path, {"title": "no"}), ("DELETE", path, None), ("POST", f"{path}/start", None),
        ("POST", f"{path}/comments", {"body": "no"}),
        ("POST", f"{path}/relations", {}),
        ("PATCH", f"{ISSUES}/bulk", {"ids": [issue["id"]], "updates": {"priority": "low"}}),
    ):  # fmt: skip
        assert (await board.ask(method, target, body, person)).status_code == 403, (method, target)
    assert await world.snapshot() == before


async def test_the_capability_counts_in_its_own_workspace(board: Board) -> None:
    world = board.world
    there = await Board.of(world, world.other)
    person = await world.person(word(), Role.VIEWER)
    await able(board, person, "issue.create")
    await world.database.execute(
        "INSERT INTO memberships (id, workspace_id, user_id, role) VALUES ($1, $2, $3, 'VIEWER')",
        f"c{word()}",
        world.other.id,
        person.user_id,
    )
    assert (await there.ask("POST", there.path, {"title": "no"}, person)).status_code == 403
    assert (await board.ask("POST", there.path, {"title": "no"}, person)).status_code == 404
    assert (await there.create(person=world.outsider))["status"] == MissionStatus.BACKLOG


async def test_the_answer_of_a_change_shows_what_it_has_left_in_the_timeline(board: Board) -> None:
    issue = await board.create("Anchor")
    document = (
        "mutation($ws: ID, $in: UpdateIssueInput!) {"
        " updateIssue(workspaceId: $ws, input: $in) { priority activity { action details } } }"
    )
    changed = await board.data(
        document, **{"in": {"crewId": board.crew.id, "identifier": issue["identifier"], "priority": "high"}}
    )
    assert changed == {"priority": "high", "activity": [{"action": "priority_changed", "details": "high"}]}


async def test_a_priority_of_the_closed_set_has_a_level_and_changes_have_pages(board: Board) -> None:
    issue = await board.create("Sail", priority="high")
    for priority in ("low", "as you like"):
        await board.change(issue, priority=priority)
    shown = (
        "priority priorityLevel changes(first: 1) { totalCount nodes { details } pageInfo { hasNextPage endCursor } }"
    )
    read = await board.data(READ % shown, i=issue["identifier"])
    assert (read["priority"], read["priorityLevel"]) == ("as you like", None)
    assert read["changes"]["nodes"] == [{"details": "as you like"}]
    assert read["changes"]["pageInfo"]["hasNextPage"]
    behind = f'changes(first: 1, after: "{read["changes"]["pageInfo"]["endCursor"]}") {{ nodes {{ details }} }}'
    assert (await board.data(READ % behind, i=issue["identifier"]))["changes"]["nodes"] == [{"details": "low"}]
    await board.change(issue, priority="urgent")
    assert await board.data(READ % "priorityLevel", i=issue["identifier"]) == {"priorityLevel": "urgent"}
