"""Lists of any order, whose keys are null, equal and mixed: walked both ways, whatever happens meanwhile."""

import json
import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import case, func
from sqlmodel import col

from models.staff.agents import Agent, AgentStatus, LeadMode
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.declarations.query import QueryScope, query
from resolvers.kernel.ground.inputs import Paging
from resolvers.kernel.reader import Column, Nested, Page, Shape, intern
from tests.every import each_of
from tests.reader.library import Library
from tests.reader.rows import START
from tests.world import World

pytestmark = pytest.mark.anyio


class Window(Paging):
    page_maximum = 7


KEYS: dict[str, tuple[Any, ...]] = {
    "ascending": (col(Agent.lead_mode), col(Agent.expired_at)),
    "descending": (col(Agent.expired_at).desc(), col(Agent.lead_mode).desc()),
    "down_and_up": (
        col(Agent.schedule_next_run).desc(),
        col(Agent.llm_model),
        col(Agent.memory_enabled).desc(),
        col(Agent.timeout_seconds),
    ),
    "up_and_down": (col(Agent.llm_provider), col(Agent.expired_at).desc(), col(Agent.id)),
    "text": (col(Agent.name),),
    "numbers": (col(Agent.timeout_seconds).desc(),),
    "an_expression": (col(Agent.expired_at).is_not(None), col(Agent.crew_id)),
    "never_null": (col(Agent.timeout_seconds), col(Agent.name), col(Agent.memory_enabled)),
    "never_null_descending": (col(Agent.memory_enabled).desc(), col(Agent.created_at).desc()),
    "never_null_mixed": (col(Agent.memory_enabled).desc(), col(Agent.timeout_seconds), col(Agent.created_at).desc()),
    "null_behind_the_first": (col(Agent.memory_enabled), col(Agent.expired_at), col(Agent.lead_mode)),
    "null_behind_the_first_descending": (
        col(Agent.memory_enabled).desc(),
        col(Agent.expired_at).desc(),
        col(Agent.crew_id).desc(),
    ),
    "a_fallback": (func.coalesce(col(Agent.expired_at), col(Agent.created_at)).desc(),),
    "a_fallback_by_case": (
        case((col(Agent.expired_at).is_(None), col(Agent.created_at)), else_=col(Agent.expired_at)).desc(),
    ),
    "a_case_without_else": (case((col(Agent.memory_enabled), col(Agent.created_at))), col(Agent.name)),
}


def _sorted(name: str) -> Any:
    def rows(scope: QueryScope, data: Window) -> Page[Agent]:
        return scope.select(Agent).order_by(*KEYS[name]).page(data)

    rows.__annotations__ |= {"data": Window, "return": Page[Agent]}
    return query(f"test.reader.{name}")(rows)


SORTED = {name: OPERATIONS.get(f"test.reader.{name}") or _sorted(name) for name in KEYS}
ASKED = Shape(
    (
        Nested("nodes", None, Shape((Column("id", "id"),), "list")),
        Nested("edges", None, Shape((Column("cursor", "cursor"),), "edges")),
        Nested(
            "info",
            None,
            Shape(
                (
                    Column("next", "has_next_page"), Column("previous", "has_previous_page"),
                    Column("start", "start_cursor"), Column("end", "end_cursor"),
                ),
                "page_info",
            ),
        ),
    ),
    "connection",
)  # fmt: skip


async def asked(world: World, name: str, **raw: Any) -> dict[str, Any]:
    answer = await SORTED[name](world.viewer.caller, raw, intern(ASKED), (), world.workspace.id)
    page: dict[str, Any] = json.loads(answer.body or b"")
    return page


async def page_of(world: World, name: str, **raw: Any) -> tuple[list[str], str | None]:
    """(ids, cursor to go on from while there is more)."""
    page = await asked(world, name, **raw)
    return [n["id"] for n in page["nodes"]], page["info"]["end"] if page["info"]["next"] else None


