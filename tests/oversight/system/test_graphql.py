"""GraphQL: the server about itself."""

import pytest

from resolvers.oversight.system import released
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_anybody_may_ask_whether_it_is_set_up(world: World) -> None:
    answer = await world.graphql(None, "{ setupStatus { needsBootstrap allowSignup } }")
    assert answer["data"] == {"setupStatus": {"needsBootstrap": False, "allowSignup": False}}


async def test_a_user_sees_release_and_license(world: World) -> None:
    document = "{ version { current latest newer url } l: license { edition maxCrews features licenseId __typename } }"
    answer = await world.graphql(world.nobody, document)
    assert answer["data"] == {
        "version": {"current": released(), "latest": None, "newer": False, "url": None},
        "l": {
            "edition": "community",
            "maxCrews": 15,
            "features": [],
            "licenseId": "community",
            "__typename": "License",
        },
    }


async def test_release_and_license_are_for_users(world: World) -> None:
    answer = await world.graphql(None, "{ setupStatus { allowSignup } version { current } license { edition } }")
    assert answer["data"] == {"setupStatus": {"allowSignup": False}, "version": None, "license": None}
    assert [error["extensions"] for error in answer["errors"]] == [
        {"code": "UNAUTHENTICATED", "reason": "no_credentials"}
    ] * 2


async def test_what_operates_the_server_is_no_part_of_the_graph(world: World) -> None:
    for field in ("health", "healthz", "readyz", "metrics"):
        assert "data" not in await world.graphql(world.owner, f"{{ {field} {{ __typename }} }}")
