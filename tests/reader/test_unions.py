"""Unions: a row of one of several kinds, each of which keeps its own gate, visibility and tenant."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from models.base import new_id
from models.people.auth import User
from models.staff.agents import Agent
from models.staff.chats import Chat
from models.work.issues import IssueRelation
from models.work.labels import Label
from models.work.missions import Mission
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import GRAPHS, Column, Nested, Shape, count, edges_of, either, extend, many, one, scopes_of
from resolvers.kernel.reader.graph import ACCESS, check_graphs
from schema.bridge.documents import Document
from schema.bridge.endpoint import MAX_COST
from schema.bridge.limits import MAX_ALIASES, MAX_DEPTH, MAX_SAME
from tests.attacks.test_scopes import with_scopes
from tests.every import each_of
from tests.reader.library import SCHEMA, Library
from tests.tenant.door import forget_statements, visible
from tests.work.issues.board import Board
from tests.world import Person

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
READ = "query($i: String!) { issue(identifier: $i) { assigneeName assignee { %s } } }"
BOTH = "__typename ... on User { id fullName } ... on Agent { slug name }"
SELECTIONS = {"both": BOTH, "the type alone": "__typename", "the other kind alone": "... on User { id }"}
every_selection = pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)


@pytest.fixture
async def board(library: Library) -> Board:
    return await Board.of(library.world)


async def assigned(board: Board, kind: str | None, id: str | None) -> str:
    """The identifier of an issue that names its assignee so, whoever that is."""
    issue = await board.create()
    await board.world.database.execute(
        "UPDATE missions SET assignee_type = $2, assignee_id = $3 WHERE id = $1", issue["id"], kind, id
    )
    return str(issue["identifier"])


async def shown(
    library: Library,
    identifier: str,
    selection: str,
    person: Person | None = None,
    fragments: str = "",
    **variables: Any,
) -> Any:
    """What both paths show of the issue."""
    text = READ % selection + fragments
    for name, (kind, _) in variables.items():
        text = text.replace("$i: String!", f"$i: String!, ${name}: {kind}")
    values = {"i": identifier} | {name: value for name, (_, value) in variables.items()}
    answer = await library.same(person or library.world.viewer, text, values)
    assert "errors" not in answer, answer
    return answer["data"]["issue"]


async def codes(library: Library, identifier: str, selection: str, person: Person) -> list[tuple[str, str]]:
    answer = await library.same(person, READ % selection, {"i": identifier})
    assert answer["data"] == {"issue": None}
    return [(error["extensions"]["code"], error["message"]) for error in answer["errors"]]


# ---- which row -------------------------------------------------------------------------------------------------------


async def test_each_kind_shows_its_own_fields(library: Library, board: Board) -> None:
    agent, user = await assigned(board, "agent", board.worker.id), await assigned(board, "user", board.person.user_id)
    worker = {"__typename": "Agent", "slug": board.worker.slug, "name": board.worker.name}
    manager = {"__typename": "User", "id": board.person.user_id, "fullName": "Manager Example"}
    assert (await shown(library, agent, BOTH))["assignee"] == worker
    assert (await shown(library, user, BOTH))["assignee"] == manager
    named = "fragment F on Actor { ... on Agent { slug ...G } ...G } "
    named += "fragment G on Actor { __typename ... on Agent { name } }"
    assert (await shown(library, agent, "...F", fragments=named))["assignee"] == worker
    assert (await shown(library, user, "...F", fragments=named))["assignee"] == {"__typename": "User"}


async def test_a_kind_that_no_fragment_is_on_is_there_all_the_same(library: Library, board: Board) -> None:
    agent, user = await assigned(board, "agent", board.worker.id), await assigned(board, "user", board.person.user_id)
    for selection, found in (
        ("... on User { id }", ({}, {"id": board.person.user_id})),
        ("... on Agent { slug }", ({"slug": board.worker.slug}, {})),
        ("... on Agent { slug @skip(if: true) }", ({}, {})),
        ("__typename @skip(if: true)", ({}, {})),
        (
            "... on Agent @include(if: false) { slug } ... { __typename }",
            ({"__typename": "Agent"}, {"__typename": "User"}),
        ),
    ):
        assert tuple([(await shown(library, each, selection))["assignee"] for each in (agent, user)]) == found
    gone = await assigned(board, "agent", new_id())
    assert (await shown(library, gone, "... on User { id }"))["assignee"] is None


@every_selection
@pytest.mark.parametrize(
    ("kind", "id", "name"),
    [
        ("agent", "deleted", True),
        ("agent", "foreign agent", False),
        ("agent", "user", False),
        ("agent", "nobody", False),
        ("user", "foreign user", True),
        ("user", "left", True),
        ("user", "agent", False),
        ("agent", None, False),
        ("user", "", False),
        ("system", "agent", False),
        ("team", "agent", False),
        ("", "agent", False),
        (None, "agent", False),
        (None, None, False),
    ],
)
async def test_null_where_there_is_no_row(
    library: Library, board: Board, selection: str, kind: str | None, id: str | None, name: bool
) -> None:
    """By the statement alone: row-level security would hide what is foreign, too."""
    world, there = library.world, await Board.of(library.world, library.world.other)
    left = await world.person(f"left{new_id()}", None)
    ids = {
        "deleted": board.worker.id,
        "foreign agent": there.worker.id,
        "user": board.person.user_id,
        "nobody": new_id(),
        "foreign user": world.outsider.user_id,
        "left": left.user_id,
        "agent": board.lead.id,
    }
    if id == "deleted":
        await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", board.worker.id)
    identifier, tables = await assigned(board, kind, ids.get(id or "", id)), ("agents", "memberships")
    for table in tables:
        await world.database.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    try:
        found = await shown(library, identifier, selection)
    finally:
        for table in tables:
            await world.database.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    assert found["assignee"] is None
    assert (found["assigneeName"] is not None) is name


async def test_over_several_workspaces_each_row_has_its_own(library: Library, board: Board) -> None:
    """The owner is in both, the outsider in the other one alone."""
    world, there = library.world, await Board.of(library.world, library.world.other)
    for each in (board, there):
        await assigned(each, "user", world.outsider.user_id)
        await assigned(each, "agent", there.worker.id)
    assignee = "assignee { ... on User { id } ... on Agent { slug } }"
    text = f"{{ viewer {{ workspaces {{ id issues(first: 4) {{ nodes {{ {assignee} }} }} }} }} }}"
    answer = await library.same(world.owner, text)
    first = {w["id"]: w["issues"]["nodes"][:2] for w in answer["data"]["viewer"]["workspaces"]}
    assert first[world.workspace.id] == [{"assignee": None}] * 2
    assert first[world.other.id] == [
        {"assignee": {"slug": there.worker.slug}},
        {"assignee": {"id": world.outsider.user_id}},
    ]


# ---- who may ---------------------------------------------------------------------------------------------------------


@every_selection
async def test_a_hidden_row_is_none(library: Library, board: Board, selection: str) -> None:
    identifier, world = await assigned(board, "agent", board.worker.id), library.world
    with visible(Agent, lambda row, scope: scope.may(row, Action.OWNER)):
        assert (await shown(library, identifier, selection, world.viewer))["assignee"] is None
        assert (await shown(library, identifier, selection, world.owner))["assignee"] is not None
    with visible(User, lambda row, scope: row.id == scope.user_id):
        user = await assigned(board, "user", world.member.user_id)
        assert (await shown(library, user, selection, world.viewer))["assignee"] is None
        assert (await shown(library, user, selection, world.member))["assignee"] is not None


@pytest.fixture
def _for_owners() -> Iterator[None]:
    """Agents are read by owners alone."""
    before = ACCESS[Agent]
    ACCESS[Agent] = replace(before, gate=Action.OWNER)
    forget_statements()
    yield
    ACCESS[Agent] = before
    forget_statements()


@pytest.mark.usefixtures("_for_owners")
@every_selection
async def test_a_role_without_the_gate_of_a_member_is_refused(library: Library, board: Board, selection: str) -> None:
    """Whichever kind the row is of, and whichever is asked: else the answer would tell what the gate keeps."""
    for kind, id in (("agent", board.worker.id), ("user", board.person.user_id), (None, None)):
        identifier = await assigned(board, kind, id)
        answer = await library.same(library.world.admin, READ % selection, {"i": identifier})
        assert answer["data"]["issue"]["assignee"] is None
        [error] = answer["errors"]
        assert (error["path"], error["extensions"]["code"]) == (["issue", "assignee"], "FORBIDDEN")
        assert error["extensions"]["requires"]["role"] == "OWNER"
        await shown(library, identifier, selection, library.world.owner)


@pytest.mark.parametrize(
    ("scopes", "selection", "lacks"),
    [
        (["issues:read"], "... on User { email }", None),
        (["issues:read"], "... on Agent @skip(if: true) { slug } ... on User { __typename }", None),
        (["issues:read"], "... on Agent { slug }", "agents:read"),
        (["issues:read"], "__typename", "agents:read"),
        (["issues:read", "agents:read"], BOTH, None),
        (["issues:read", "agents:read"], "... on Agent { crew { name } }", "crews:read"),
        (["issues:read", "agents:read"], "... on Agent { chatCount }", None),
    ],
)
async def test_a_token_needs_the_scope_of_the_members_that_it_asks_for(
    library: Library, board: Board, scopes: list[str], selection: str, lacks: str | None
) -> None:
    """On both paths, whatever kind the row is of."""
    person = await with_scopes(library.world, *scopes)
    for kind, id in (("agent", board.worker.id), ("user", board.person.user_id)):
        identifier = await assigned(board, kind, id)
        if lacks is None:
            assert (await shown(library, identifier, selection, person))["assignee"] is not None
        else:
            told = [("FORBIDDEN", f"The token lacks the scope {lacks}")]
            assert await codes(library, identifier, selection, person) == told


# ---- what is below a member ------------------------------------------------------------------------------------------


async def test_pages_below_a_member(library: Library, board: Board) -> None:
    chats = [Chat(agent_id=board.worker.id, title=f"Chat {n}", **board.here) for n in range(3)]
    await board.world.add(*chats)
    identifier, person = await assigned(board, "agent", board.worker.id), library.world.owner
    page = (
        "... on User { id } ... on Agent { crew { slug } more: chats(first: $n, after: $after) "
        "{ totalCount nodes { id } pageInfo { hasNextPage endCursor } } one: chats(first: 1) { edges { cursor } } }"
    )

    async def read(after: str | None) -> Any:
        given = {"n": ("Int", 2), "after": ("String", after)}
        return (await shown(library, identifier, page, person, **given))["assignee"]

    first = await read(None)
    assert first["crew"] == {"slug": board.crew.slug}
    assert first["more"]["totalCount"] == 3
    assert first["more"]["pageInfo"]["hasNextPage"]
    second = await read(first["more"]["pageInfo"]["endCursor"])
    found = [node["id"] for each in (first, second) for node in each["more"]["nodes"]]
    assert sorted(found) == sorted(chat.id for chat in chats)
    assert len(first["one"]["edges"]) == 1
    bad = await library.same(person, READ % '... on Agent { chats(after: "bad") { totalCount } }', {"i": identifier})
    assert [error["extensions"]["code"] for error in bad["errors"]] == ["BAD_REQUEST"]


async def test_names_and_lists_of_unions(library: Library, board: Board) -> None:
    identifier, person = await assigned(board, "agent", board.worker.id), library.world.owner
    text = """{ issues(first: 2) { edges { node {
        one: assignee { kind: __typename } two: assignee { ... on Agent { id } }
        creator { ... on User { __typename: fullName at: __typename email } } project { lead { __typename } }
        comments { nodes { author { __typename } } } activity { actor { __typename } }
    } } } }"""
    answer = await library.same(person, text)
    assert "errors" not in answer, answer
    node = answer["data"]["issues"]["edges"][0]["node"]
    assert (node["one"], node["two"]) == ({"kind": "Agent"}, {"id": board.worker.id})
    assert node["creator"] == {"__typename": "Manager Example", "at": "User", "email": board.person.email}
    assert (await shown(library, identifier, "x: __typename"))["assignee"] == {"x": "Agent"}


# ---- limits ----------------------------------------------------------------------------------------------------------


def within(selection: str) -> str:
    return f"{{ issues(first: 3) {{ nodes {{ assignee {{ {selection} }} }} }} }}"


DEEP = "crew { agents { nodes { " * ((MAX_DEPTH - 3) // 3) + "crew { id } " + "} } } " * ((MAX_DEPTH - 3) // 3)


@each_of(
    ("selection", "told"),
    [
        (f"... on Agent {{ {DEEP} }}", f"at most {MAX_DEPTH} levels"),
        (
            "... on Agent { crew { "
            + " ".join(f"a{n}: agents(first: {n}) {{ totalCount }}" for n in range(1, MAX_ALIASES + 2))
            + " } }",
            f"at most {MAX_ALIASES} aliases",
        ),
        (
            "... on Agent { " + " ".join(f"a{n}: slug" for n in range(MAX_SAME + 1)) + " }",
            "'slug' is requested too often",
        ),
        ("... on User { shown: fullName } ... on Agent { shown: name }", "conflict"),
        ("slug", "Cannot query field 'slug' on type 'Actor'"),
        ("... on Crew { id }", "can never be of type 'Crew'"),
    ],
)
def test_limits_and_rules_hold_inside_fragments(selection: str, told: str) -> None:
    errors = Document(SCHEMA, within(selection), None).errors
    assert any(told in error.message for error in errors), errors


async def test_the_cost_is_that_of_the_dearest_member(library: Library) -> None:
    async def cost(selection: str) -> int:
        costs = set()
        for endpoint in (library.compiled, library.executor):
            _, answer = await library.ask(endpoint, library.world.owner, within(selection))
            costs.add(int(answer["extensions"]["cost"]))
        [found] = costs
        return found

    assert await cost("__typename") == 1 + 3 * (1 + 1)
    assert await cost("... on User { id } ... on Agent { chats(first: 5) { nodes { id } } }") == 1 + 3 * (1 + 1 + 1 + 5)
    assert await cost("... on Agent { a: slug b: slug c: slug }") == 1 + 3 * (1 + 1 + 2)
    runs = "chats(first: 100) { nodes { runs(first: 100) { nodes { id } } } }"
    dear = f"... on Agent {{ crew {{ agents(first: 500) {{ nodes {{ {runs} }} }} }} }}"
    for endpoint in (library.compiled, library.executor):
        _, answer = await library.ask(endpoint, library.world.owner, within(dear))
        assert "data" not in answer
        assert answer["errors"][0]["extensions"]["cost"] > MAX_COST


async def test_introspection_names_the_members(library: Library) -> None:
    answer = await library.same(library.world.owner, '{ __type(name: "Actor") { kind name possibleTypes { name } } }')
    assert answer["data"]["__type"] == {
        "kind": "UNION",
        "name": "Actor",
        "possibleTypes": [{"name": "User"}, {"name": "Agent"}],
    }


# ---- declarations ----------------------------------------------------------------------------------------------------


@pytest.fixture
def _as_before() -> Iterator[None]:
    before = dict(GRAPHS[Mission])
    yield
    GRAPHS[Mission].clear()
    GRAPHS[Mission].update(before)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"agent": many(Agent, "crew_id")},
        {"agent": count(Agent, "crew_id")},
        {"it's": one(Agent, "assignee_id")},
    ],
    ids=["nothing", "many", "a count", "a quote"],
)
def test_a_union_chooses_from_edges_to_one_row(members: Any) -> None:
    with pytest.raises(TypeError, match="assignee_type: it chooses from edges to one row each"):
        either("assignee_type", members)


@pytest.mark.usefixtures("_as_before")
def test_what_a_union_leads_to_is_looked_at_like_any_edge() -> None:
    with pytest.raises(TypeError, match=r"Mission\.extra: there is no column kind"):
        extend(Mission, extra=either("kind", {"agent": one(Agent, "assignee_id")}))
    with pytest.raises(TypeError, match=r"User\.extra: no edge leads from a row of no workspace"):
        extend(User, extra=either("email", {"agent": one(Agent, "id")}))
    extend(Mission, extra=either("assignee_type", {"agent": one(Agent, "id"), "tie": one(IssueRelation, "id")}))
    with pytest.raises(TypeError, match=r"Mission\.extra leads to IssueRelation, which has no graph"):
        check_graphs([Label])


@pytest.mark.usefixtures("_as_before")
def test_the_edges_of_a_shape_are_those_of_every_member() -> None:
    members = {"agent": one(Agent, "assignee_id"), "label": one(Label, "assignee_id")}
    extend(Mission, extra=either("assignee_type", members))
    named = Shape((Column("name", "name"),))
    union = Shape((Nested("agent", "agent", named), Nested("label", "label", Shape(()))), "union")
    shape = Shape((Nested("extra", "extra", union),))
    assert list(edges_of(Mission, shape)) == list(members.values())
    assert scopes_of(Mission, shape) == frozenset({"agents:read"})