@each_of("name", KEYS)
async def test_any_window_is_the_slice_of_the_list_that_a_model_says(library: Library, name: str) -> None:
    world, chance = library.world, random.Random(name)
    rows, after = list[tuple[str, str]](), None
    while True:
        page = await asked(world, name, first=7, after=after)
        rows += zip([n["id"] for n in page["nodes"]], [e["cursor"] for e in page["edges"]], strict=True)
        after = page["info"]["end"]
        if not page["info"]["next"]:
            break
    for _ in range(40):
        size, offset, at = (
            chance.randint(1, 7),
            chance.choice([0, 0, 1, 3, 200]),
            chance.choice([None, *range(len(rows))]),
        )
        back = chance.random() < 0.6
        cursor = None if at is None else rows[at][1]
        raw = {"last": size, "before": cursor} if back else {"first": size, "after": cursor}
        page = await asked(world, name, offset=offset, **raw)
        if back:
            rest = rows[: max((len(rows) if at is None else at) - offset, 0)]
            expected = rest[max(len(rest) - size, 0) :]
        else:
            rest = rows[(0 if at is None else at + 1) + offset :]
            expected = rest[:size]
        assert [n["id"] for n in page["nodes"]] == [id for id, _ in expected], raw
        assert [e["cursor"] for e in page["edges"]] == [place for _, place in expected]
        more, entered = len(rest) > size, at is not None or offset > 0
        assert page["info"] == {
            "next": entered if back else more,
            "previous": more if back else entered,
            "start": expected[0][1] if expected else None,
            "end": expected[-1][1] if expected else None,
        }


@each_of("name", KEYS)
async def test_any_keys_can_be_walked(library: Library, name: str) -> None:
    world = library.world
    [number] = await world.database.fetchrow(
        "SELECT count(*) FROM agents WHERE workspace_id = $1 AND deleted_at IS NULL", world.workspace.id
    )
    orders = []
    for size in (1, 2, 7):
        seen, after = [], None
        while True:
            ids, after = await page_of(world, name, first=size, after=after)
            seen += ids
            if after is None:
                break
        assert len(seen) == len(set(seen)) == number
        orders.append(seen)
    assert (
        orders[0]
        == orders[1]
        == orders[2]
        == [id for start in range(0, number, 7) for id in (await page_of(world, name, limit=7, offset=start))[0]]
    )


@pytest.mark.slow
@each_of("back", [False, True], ids=["forwards", "backwards"])
@each_of("name", KEYS)
async def test_rows_that_stay_are_seen_once_while_others_come_and_go(library: Library, name: str, back: bool) -> None:
    world, chance = library.world, random.Random(name)
    staying = {
        r[0]
        for r in await world.database.fetch(
            "SELECT id FROM agents WHERE workspace_id = $1 AND deleted_at IS NULL", world.workspace.id
        )
    }
    made: list[str] = []
    seen: list[str] = []
    place: str | None = None
    while True:
        page = await asked(world, name, **({"last": 3, "before": place} if back else {"first": 3, "after": place}))
        ids = [n["id"] for n in page["nodes"]][:: -1 if back else 1]
        seen += ids
        place = page["info"]["start" if back else "end"]
        if not page["info"]["previous" if back else "next"]:
            break
        for number in range(2):  # some land before the cursor, some behind it
            agent = Agent(
                workspace_id=world.workspace.id, name=chance.choice(["", "m", "zz"]),
                slug=f"{name}-{len(made)}-{number}".replace("_", "-"),
                lead_mode=chance.choice([None, *LeadMode]),
                expired_at=chance.choice([None, START, START + timedelta(hours=9)]), status=AgentStatus.IDLE,
                description=chance.choice([None, "a"]), timeout_seconds=chance.choice([-5, 5]),
            )  # fmt: skip
            await world.add(agent)
            made.append(agent.id)
        if ids[-1] in made or chance.random() < 0.5:  # the row of the cursor goes too
            await world.database.execute(
                "UPDATE agents SET deleted_at = now() WHERE id = $1 AND id = ANY($2)", ids[-1], made
            )
        if len(made) > 4:
            await world.database.execute("UPDATE agents SET deleted_at = now() WHERE id = $1", chance.choice(made))
    assert len(seen) == len(set(seen)), "a row was seen twice"
    assert staying <= set(seen), "a row was missed"
    await world.database.execute("DELETE FROM agents WHERE id = ANY($1)", made)


async def test_the_row_of_a_cursor_may_be_gone(library: Library) -> None:
    world = library.world
    agent = Agent(workspace_id=world.workspace.id, name="gone", slug="gone-soon", timeout_seconds=77)
    await world.add(agent)
    seen: list[str] = []
    after: str | None = None
    while agent.id not in seen:
        ids, after = await page_of(world, "numbers", first=1, after=after)
        seen += ids
    ahead, _ = await page_of(world, "numbers", first=7, after=after)
    await world.database.execute("DELETE FROM agents WHERE id = $1", agent.id)
    assert await page_of(world, "numbers", first=7, after=after) == (
        ahead,
        (await page_of(world, "numbers", first=7, after=after))[1],
    )
    assert ahead
