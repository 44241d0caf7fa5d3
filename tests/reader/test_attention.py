"""What needs attention, against the lists that its rows are from: a caller gets each row that they can read there and
that needs something, and no other.
"""

from typing import Any

import pytest

from models.attention.inbox import InboxItem, InboxKind, InboxSubject
from models.base import TenantRow
from models.people.workspaces import Role
from models.resources.credentials import Credential, CredentialStatus, CredentialType
from resolvers.attention.inbox.attention import SCOPES
from resolvers.attention.inbox.kinds import AttentionKind, AttentionSubject
from resolvers.attention.inbox.needs import NEEDS
from resolvers.attention.inbox.putting import SUBJECTS
from resolvers.kernel.ground.policy import GATES, Action
from resolvers.kernel.reader.graph import access_of
from tests.every import each_of
from tests.reader.library import Library
from tests.tenant.door import visible
from tests.world import Person, World

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
EVERYBODY = ("owner", "admin", "manager", "member", "viewer")
AT_HOME = {
    "approval": 'approvals(status: "all", AT) { PAGE }',
    "question": "crews(AT) { PAGE }",
    "failed_run": "runs(AT) { PAGE }",
    "stuck_run": "runs(AT) { PAGE }",
    "budget": "budgets(AT) { PAGE }",
    "work_pause": "workPauses(AT) { PAGE }",
    "mission_pause": "missions(AT) { PAGE }",
    "credential": "credentials(AT) { PAGE }",
    "inbox_item": "inbox(AT) { PAGE }",
    "review": "missions(AT) { PAGE }",
    "task": "missions(AT) { PAGE }",
}
"""The list that has a kind's rows, or the rows that they are below."""
NEEDING = {
    "approval": "SELECT id, id AS home, workspace_id FROM approvals WHERE status = 'pending'",
    "question": "SELECT id, crew_id AS home, workspace_id FROM escalations WHERE status = 'PENDING'",
    "task": """SELECT t.id, m.id AS home, m.workspace_id FROM mission_tasks t JOIN missions m ON m.id = t.mission_id
        WHERE t.status = 'AWAITING_APPROVAL' AND m.status = 'IN_PROGRESS'""",
    "failed_run": """SELECT r.id, r.id AS home, r.workspace_id FROM runs r JOIN inbox_items i ON i.subject_id = r.id
        WHERE i.kind = 'failed_run' AND i.state <> 'resolved' AND i.subject_type = 'run'""",
    "stuck_run": """SELECT id, id AS home, workspace_id FROM runs
        WHERE status = 'RUNNING' AND coalesce(leased_until, created_at) < now() - interval '10 minutes'""",
    "budget": """SELECT id, id AS home, workspace_id FROM budgets
        WHERE CASE period WHEN 'day' THEN (now() AT TIME ZONE 'UTC')::date::text ELSE 'total' END
            IN (warned_in, exceeded_in)""",
    "work_pause": "SELECT id, id AS home, workspace_id FROM work_pauses WHERE resumed_at IS NULL",
    "mission_pause": "SELECT id, id AS home, workspace_id FROM missions WHERE paused_at IS NOT NULL",
    "credential": "SELECT id, id AS home, workspace_id FROM credentials WHERE status = 'EXPIRED'",
    "inbox_item": """SELECT id, id AS home, workspace_id FROM inbox_items
        WHERE state <> 'resolved' AND (state = 'unread' OR blocking)
            AND coalesce(subject_type, '') NOT IN
                ('approval', 'escalation', 'mission_task', 'run', 'budget', 'work_pause')
            AND (subject_type IS NULL OR subject_type <> 'issue' OR kind <> 'message')""",
    "review": """SELECT id, id AS home, workspace_id FROM missions WHERE status = 'REVIEW' AND (
        $1 IN (CASE WHEN created_by_type = 'user' THEN created_by_id END,
            CASE WHEN assignee_type = 'user' THEN assignee_id END)
        OR $2 AND NOT EXISTS (SELECT FROM memberships m WHERE m.workspace_id = missions.workspace_id AND m.user_id IN (
            CASE WHEN created_by_type = 'user' THEN created_by_id END,
            CASE WHEN assignee_type = 'user' THEN assignee_id END)))""",
}
"""The rows that need something, in all workspaces; `home`: the row that the list has."""


