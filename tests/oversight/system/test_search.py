"""The search of everything finds what the lists show, by the same rights, and nothing else."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

import pytest

from models.base import new_id
from models.resources.credentials import Credential, CredentialCrew, CredentialType
from models.resources.skills import Skill
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.issues import IssueComment
from models.work.missions import Mission, MissionType
from models.work.projects import Project
from resolvers.kernel import Action, constant
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.declarations.query import Query
from resolvers.oversight.system.search import LONGEST_QUERY, SearchType
from tests.every import each_of
from tests.world import Person, World, world_on

pytestmark = pytest.mark.anyio
SEARCH = (
    "query($ws: ID, $q: String!, $t: [SearchType!], $n: Int)"
    " { search(workspaceId: $ws, query: $q, types: $t, first: $n) { type rowId title detail } }"
)
LISTS = {
    "agent": "agents(workspaceId: $ws, first: 100) { nodes { id title: name detail: slug } }",
    "crew": "crews(workspaceId: $ws, first: 100) { nodes { id title: name detail: slug } }",
    "issue": "issues(workspaceId: $ws, first: 100) { nodes { id title detail: identifier } }",
    "mission": 'issues(workspaceId: $ws, first: 100, missionType: "orchestration") { nodes { id title } }',
    "project": "projects(workspaceId: $ws) { id title: name detail: slug }",
    "chat": "chats(workspaceId: $ws, first: 100) { nodes { id title } }",
    "run": "runs(workspaceId: $ws, first: 100) { nodes { id detail: id triggerType status } }",
    "credential": "credentials(workspaceId: $ws, first: 100) { nodes { id title: name } }",
    "skill": "skills(workspaceId: $ws) { id title: displayName detail: slug name }",
    "member": "members(workspaceId: $ws) { user { id title: fullName } }",
    "comment": "issues(workspaceId: $ws, first: 100) { nodes { comments { nodes { id title: body } } } }",
}
WORD = "Zephyr"


async def fill(world: World, workspace_id: str, suffix: str, user_id: str) -> None:
    """One of each kind with the same word in its name; of the credentials one that only managers see."""
    here: dict[str, Any] = {"workspace_id": workspace_id}
    crew = Crew(name=f"{WORD} crew", slug=f"zephyr-crew-{suffix}", **here)
    agent = Agent(crew_id=crew.id, name=f"The {WORD}", slug=f"agent-{suffix}", **here)
    mission: dict[str, Any] = {"crew_id": crew.id, "lead_agent_id": agent.id, **here}
    chat = Chat(id=f"chat-{suffix}", agent_id=agent.id, title=f"About {WORD}", created_by=user_id, **here)
    secret = {"type": CredentialType.API_KEY, **here}
    hidden = Credential(name=f"{WORD} of the crew {suffix}", scope="CREW", **secret)
    leak = Mission(
        title=f"{WORD} leaks", trace_id=f"i-{suffix}", mission_type=MissionType.issue, number=1,
        identifier=f"ZEP{suffix.upper()}-1", **mission,
    )  # fmt: skip
    said = [
        IssueComment(mission_id=leak.id, author_type="user", author_id=user_id, body=body, **here)
        for body in (f"The bilge of the {WORD}", f"Example {suffix}: a dry dock {'of long words ' * 50} at the end")
    ]
    await world.add(
        crew,
        agent,
        leak,
        *said,
        Mission(title=f"{WORD} mission", trace_id=f"m-{suffix}", mission_type=MissionType.orchestration, **mission),
        Project(name=f"Project {WORD}", slug=f"project-{suffix}", **here),
        chat,
        Run(id=f"zephyr-run-{suffix}", agent_id=agent.id, chat_id=chat.id, status="COMPLETED", **here),
        Credential(name=f"{WORD} key {suffix}", **secret),
        hidden,
        CredentialCrew(credential_id=hidden.id, crew_id=crew.id, **here),
        Skill(**dict.fromkeys(("name", "name_key", "slug"), f"zephyr-{suffix}"), display_name=f"{WORD} {suffix}"),
    )  # fmt: skip


@pytest.fixture(scope="module")
async def world(
    module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    async with world_on(module_database, tmp_path_factory.mktemp("data"), row_level_security=True) as made:
        await fill(made, made.workspace.id, "a", made.owner.user_id)
        await fill(made, made.other.id, "b", made.outsider.user_id)
        yield made


async def found(world: World, person: Person, query: str, *types: str, first: int = 100) -> list[dict[str, Any]]:
    variables = {"q": query, "t": list(types) or None, "n": first}
    answer = await world.graphql(person, SEARCH, variables)
    assert "errors" not in answer, answer
    return answer["data"]["search"]  # type: ignore[no-any-return]


async def listed(world: World, person: Person, kind: str) -> list[dict[str, Any]]:
    """What the list of a kind shows a person."""
    answer = await world.graphql(person, f"query($ws: ID) {{ page: {LISTS[kind]} }}")
    assert "errors" not in answer, answer
    page = answer["data"]["page"]
    rows = page["nodes"] if isinstance(page, dict) else page
    rows = [row.get("user", row) for row in rows]
    if kind == "comment":
        rows = [comment for row in rows for comment in row["comments"]["nodes"]]
    for row in rows:
        if kind == "run":
            row["title"] = f"{row.pop('triggerType')} {row.pop('status')}"
    return [row for row in rows if row is not None]


@each_of("kind", [kind.value for kind in SearchType])
async def test_each_role_finds_what_its_lists_show(world: World, kind: str) -> None:
    for role in ("owner", "admin", "manager", "member", "viewer"):
        person = world.people[role]
        rows = await listed(world, person, kind)
        for query in (WORD, "zEPHyr", "e", "a 1", "zephyr-run", "%", "_", "Example"):
            words = query.lower().split()
            texts = {row["id"]: " ".join([row[key] or "" for key in row if key != "id"]).lower() for row in rows}
            expected = {id for id, text in texts.items() if all(word in text for word in words)}
            hits = await found(world, person, query, kind)
            assert {hit["rowId"] for hit in hits} == expected, (role, query)
            assert {hit["type"] for hit in hits} <= {kind}


def test_a_token_needs_the_scope_of_each_list() -> None:
    lists = (
        "agents.list", "crews.list", "issues.find", "missions.list_all", "projects.list", "chats.list_all",
        "runs.list", "credentials.list", "skills.list", "members.list",
    )  # fmt: skip
    needed = frozenset().union(*[OPERATIONS[name].needs or frozenset() for name in lists])
    assert OPERATIONS["system.search"].needs == needed
    assert {OPERATIONS[name].action for name in (*lists, "system.search")} == {Action.READ}


async def test_what_is_hidden_is_not_found(world: World) -> None:
    everything = {hit["title"] for hit in await found(world, world.owner, WORD)}
    assert everything == {
        "Zephyr crew", "The Zephyr", "Zephyr mission", "Zephyr leaks", "Project Zephyr", "About Zephyr",
        "USER COMPLETED", "Zephyr key a", "Zephyr of the crew a", "Zephyr a", "Zephyr b",
        "The bilge of the Zephyr",
    }  # fmt: skip
    seen = {hit["title"] for hit in await found(world, world.viewer, WORD)}
    assert seen == everything - {"Zephyr of the crew a"}
    elsewhere = await world.graphql(world.outsider, SEARCH, {"q": WORD, "ws": world.workspace.id})
    assert elsewhere["data"]["search"] is None
    assert [error["extensions"]["code"] for error in elsewhere["errors"]] == ["FORBIDDEN"]
    for address in (world.owner.email, world.viewer.email.split("@")[1]):
        assert await found(world, world.viewer, address) == []


async def test_the_closest_is_first(world: World) -> None:
    hits = await found(world, world.owner, "zephyr leaks")
    assert (hits[0]["type"], hits[0]["detail"]) == ("issue", "ZEPA-1")
    assert [hit["type"] for hit in await found(world, world.owner, "zepa-1")] == ["issue"]
    titles = [hit["title"] for hit in await found(world, world.owner, WORD, "crew", "agent", "project")]
    assert titles[0] == "Zephyr crew"
    assert {*titles[1:]} == {"The Zephyr", "Project Zephyr"}
    assert len(await found(world, world.owner, WORD, first=3)) == 3


async def test_hostile_queries_end_soon_and_mean_nothing_else(world: World) -> None:
    plain = len(await found(world, world.owner, "e"))
    begun = time.process_time()
    hostile = ("%" * LONGEST_QUERY, "~ " * (LONGEST_QUERY // 2), "\\", "'; --", "(((((", "\u0130" * 50, ".*")
    for query in (*hostile, "\t e \t"):
        hits = await found(world, world.owner, query)
        assert (len(hits) == plain) is (query == "\t e \t"), query
    assert time.process_time() - begun < 5
    for query in ("", "  ", "x" * (LONGEST_QUERY + 1)):
        answer = await world.graphql(world.owner, SEARCH, {"q": query})
        assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST", query
    for size in (0, 101, -1):
        answer = await world.graphql(world.owner, SEARCH, {"q": "e", "n": size})
        assert answer["errors"][0]["extensions"]["code"] == "BAD_REQUEST", size


async def test_an_old_row_is_found_by_its_name_or_by_the_index(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement looks at no newest rows here. What it finds by name or by the index comes once, and by the same
    rights.
    """
    monkeypatch.setattr(import_module("resolvers.oversight.system.search"), "LOOKED_AT", 0)
    shown = SEARCH.replace("title detail", "detail")
    for person, query, ids in (
        (world.viewer, "zepa-1", ["ZEPA-1"]),
        (world.viewer, "ZEPA-1", ["ZEPA-1"]),
        (world.viewer, "zephyr-run-a", ["zephyr-run-a"]),
        (world.viewer, "ZEPB-1", []),
        (world.viewer, "zephyr-run-b", []),
        (world.viewer, "project zephyr", []),
        (world.viewer, "zephyr leaks", ["ZEPA-1"]),
        (world.viewer, "zepa", ["ZEPA-1"]),
        (world.viewer, "zephyr mission", [None]),
        (world.viewer, "zephyr bilge", ["ZEPA-1"]),
        (world.viewer, "at the end", ["ZEPA-1"]),
        (world.viewer, "bilge leaks", []),
    ):
        answer = await world.graphql(person, shown, {"q": query})
        assert [hit["detail"] for hit in answer["data"]["search"]] == ids, query
    other = await world.graphql(world.viewer, shown, {"q": "zepa-1", "t": ["run"]})
    assert other["data"]["search"] == []


