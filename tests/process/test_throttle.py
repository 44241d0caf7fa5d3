"""What has a narrow rate limit as a route has the same as a GraphQL field."""

from pathlib import Path
from typing import Any

import pytest

from tests.world import World, world_on

pytestmark = pytest.mark.anyio
DOCUMENT = "mutation($in: SignUpInput!) { signup(input: $in) { id } }"


async def sign_up(world: World) -> str:
    input_ = {"fullName": "Some Body", "email": "some@example.com", "password": "long enough"}
    answer = await world.graphql(None, DOCUMENT, {"in": input_})
    return str(answer["errors"][0]["extensions"]["code"])


async def test_sign_up_by_graphql_counts_as_a_sign_up(database: Any, tmp_path: Path) -> None:
    async with world_on(database, tmp_path, ratelimit_disabled=False, ratelimit_auth=3, ratelimit_api=1000) as world:
        assert [await sign_up(world) for _ in range(5)] == ["FORBIDDEN"] * 3 + ["RATE_LIMITED"] * 2
        refused = await world.rest(None, "POST", "/api/v1/auth/signup", {}, workspace=None)
        assert refused.status_code == 429
        assert (await world.graphql(world.owner, "{ viewer { id } }"))["data"]["viewer"]["id"] == world.owner.user_id
