"""Roots of one document as one statement: the same answers as one by one, and refusals of each alone."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from models.staff.crews import Crew
from resolvers.kernel.declarations import together
from schema.bridge import roots
from tests.attacks.test_scopes import with_scopes
from tests.world import Person, World

DASHBOARD = """
query Dashboard($ws: ID!, $crew: ID!, $first: Int, $none: ID!) {
  crew(workspaceId: $ws, id: $crew) { id name agents { nodes { name } } }
  again: crew(workspaceId: $ws, id: $crew) { slug }
  none: crew(workspaceId: $ws, id: $none) { id }
  crews(workspaceId: $ws, first: $first) { totalCount nodes { name agents(first: 2) { nodes { name } } } }
  more: crews(workspaceId: $ws, first: 1) { nodes { slug } pageInfo { hasNextPage endCursor } }
  labels(workspaceId: $ws) { name }
  agents(workspaceId: $ws, first: 3) { nodes { name crew { name } } }
}
"""


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many roots each joint statement answered; 0 where they had to be asked one by one."""
    seen, answer = list[int](), together.answer

    async def watched(*given: Any) -> Any:
        answers = await answer(*given)
        seen.append(len(answers or ()))
        return answers

    monkeypatch.setattr(together, "answer", watched)
    return seen


_words = itertools.count()


@pytest.fixture
async def crew(world: World) -> Crew:
    name = f"together-{next(_words)}"
    crew = Crew(workspace_id=world.workspace.id, name=name, slug=name)
    await world.add(crew)
    return crew


async def ask(world: World, person: Person, text: str, times: int = 4, **variables: Any) -> list[Any]:
    return [await world.graphql(person, text, {"ws": world.workspace.id, **variables}) for _ in range(times)]


async def test_a_document_that_is_asked_again_is_one_statement(world: World, crew: Crew, statements: list[int]) -> None:
    given = {"crew": crew.id, "first": 2, "none": "cnone00000000000000000000"}
    first, *others = await ask(world, world.viewer, DASHBOARD, **given)
    assert first["data"]["crew"]["name"] == first["data"]["again"]["slug"] == crew.name
    assert [error["path"] for error in first["errors"]] == [["none"]]
    assert others == [first] * 3
    assert statements == [7, 7]


async def test_values_are_each_requests_own(world: World, crew: Crew, statements: list[int]) -> None:
    other = Crew(workspace_id=world.workspace.id, name="Other", slug=f"other-{crew.slug}")
    await world.add(other)
    text = """
    query Two($ws: ID!, $a: ID!, $b: ID!) {
      a: crew(workspaceId: $ws, id: $a) { id } b: crew(workspaceId: $ws, id: $b) { id }
    }"""
    for a, b in ((crew.id, other.id), (other.id, crew.id), (crew.id, crew.id)):
        for answer in await ask(world, world.viewer, text, a=a, b=b):
            assert answer["data"] == {"a": {"id": a}, "b": {"id": b}}
    assert set(statements) == {2}
    assert len(statements) == 10


async def test_nothing_of_another_workspace_is_shown(world: World, crew: Crew, statements: list[int]) -> None:
    foreign = Crew(workspace_id=world.other.id, name="Foreign", slug=f"foreign-{crew.slug}")
    await world.add(foreign)
    text = """
    query Far($ws: ID!, $id: ID!) {
      far: crew(workspaceId: $ws, id: $id) { name } labels(workspaceId: $ws) { id }
    }"""
    for answer in await ask(world, world.viewer, text, id=foreign.id):
        assert answer["data"]["far"] is None
        assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    for answer in await ask(world, world.outsider, text, id=crew.id):
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN", "FORBIDDEN"]
    assert 2 in statements


async def test_a_bad_value_of_one_root_is_its_own(world: World, crew: Crew, statements: list[int]) -> None:
    text = """
    query Bad($ws: ID!, $after: String) {
      crews(workspaceId: $ws, first: 1, after: $after) { nodes { id } } labels(workspaceId: $ws) { id }
    }"""
    first, *others = await ask(world, world.viewer, text, after="no cursor")
    assert [error["path"] for error in first["errors"]] == [["crews"]]
    assert first["data"]["labels"] is not None
    assert others == [first] * 3


async def test_what_is_large_is_asked_beside_it(
    world: World, crew: Crew, statements: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
    query Large($ws: ID!) {
      crews(workspaceId: $ws, first: 100) { nodes { id agents(first: 1) { nodes { id } } } }
      a: labels(workspaceId: $ws) { id }
      b: labels(workspaceId: $ws) { name }
    }"""
    monkeypatch.setattr(roots, "SMALL", 150)
    first, *others = await ask(world, world.viewer, text)
    assert others == [first] * 3
    assert statements == [2, 2]


async def test_an_answer_that_is_too_large_together_is_given_one_by_one(
    world: World, crew: Crew, statements: list[int], small: None
) -> None:
    text = """
    query Big($ws: ID!) {
      a: labels(workspaceId: $ws) { id name color } b: crews(workspaceId: $ws) { nodes { id } }
    }"""
    first, *others = await ask(world, world.viewer, text)
    assert "errors" not in first
    assert others == [first] * 3
    assert statements == [0, 0]


async def test_a_token_reads_what_its_scopes_reach(world: World, crew: Crew, statements: list[int]) -> None:
    text = (
        "query Scoped($ws: ID!) { labels(workspaceId: $ws) { name } crews(workspaceId: $ws, first: 1) { totalCount } }"
    )
    await ask(world, world.viewer, text)
    for answer in await ask(world, await with_scopes(world, "labels:read"), text):
        assert answer["data"]["labels"] is not None
        assert [error["path"] for error in answer["errors"]] == [["crews"]]
        assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert statements == [2] * 6


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A joint statement has room for next to nothing."""
    compiled = together.Query.compiled_answer

    def tight(self: Any, gate: Any, trace: Any, request: Any, data: Any, roles: Any, beside: int = 1) -> Any:
        return compiled(self, gate, trace, request, data, roles, beside if beside == 1 else 2**24)

    monkeypatch.setattr(together.Query, "compiled_answer", tight)
    yield
    together._plans.clear()


async def test_a_row_comes_without_the_edges_of_a_higher_role(world: World, crew: Crew, statements: list[int]) -> None:
    """Also where the statement is known already, from a caller who may read all of it."""
    text = """
    query Less($ws: ID!, $id: ID!) {
      crew(workspaceId: $ws, id: $id) { name budgets { id } } labels(workspaceId: $ws) { id }
    }"""
    for answer in await ask(world, world.owner, text, id=crew.id):
        assert answer["data"]["crew"] == {"name": crew.name, "budgets": []}
        assert "errors" not in answer
    assert statements == [2, 2]
    for answer in await ask(world, world.viewer, text, id=crew.id):
        assert answer["data"] == {"crew": {"name": crew.name, "budgets": None}, "labels": []}
        [error] = answer["errors"]
        assert (error["path"], error["extensions"]["code"]) == (["crew", "budgets"], "FORBIDDEN")
        assert error["extensions"]["requires"] == {"role": "MANAGER", "capability": None, "scope": None}