async def walked(library: Library, person: Person, field: str, shown: str = "id") -> list[dict[str, Any]]:
    """The rows of a list, page by page; none of a list that the person may not read."""
    found, after = list[dict[str, Any]](), "null"
    while True:
        page = f"pageInfo {{ hasNextPage endCursor }} nodes {{ {shown} }}"
        text = field.replace("AT", f"first: 50, after: {after}").replace("PAGE", page)
        _, answer = await library.ask(library.compiled, person, f"{{ list: {text} }}")
        if answer["data"]["list"] is None:
            assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN", answer
            return []
        found += answer["data"]["list"]["nodes"]
        info = answer["data"]["list"]["pageInfo"]
        if not info["hasNextPage"]:
            return found
        after = f'"{info["endCursor"]}"'


@pytest.fixture
async def hidden(library: Library) -> None:
    """A credential that only managers see, and one that everybody sees."""
    kinds = {"type": CredentialType.SECRET, "status": CredentialStatus.EXPIRED, "workspace_id": None}
    world = library.world
    kinds["workspace_id"] = world.workspace.id
    for scope in ("CREW", "WORKSPACE"):
        if not await world.database.fetchval("SELECT count(*) FROM credentials WHERE name = $1", f"of {scope}"):
            await world.add(Credential(name=f"of {scope}", scope=scope, **kinds))


@each_of("kind", list(AttentionKind))
async def test_each_row_that_the_caller_can_read_is_listed_and_no_other(
    kind: AttentionKind, library: Library, hidden: None
) -> None:
    world, shown = library.world, 0
    for name in EVERYBODY:
        person = world.people[name]
        given = await walked(library, person, f"attention(kind: [{kind}], AT) {{ PAGE }}", "id subjectId kind")
        asked = [person.user_id, name in ("owner", "admin", "manager")] if kind is AttentionKind.review else []
        needing = await world.database.fetch(NEEDING[kind], *asked)
        at_home = {row["id"] for row in await walked(library, person, AT_HOME[kind])}
        here = [row for row in needing if row["workspace_id"] == world.workspace.id]
        expected = sorted(row["id"] for row in here if row["home"] in at_home)
        assert sorted(row["subjectId"] for row in given) == expected, (kind, name)
        assert {row["id"] for row in given} == {f"{kind}:{id}" for id in expected}
        shown += len(expected)
    assert shown, f"no {kind} needs attention here"


@each_of("name", EVERYBODY)
async def test_an_entry_leads_to_its_row(name: str, library: Library, hidden: None) -> None:
    """Also for callers who cannot read rows of every kind; what is listed can be read."""
    given = await walked(
        library,
        library.world.people[name],
        "attention(AT) { PAGE }",
        "kind subjectId subject { __typename ... on Budget { spentUsd id } ... on Issue { identifier id } }",
    )
    assert all(row["subject"] is not None for row in given), [row for row in given if row["subject"] is None]
    budgets = [row for row in given if row["kind"] == "budget"]
    assert bool(budgets) is (name in ("owner", "admin", "manager"))
    assert all(row["subject"]["id"] == row["subjectId"] for row in budgets)
    types = {row["subject"]["__typename"] for row in given}
    assert {"Approval", "Escalation", "MissionTask", "Run", "WorkPause", "Credential", "InboxItem"} <= types


@each_of("name", ["owner", "member"])
async def test_pages_are_the_list(name: str, library: Library) -> None:
    """Walked in both directions and by offset, pages have each entry once, in one order; the total is their number."""
    person = library.world.people[name]
    whole = [row["id"] for row in await walked(library, person, "attention(AT) { PAGE }", "id urgency since")]
    assert len(whole) == len(set(whole)) > 100
    for size in (1, 7):
        back, before = list[str](), "null"
        while len(back) < min(len(whole), 12 * size):
            text = (
                f"attention(last: {size}, before: {before}) {{ totalCount pageInfo {{ startCursor }} nodes {{ id }} }}"
            )
            _, answer = await library.ask(library.compiled, person, f"{{ {text} }}")
            page = answer["data"]["attention"]
            back = [row["id"] for row in page["nodes"]] + back
            before = f'"{page["pageInfo"]["startCursor"]}"'
            assert page["totalCount"] == len(whole)
        assert back == whole[-len(back) :]
    _, answer = await library.ask(library.compiled, person, "{ attention(first: 5, offset: 60) { nodes { id } } }")
    assert [row["id"] for row in answer["data"]["attention"]["nodes"]] == whole[60:65]