def replan(monkeypatch: pytest.MonkeyPatch, **constants: Any) -> None:
    """The search is planned again, with other limits."""
    for name, value in constants.items():
        monkeypatch.setattr(import_module("resolvers.oversight.system.search"), name, value)
    plans().clear()


def plans() -> dict[Any, Any]:
    operation = OPERATIONS["system.search"]
    assert isinstance(operation, Query)
    return operation.plans


async def issue_of(world: World) -> Any:
    find = "SELECT * FROM missions WHERE workspace_id = $1 AND mission_type = 'issue' LIMIT 1"
    return await world.database.fetchrow(find, world.workspace.id)


async def test_comments_of_any_age_are_found_and_the_newest_of_too_many(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is newer and says something else hides no comment."""
    issue = await issue_of(world)
    said = {"author_type": "user", "author_id": world.owner.user_id, "mission_id": issue["id"]}
    said["workspace_id"] = world.workspace.id
    for month, body in ((1, "Kelpie {}"), (2, "Nothing of the kind {}")):
        for day in (3, 1, 4, 2):
            await world.add(
                IssueComment(body=body.format(day), created_at=datetime(2040, month, day, tzinfo=UTC), **said)
            )
    titles = [f"Kelpie {day}" for day in (4, 3, 2, 1)]
    for comments, candidates, expected in (
        (1, 1_000, titles),
        (1, 4, titles),
        (6, 3, titles[:2]),
        (4, 3, []),
    ):
        replan(monkeypatch, NEWEST_COMMENTS=constant(comments), MOST_CANDIDATES=constant(candidates))
        for query in ("kelpie", "KELPIE  "):
            hits = await found(world, world.viewer, query, "comment")
            assert [hit["title"] for hit in hits] == expected, (comments, candidates, query)
    plans().clear()


async def test_letters_are_found_in_either_case_at_any_age(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the database knows the case of letters: what the index finds is what is compared."""
    replan(monkeypatch, LOOKED_AT=0)
    issue = await issue_of(world)
    made = dict(issue) | {"title": "ÄHRE am ΟΔΟΣ", "identifier": "ZEPA-2", "number": 2, "description": None}
    made |= {"id": new_id(), "trace_id": "i-case", "created_at": datetime.now(UTC)}
    comment = IssueComment(
        mission_id=made["id"], author_type="user", author_id=world.owner.user_id, body="ÜBER Bord",
        workspace_id=world.workspace.id,
    )  # fmt: skip
    await world.add(Mission(**made), comment)
    knows = await world.database.fetchval("SELECT lower('ÄΣ' COLLATE \"default\") = 'äσ'")
    for query, title, plain in (
        ("ÄHRE", made["title"], True),
        ("ähre", made["title"], knows),
        ("οδοσ", made["title"], knows),
        ("οδος", made["title"], knows),
        ("am οδ", made["title"], knows),
        ("ÜBER bord", "ÜBER Bord", True),
        ("über BORD", "ÜBER Bord", knows),
        ("ähren", None, False),
    ):
        hits = await found(world, world.viewer, query)
        assert [hit["title"] for hit in hits] == ([title] if plain else []), query
    plans().clear()


async def test_issues_of_one_time_are_found_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them are among the newest, and the index finds the others."""
    issue, then = dict(await issue_of(world)), datetime(2041, 1, 1, tzinfo=UTC)
    ids = sorted([new_id() for _ in range(5)])
    await world.add(*[
        Mission(**issue | {
            "id": id, "title": "Grampus", "identifier": f"GRAM-{n}", "number": 10 + n, "trace_id": f"g-{n}",
            "created_at": then,
        }) for n, id in enumerate(ids)
    ])  # fmt: skip
    for newest in (0, 2, 4, 5, 9):
        replan(monkeypatch, LOOKED_AT=newest)
        hits = await found(world, world.viewer, "grampus")
        assert [hit["rowId"] for hit in hits] == ids, newest
    plans().clear()


async def test_the_index_is_read_once(world: World) -> None:
    plans().clear()
    assert await found(world, world.viewer, "zephyr")
    [plan] = plans().values()
    assert plan.sql.count("search_candidates(") == 1
