"""However much is wrong with a request, the answer that says so is small, and soon there."""

import orjson
import pytest
from graphql import GraphQLError

from resolvers.errors import Code, Refusal
from schema.bridge.arguments import MOST_VALUES
from schema.bridge.errors import MOST_BYTES, MOST_ERRORS, MOST_FOUND, MOST_LETTERS, reported
from tests.attacks.graphql import post
from tests.every import each_of
from tests.world import World

pytestmark = pytest.mark.anyio

SCOPES = "mutation($s: [String!]) { createCliToken(input: {scopes: $s}) { id } }"
LARGEST = MOST_BYTES + 1000


@each_of("number", [10, 1000, 10_000, 100_000, 490_000])
async def test_errors_of_a_list_are_few(world: World, number: int) -> None:
    cost = await post(world, SCOPES, {"s": [1] * number})
    assert cost.codes == {"BAD_REQUEST"}
    assert len(cost.json["errors"]) <= MOST_FOUND + 1
    assert len(cost.body) < 10_000
    assert cost.busy < 0.5  # most of it the test's own: a megabyte is written and read


async def test_lists_that_are_too_long_are_refused_before_they_are_read(world: World) -> None:
    for value in (["a"] * (MOST_VALUES + 1), [["a"] * 200] * 100, {"a": ["b"] * MOST_VALUES, "c": 1}):
        cost = await post(world, SCOPES, {"s": value})
        assert f"at most {MOST_VALUES} values" in cost.json["errors"][0]["message"]
    cost = await post(world, "{ __typename }", {"unused": [1] * 100_000})
    assert cost.json["data"] == {"__typename": "Query"}


MANY: dict[str, str] = {
    "unknown fields": "{ labels { " + " ".join(f"x{n}" for n in range(900)) + " } }",
    "unknown fields on many lines": "{" + "\n" * 60_000 + "labels { " + " ".join(f"x{n}" for n in range(900)) + " } }",
    "unused fragments": "{ labels { id } } " + " ".join(f"fragment F{n} on Label {{ id name }}" for n in range(400)),
    "unused variables": "query(" + " ".join(f"$v{n}: ID" for n in range(900)) + ") { labels { id } }",
    "an object of unknown fields": "mutation { createLabel(input: { "
    + " ".join(f"x{n}: 1" for n in range(1200))
    + " }) { id } }",
    "a list for a text": "{ labels(workspaceId: [" + "1 " * 3900 + "]) { id } }",
    "long names": "{ " + ("n" * 3000 + " ") * 19 + "}",
    "a long type": "{ ... on " + "n" * 60_000 + " { id } }",
    "a long text": 'mutation { addMember(input: { userId: "x", role: "' + "E" * 60_000 + '" }) { id } }',
    "conflicts": "{ crews { nodes { " + " ".join(f"a{n}: name a{n}: slug" for n in range(5)) + " } } }",
}


@each_of("kind", MANY)
async def test_errors_of_a_document_are_few_and_short(world: World, kind: str) -> None:
    for headers in ({}, {"authorization": f"Bearer {world.viewer.token}"}):
        cost = await post(world, MANY[kind], **headers)
        assert "data" not in cost.json
        assert len(cost.json["errors"]) <= MOST_FOUND + 1
        assert all(len(error["message"]) <= MOST_LETTERS + 1 for error in cost.json["errors"])
        assert len(cost.body) < 10_000
        assert cost.busy < 0.1


async def test_values_are_not_repeated_at_length(world: World) -> None:
    text = "mutation($r: Role!, $t: String!) { addMember(input: {userId: $t, role: $r}) { id } }"
    for value in ("E" * 500_000, {"a" * 100_000: 1}, [["x" * 100_000] * 5]):
        cost = await post(world, text, {"r": value, "t": value}, authorization=f"Bearer {world.viewer.token}")
        assert cost.json["errors"]
        assert len(cost.body) < 10_000


def test_a_list_of_errors_ends() -> None:
    some = [GraphQLError(f"error {n}") for n in range(MOST_ERRORS)]
    assert [error["message"] for error in reported(some)] == [error.message for error in some]
    shown = reported([*some, *some])
    assert len(shown) == MOST_ERRORS + 1
    assert shown[-1] == {"message": f"{MOST_ERRORS} more errors are omitted", "extensions": {"code": "BAD_REQUEST"}}
    large = Refusal(Code.BAD_REQUEST, "x" * 100_000, fields={f"items.{n}": "takes a text" for n in range(1000)})
    shown = reported([GraphQLError(str(large), original_error=large)] * 10)
    assert 1 < len(shown) < 10
    assert "more errors are omitted" in shown[-1]["message"]
    assert len(orjson.dumps(shown)) < LARGEST
    huge = Refusal(Code.UNPROCESSABLE, "no", fields={f"items.{n}": "takes a text" for n in range(100_000)})
    [only] = reported([GraphQLError(str(huge), original_error=huge)])
    assert only == {"message": "no", "extensions": {"code": "UNPROCESSABLE"}}