@each_of("model", list({need.model for need in NEEDS}))
async def test_no_entry_is_of_a_hidden_row(model: type[TenantRow], library: Library) -> None:
    """A condition on who sees the rows of a kind holds in the list, and for the row that an entry leads to."""
    kinds = ", ".join(need.kind for need in NEEDS if need.model is model)
    world, shown = library.world, "id subject { __typename } item { id }"
    with visible(model, lambda row, scope: scope.may(row, Action.OWNER)):
        theirs = await walked(library, world.owner, f"attention(kind: [{kinds}], AT) {{ PAGE }}", shown)
        assert theirs
        assert all(row["subject"] is not None for row in theirs)
        assert await walked(library, world.admin, f"attention(kind: [{kinds}], AT) {{ PAGE }}", shown) == []
        if model is InboxItem:
            failed = "attention(kind: [failed_run], AT) { PAGE }"
            assert any(row["item"] for row in await walked(library, world.owner, failed, shown))
            rest = await walked(library, world.admin, failed, shown)
            assert [row["item"] for row in rest] == [None] * len(rest) != []
        about = "subjectType subject { __typename }"
        if named := [type_ for row, type_ in SUBJECTS.items() if row is model]:
            for person, seen in ((world.owner, True), (world.admin, False)):
                found = await walked(library, person, "inbox(AT) { PAGE }", about)
                assert all((row["subject"] is not None) is seen for row in found if row["subjectType"] in named)


async def test_the_inbox_names_its_subjects(library: Library) -> None:
    """Each subject is of the type that the item names."""
    shown = "subjectType subjectId subject { __typename ... on Run { id } ... on Issue { id } ... on Agent { id } }"
    given = await walked(library, library.world.owner, "inbox(AT) { PAGE }", shown)
    found = {(row["subjectType"], (row["subject"] or {}).get("__typename")) for row in given if row["subjectType"]}
    assert {("run", "Run"), ("issue", "Issue"), ("agent", "Agent")} <= found


async def test_a_subject_that_the_caller_cannot_read_is_null(library: Library) -> None:
    """A budget is for managers; the item about it may be for everybody, and the rest of the answer is given."""
    world, named = library.world, {"kind": InboxKind.message, "source_id": "spent", "title": "Spent"}
    budget = await world.database.fetchval("SELECT id FROM budgets WHERE workspace_id = $1 LIMIT 1", world.workspace.id)
    about = {"subject_type": InboxSubject.budget, "subject_id": budget, "workspace_id": world.workspace.id}
    await world.add(InboxItem(id="ibx_message_spent", **named, **about))
    asked = '{ inboxItem(id: "ibx_message_spent") { title subject { __typename ... on Budget { id spentUsd } } } }'
    for name in EVERYBODY:
        _, answer = await library.ask(library.compiled, world.people[name], asked)
        subject = answer["data"]["inboxItem"]["subject"]
        assert "errors" not in answer
        assert (subject is not None) is (name in ("owner", "admin", "manager")), name
        assert subject is None or (subject["__typename"], subject["id"]) == ("Budget", budget)
    await world.database.execute("DELETE FROM inbox_items WHERE id = 'ibx_message_spent'")


def test_a_token_needs_the_scopes_of_all_rows() -> None:
    """The gate of the list is open to every member: the gates of its rows are conditions of their branches."""
    assert {scope for need in NEEDS for scope in access_of(need.model).scopes or ()} == set(SCOPES)
    assert {need.kind for need in NEEDS} == set(AttentionKind)
    assert set(AttentionSubject) >= {"approval", "issue", "mission"}
    assert any(GATES[access_of(need.model).gate] != set(Role) for need in NEEDS)


def test_every_kind_is_judged_here() -> None:
    assert set(AT_HOME) == set(NEEDING) == set(AttentionKind)


async def test_a_filter_finds_rows_of_one_crew(library: Library) -> None:
    world: World = library.world
    whole = await walked(library, world.owner, "attention(AT) { PAGE }", "id crewId kind")
    for crew in {row["crewId"] for row in whole if row["crewId"]}:
        given = await walked(library, world.owner, f'attention(crewId: "{crew}", AT) {{ PAGE }}', "id crewId kind")
        assert {r["id"] for r in given} >= {r["id"] for r in whole if r["crewId"] == crew}
        assert all(row["crewId"] == crew or row["kind"] == "credential" for row in given)
