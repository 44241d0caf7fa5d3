"""Issues by the filters and orders of boards, and counts by them."""

import random
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from models.staff.chats import Chat
from models.staff.runs import Run, RunStatus
from models.work.missions import Assignment, MissionStatus
from resolvers.kernel import constant
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.declarations.query import Query
from resolvers.work.issues import finding
from resolvers.work.issues.finding import IssueOrder
from tests.work.issues.board import UNKNOWN, Board, word

pytestmark = pytest.mark.anyio
FIND = "query($ws: ID, $crew: ID) { issues(workspaceId: $ws, crewId: $crew, first: 100%s) { nodes { title } } }"
COUNT = "query($ws: ID, $crew: ID) { issueCounts(workspaceId: $ws, crewId: $crew, by: %s) { %s count } }"


async def found(board: Board, arguments: str) -> list[str]:
    page = await board.data(FIND % f", {arguments}", crew=board.crew.id)
    return [node["title"] for node in page["nodes"]]


async def counts(board: Board, arguments: str, shown: str = "key") -> dict[Any, int]:
    rows = await board.data(COUNT % (arguments, shown), crew=board.crew.id)
    return {row["key"]: row["count"] for row in rows}


async def test_each_filter_lets_through_what_it_says(board: Board) -> None:
    project = await board.project()
    milestone, one, other = await board.milestone(project), await board.label(), await board.label()
    above = await board.create("Above", labels=[one.id, other.id], due_date="2026-03-01")
    await board.create("Below", parent_issue_id=above["id"], labels=[one.id], due_date="2026-04-01")
    await board.create(
        "Given", assignee_id=board.worker.id, assignee_type="agent", project_id=project.id, milestone_id=milestone.id
    )
    await board.create("Emptied", assignee_id="", due_date="tomorrow", person=board.world.admin)
    cases = {
        "unassigned: true": {"Above", "Below", "Emptied"},
        "unassigned: false": {"Given"},
        f'milestoneId: "{milestone.id}"': {"Given"},
        f'parentIssueId: "{above["id"]}"': {"Below"},
        f'creatorId: "{board.world.admin.user_id}"': {"Emptied"},
        f'anyLabelIds: ["{one.id}"]': {"Above", "Below"},
        f'anyLabelIds: ["{other.id}", "{UNKNOWN}"]': {"Above"},
        f'allLabelIds: ["{one.id}", "{other.id}"]': {"Above"},
        f'allLabelIds: ["{one.id}", "{UNKNOWN}"]': set(),
        "anyLabelIds: []": set(),
        "allLabelIds: []": {"Above", "Below", "Given", "Emptied"},
        'dueBefore: "2026-03-02"': {"Above"},
        'dueBefore: "2026-04-02"': {"Above", "Below"},
        f'updatedSince: "{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"': set(),
        f'updatedSince: "{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"': {
            "Above", "Below", "Given", "Emptied",
        },
        f'unassigned: true, anyLabelIds: ["{one.id}"], dueBefore: "2026-03-15"': {"Above"},
    }  # fmt: skip
    for arguments, expected in cases.items():
        assert {*await found(board, arguments)} == expected, arguments
        assert sum((await counts(board, f"status, {arguments}")).values()) == len(expected), arguments
    code, _ = await board.code(FIND % ', dueBefore: "soon"', crew=board.crew.id)
    assert code == "BAD_REQUEST"


async def test_text_is_found_wherever_an_issue_has_it(board: Board) -> None:
    said, other = await board.create("Leak"), await board.create("Roof", description="It leaks at the 100% mark")
    await board.create("Wall")
    await board.ask("POST", board.of_issue(said, "/comments"), {"body": "Bring a Ladder_"})
    foreign = await Board.of(board.world, board.world.other)
    issue = await foreign.create("Leak abroad", description="ladder_")
    await foreign.ask("POST", foreign.of_issue(issue, "/comments"), {"body": "Bring a ladder_"})
    cases = {
        "LEAK": {"Leak", "Roof"},
        "ladder_": {"Leak"},
        "100%": {"Roof"},
        "%": {"Roof"},
        "ladder?": set(),
        said["identifier"].lower(): {"Leak"},
        f"-{other['number']}": {"Roof"},
        "": {"Leak", "Roof", "Wall"},
    }
    for text, expected in cases.items():
        assert {*await found(board, f'text: "{text}"')} == expected, text
        assert sum((await counts(board, f'status, text: "{text}"')).values()) == len(expected), text
    assert await found(board, 'text: "leak", search: "roof"') == ["Roof"]


