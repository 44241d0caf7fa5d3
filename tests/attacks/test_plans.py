"""What a page costs in PostgreSQL, wherever in a list it begins: counted in rows and pages that are touched, not in time."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.crews import Crew
from resolvers import crews
from resolvers.kernel.database import SESSION
from resolvers.kernel.operation import Operation
from resolvers.kernel.reader import Column, Nested, Shape, intern
from resolvers.kernel.trace import Call
from tests.world import World

pytestmark = pytest.mark.anyio
MANY = 2000
PAGE = 20
SHAPE = intern(Shape((Column("id", "id"), Nested("agents", "agent_count", Shape((), "count"))), "list"))
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
async def full(world: World) -> None:
    """A workspace with many crews, a second apart."""
    crew = Crew(workspace_id=world.workspace.id, name="crew", slug="crew", created_at=START)
    await world.add(crew)
    copied = (
        "INSERT INTO crews SELECT (jsonb_populate_record(c, jsonb_build_object('id', 'c' || md5(n::text), 'slug', 'crew-' || n,"
        " 'created_at', c.created_at + n * interval '1 second'))).* FROM crews c, generate_series(1, $1::int) n"
    )
    await world.database.execute(copied, MANY - 1)
    await world.database.execute("ANALYZE crews")


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from steps(below)


async def carried_out(world: World, operation: Operation[Any], **raw: Any) -> dict[str, Any]:
    """The steps that PostgreSQL took for the call of a member, by the plan that serves every such call."""
    data, caller = operation.input.model_validate(raw), world.viewer.caller
    operation.plans.clear()
    answer = await operation(caller, raw, SHAPE, (), world.workspace.id)
    assert len(json.loads(answer.body or b"")) == PAGE
    plan = next(p for key, p in operation.plans.items() if key[0] != "gate")
    for name in ("plan_cache_mode", "random_page_cost"):
        await world.database.execute(f"SET {name} = {SESSION[name]}")
    arguments = ", ".join("'" + str(a).replace("'", "''") + "'" for a in plan.args(Call(caller.credential, world.workspace.id, data)))
    await world.database.execute(f"PREPARE measured AS {plan.sql}")
    [[made]] = await world.database.fetch(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE measured({arguments})")
    await world.database.execute("DEALLOCATE measured")
    found: dict[str, Any] = made[0]["Plan"]
    return found


def cursor(*keys: Any) -> str:
    return base64.b64encode(json.dumps(keys).encode()).decode()


def touched(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def test_of_a_row_that_is_skipped_nothing_is_computed(world: World) -> None:
    plan = await carried_out(world, crews.list_crews, limit=PAGE, offset=MANY - PAGE)
    counted = [s["Actual Loops"] for s in steps(plan) if s.get("Parent Relationship") == "SubPlan" and s["Node Type"] == "Aggregate"]
    assert counted, "the list of crews counts something for each row"
    assert max(counted) == PAGE


async def test_a_cursor_deep_in_a_list_is_where_its_index_is_entered(world: World) -> None:
    deep = cursor((START + timedelta(seconds=PAGE)).isoformat(), "c")
    early = touched(await carried_out(world, crews.list_crews, limit=PAGE))
    plan = await carried_out(world, crews.list_crews, limit=PAGE, after=deep)
    assert sum(s.get("Rows Removed by Filter", 0) for s in steps(plan) if s.get("Relation Name") == "crews") == 0
    assert touched(plan) < early + 20
