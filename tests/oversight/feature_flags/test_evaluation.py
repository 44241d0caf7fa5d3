"""Whether a flag is on: the rule by another hand, on flags of any kind, in GraphQL and for operations."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Text as SQLText
from sqlalchemy import literal_column

from models.oversight.feature_flags import FeatureFlag, FeatureFlagOverride
from resolvers.kernel import NO_SURFACE, Action, Context, Input, Output, Text, procedure
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.store.database import DIALECT
from resolvers.oversight.feature_flags import is_active
from resolvers.oversight.feature_flags.evaluation import bucket
from tests.world import Person, World

pytestmark = pytest.mark.anyio

KEYS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=40)
FLAG = st.tuples(
    st.booleans(),
    st.one_of(st.sampled_from([0, 1, 50, 99, 100]), st.integers(0, 100)),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, True, False]),
)


class Asked(Input):
    key: Text


class Told(Output):
    active: bool


@pytest.fixture(scope="module")
async def asking(world: World) -> AsyncIterator[Any]:
    @procedure("test.flag_is_active", Action.READ, surfaces=NO_SURFACE)
    async def ask(ctx: Context, data: Asked) -> Told:
        return Told(active=await is_active(ctx, data.key))

    yield ask
    del OPERATIONS["test.flag_is_active"]


def expected(workspace_id: str, key: str, enabled: bool, percentage: int, override: bool | None) -> bool:
    if override is not None:
        return override
    drawn = int.from_bytes(hashlib.sha256(f"{workspace_id}/{key}".encode()).digest()[:4], "big") % 100
    return enabled and drawn < percentage


async def shown(world: World, person: Person, workspace_id: str) -> dict[str, bool]:
    document = "query($ws: ID) { featureFlags(workspaceId: $ws) { key active overrideEnabled } }"
    answer = await world.graphql(person, document, {"ws": workspace_id})
    return {flag["key"]: flag["active"] for flag in answer["data"]["featureFlags"]}


async def told(ask: Any, person: Person, workspace_id: str, key: str) -> bool:
    answer = await ask(person.caller, {"key": key}, place=workspace_id)
    return bool(orjson.loads(answer.body)["active"])


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flags=st.dictionaries(KEYS, FLAG, min_size=1, max_size=12))
async def test_a_flag_is_on_by_override_switch_and_bucket(
    world: World, asking: Any, flags: dict[str, tuple[bool, int, bool | None, bool | None]]
) -> None:
    await world.database.execute("DELETE FROM feature_flags")
    places = ((world.viewer, world.workspace.id), (world.outsider, world.other.id))
    wanted: tuple[dict[str, bool], ...] = ({}, {})
    for key, (enabled, percentage, *overrides) in flags.items():
        flag = FeatureFlag(key=key, enabled=enabled, percentage=percentage)
        await world.add(flag)
        for (_, workspace_id), override, found in zip(places, overrides, wanted, strict=True):
            found[key] = expected(workspace_id, key, enabled, percentage, override)
            if override is not None:
                await world.add(FeatureFlagOverride(flag_id=flag.id, workspace_id=workspace_id, enabled=override))
    for (person, workspace_id), found in zip(places, wanted, strict=True):
        assert await shown(world, person, workspace_id) == found
        for key in list(flags)[:2]:
            assert await told(asking, person, workspace_id, key) is found[key]


async def test_a_flag_that_nobody_has_created_is_off(world: World, asking: Any) -> None:
    assert await told(asking, world.viewer, world.workspace.id, "never created") is False


async def test_buckets_are_even_and_another_order_for_each_flag(world: World) -> None:
    """Of 20,000 workspaces, by two flags: each of the 100 buckets has a hundredth of them, and the flags' buckets of a
    workspace are as alike as chance.
    """
    places = literal_column("'c' || n", SQLText())
    one, two = (bucket(literal_column(key, SQLText()), places).compile(dialect=DIALECT) for key in ("'one'", "'two'"))
    sql = f"SELECT {one} AS one, {two} AS two FROM generate_series(1, 20000) n"
    rows = await world.database.fetch(sql)
    for flag in ("one", "two"):
        counts = [sum(row[flag] == n for row in rows) for n in range(100)]
        assert sum(counts) == 20_000, "none is outside 0 to 99"
        assert min(counts) > 120, counts  # 200 and six times the deviation of 14
        assert max(counts) < 285, counts
    assert 120 < sum(row["one"] == row["two"] for row in rows) < 285


async def test_answers_of_changes_say_whether_the_flag_is_on_now(world: World) -> None:
    await world.database.execute("DELETE FROM feature_flags")

    async def change(document: str, given: dict[str, Any]) -> Any:
        answer = await world.graphql(world.admin, document, {"in": {"key": "live", **given}})
        assert "errors" not in answer, answer
        (flag,) = answer["data"].values()
        return flag["active"], flag["overrideEnabled"]

    def mutation(name: str, kind: str) -> str:
        return (
            f"mutation($ws: ID, $in: {kind}!) {{ {name}(workspaceId: $ws, input: $in) {{ active overrideEnabled }} }}"
        )

    create = mutation("createFeatureFlag", "CreateFeatureFlagInput")
    update = mutation("updateFeatureFlag", "UpdateFeatureFlagInput")
    override = mutation("setFeatureFlagOverride", "SetFeatureFlagOverrideInput")
    clear = mutation("clearFeatureFlagOverride", "ByFlagInput")
    assert await change(create, {"enabled": True, "percentage": 100}) == (True, None)
    assert await change(override, {"enabled": False}) == (False, False)
    assert await change(update, {"description": "Still off"}) == (False, False)
    assert await change(clear, {}) == (True, None)
    assert await change(update, {"percentage": 0}) == (False, None)
    assert await change(override, {"enabled": True}) == (True, True)