async def test_a_text_is_found_in_what_is_new_changed_or_long_and_not_in_what_is_gone(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By candidates of the index, and where there are more than it takes."""
    letters = random.Random(7)
    noise = "".join([chr(letters.randrange(0x4E00, 0x9FFF)) for _ in range(9_000)])
    texts = ["ql", "Straße", "n\u00e4h", "q\tb", "x" * 50 + "y", noise + "sail", "long " * 12_000 + "keel", ""]
    made = [await board.create(f"Hull {n}", description=text) for n, text in enumerate(texts)]
    changed = await board.create("Hull changed", description="an anchor")
    await board.ask("PATCH", board.of_issue(changed), {"description": "a rudder"})
    await board.ask("POST", board.of_issue(made[0], "/comments"), {"body": "The mast"})
    gone = await board.create("Hull gone", description="rudder")
    await board.ask("DELETE", board.of_issue(gone), None)
    cases = {
        "q": {0, 3}, "QL": {0}, "q\t": {3}, "aSS": set(), "traße": {1}, "ß": {1}, "h\u00e4": set(),
        "x" * 45: {4}, "x" * 44 + "y": {4}, "sail": {5}, noise[:60]: {5}, "keel": {6}, "ong l": {6},
        "anchor": set(), "rudder": {"changed"}, "mast": {0}, "hull": {*range(8), "changed"},
    }  # fmt: skip
    for most in (finding.MOST_CANDIDATES, constant(1), constant(0)):
        monkeypatch.setattr(finding, "MOST_CANDIDATES", most)
        for name in ("issues.find", "issues.count"):
            operation = OPERATIONS[name]
            assert isinstance(operation, Query)
            operation.plans.clear()
        for text, expected in cases.items():
            for also in ("", ", status: [BACKLOG, TODO]", ", orderBy: rank_asc"):
                given = {"text": text, "crew": board.crew.id}
                document = (FIND % f", text: $text{also}").replace("$ws: ID,", "$ws: ID, $text: String,")
                page = await board.data(document, **given)
                assert {node["title"] for node in page["nodes"]} == {f"Hull {n}" for n in expected}, (text, also)
        shown = "totalCount nodes { title }"
        document = FIND.replace("first: 100%s) { nodes { title }", f'first: 2, offset: 1, text: "hull") {{ {shown}')
        page = await board.data(document, crew=board.crew.id)
        assert page == {"totalCount": 9, "nodes": [{"title": "Hull 7"}, {"title": "Hull 6"}]}


async def test_candidates_are_of_the_workspace_of_the_session(board: Board) -> None:
    foreign = await Board.of(board.world, board.world.other)
    issue = await foreign.create("Ballast")
    asked = "SELECT issue_candidates($1, 'ballast', 100)"
    for session, found in ((board.world.other.id, [issue["id"]]), (board.world.workspace.id, [])):
        async with board.world.database.transaction():
            await board.world.database.execute("SELECT set_config('crewship.workspaces', $1, true)", session)
            assert await board.world.database.fetchval(asked, board.world.other.id) == found


PLACE: dict[str, Any] = {
    "priority": lambda name: {"urgent": 4, "high": 3, "low": 1}.get(name, 0),
    "due_date": lambda day: day or "none",
}


async def test_columns_in_each_order(board: Board) -> None:
    """With one state, with several, and by the page."""
    made = {}
    for n, status in enumerate([MissionStatus.TODO, MissionStatus.DONE, MissionStatus.TODO, MissionStatus.REVIEW] * 2):
        priority = ("urgent", "none", "soon", "low", "high")[n % 5]
        day = {"due_date": f"2030-01-0{9 - n}"} if n % 3 else {}
        made[f"Leak {n}"] = await board.in_state(status, title=f"Leak {n}", priority=priority, **day)
    document = "mutation($ws: ID, $in: MoveIssueInput!) { moveIssue(workspaceId: $ws, input: $in) { id } }"
    await board.data(document, **{"in": {"id": made["Leak 0"]["id"], "after": made["Leak 5"]["id"]}})
    rows = {title: await board.row(issue) for title, issue in made.items()}
    chosen = {"": [*MissionStatus], "status: [TODO], ": ["TODO"], "status: [TODO, REVIEW], ": ["TODO", "REVIEW"]}
    for (narrowed, states), order in product(chosen.items(), IssueOrder):
        name, _, way = order.rpartition("_")
        keys = (name, "id") if name in ("rank", "created_at", "updated_at") else (name, "created_at", "id")
        expected = sorted(
            [title for title, row in rows.items() if row["status"] in states],
            key=lambda title: [PLACE.get(key, lambda value: value)(rows[title][key]) for key in keys],
            reverse=way == "desc",
        )
        assert await found(board, f"{narrowed}orderBy: {order}") == expected, (narrowed, order)
        paged, after = [], "null"
        while after is not None:
            asked = f"workspaceId: $ws, crewId: $crew, first: 3, {narrowed}orderBy: {order}, after: {after}"
            shown = "nodes { title } pageInfo { hasNextPage endCursor }"
            document = f"query($ws: ID, $crew: ID) {{ issues({asked}) {{ {shown} }} }}"
            page = await board.data(document, crew=board.crew.id)
            paged += [node["title"] for node in page["nodes"]]
            after = f'"{page["pageInfo"]["endCursor"]}"' if page["pageInfo"]["hasNextPage"] else None
        assert paged == expected, (narrowed, order)


async def test_an_issue_leads_to_the_work_on_it(board: Board) -> None:
    """An issue leads to its own assignments and runs, and to no others."""
    issues, given = [await board.create(f"Leak {n}") for n in range(2)], []
    for issue in issues:
        chat = Chat(id=issue["id"], agent_id=board.lead.id, title="Leak", **board.here)
        ends = {"assigned_by_id": board.lead.id, "assigned_to_id": board.worker.id, "task": "Mend it"}
        given.append(Assignment(chat_id=chat.id, **ends, **board.here))
        await board.world.add(chat, given[-1])
    ended: dict[str, Any] = {"agent_id": board.worker.id, "status": RunStatus.COMPLETED, **board.here}
    runs = [Run(id=word(), assignment_id=each and each.id, **ended) for each in (*given, given[0], None)]
    await board.world.add(*runs)
    shown = "title assignments { nodes { id } } runs { totalCount nodes { id } }"
    document = f"query($ws: ID, $i: String!) {{ issue(workspaceId: $ws, identifier: $i) {{ {shown} }} }}"
    first, second = [await board.data(document, i=issue["identifier"]) for issue in issues]
    assert first["assignments"]["nodes"] == [{"id": given[0].id}]
    assert first["runs"]["totalCount"] == 2
    assert {node["id"] for node in first["runs"]["nodes"]} == {runs[0].id, runs[2].id}
    assert second["runs"] == {"totalCount": 1, "nodes": [{"id": runs[1].id}]}


async def test_counts_by_each_kind(board: Board) -> None:
    project = await board.project(name="Voyage")
    given = {"assignee_id": board.worker.id, "assignee_type": "agent"}
    for status in (MissionStatus.TODO, MissionStatus.TODO, MissionStatus.DONE):
        await board.in_state(status, priority="high", **given)
    await board.create(project_id=project.id, assignee_id="")
    assert await counts(board, "status") == {"TODO": 2, "DONE": 1, "BACKLOG": 1}
    assert await counts(board, "priority") == {"high": 3, "none": 1}
    assert await counts(board, "assignee") == {board.worker.id: 3, None: 1}
    assert await counts(board, "project") == {project.id: 1, None: 3}
    assert await counts(board, "assignee, status: [TODO, BACKLOG]") == {board.worker.id: 2, None: 1}
    shown = "key project { name } assignee { __typename ... on Agent { name } }"
    rows = await board.data(COUNT % ("project", shown), crew=board.crew.id)
    assert [(row["project"], row["assignee"]) for row in rows] == [(None, None), ({"name": "Voyage"}, None)]
    rows = await board.data(COUNT % ("assignee", shown), crew=board.crew.id)
    assert [row["assignee"] for row in rows] == [{"__typename": "Agent", "name": board.worker.name}, None]
    elsewhere = await board.world.graphql(
        board.world.outsider, COUNT % ("status", "key"), {"ws": board.world.other.id, "crew": board.crew.id}
    )
    assert elsewhere["data"] == {"issueCounts": []}
