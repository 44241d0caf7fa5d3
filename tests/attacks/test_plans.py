"""What a page costs in PostgreSQL, wherever in a list it begins: counted in rows and pages touched, not in time."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from models.people.workspaces import Invitation
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.errors import Code, Refusal
from resolvers.identity.credentials import bearer
from resolvers.instance.running import instance
from resolvers.kernel.admission.plans import TOO_MANY
from resolvers.kernel.declarations import operation
from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.declarations.query import Query
from resolvers.kernel.ground.pace import Pace
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import Column, Nested, Shape, intern
from resolvers.kernel.reader.graph import ACCESS, access_of
from resolvers.kernel.reader.trace import Call
from resolvers.kernel.store.connection import PREPARED, SESSION
from resolvers.kernel.store.database import database
from resolvers.people.workspaces import get_workspace
from resolvers.staff import crews
from resolvers.staff.agents import list_agents
from resolvers.work import labels
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
        "INSERT INTO crews SELECT (jsonb_populate_record(c, jsonb_build_object('id', 'c' || md5(n::text),"
        " 'slug', 'crew-' || n, 'created_at', c.created_at + n * interval '1 second'))).*"
        " FROM crews c, generate_series(1, $1::int) n"
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
    (plan,) = operation.plans.values()
    for name in ("plan_cache_mode", "random_page_cost"):
        await world.database.execute(f"SET {name} = {SESSION[name]}")
    arguments = ", ".join(
        "'" + str(a).replace("'", "''") + "'" for a in plan.args(Call(caller.credential, world.workspace.id, data))
    )
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
    counted = [
        s["Actual Loops"]
        for s in steps(plan)
        if s.get("Parent Relationship") == "SubPlan" and s["Node Type"] == "Aggregate"
    ]
    assert counted, "the list of crews counts something for each row"
    assert max(counted) == PAGE


async def test_a_cursor_deep_in_a_list_is_where_its_index_is_entered(world: World) -> None:
    deep = cursor((START + timedelta(seconds=PAGE)).isoformat(), "c")
    early = touched(await carried_out(world, crews.list_crews, limit=PAGE))
    plan = await carried_out(world, crews.list_crews, limit=PAGE, after=deep)
    assert sum(s.get("Rows Removed by Filter", 0) for s in steps(plan) if s.get("Relation Name") == "crews") == 0
    assert touched(plan) < early + 20


# ---- who may have a plan made ----------------------------------------------------------------------------------------

FRESH = iter(range(10**6))


def fresh(*more: Nested) -> Shape:
    """A shape that nobody has asked for."""
    return intern(Shape((Column(f"k{next(FRESH)}", "name"), *more), "list"))


async def refused(call: Awaitable[Any]) -> Code:
    with pytest.raises(Refusal) as raised:
        await call
    return raised.value.code


async def test_nothing_is_compiled_for_a_caller_who_is_not_let_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    monkeypatch.setitem(ACCESS, cast(Any, Invitation), replace(access_of(Invitation), gate=Action.MANAGE))
    monkeypatch.setattr(Query, "_compile", lambda *given: made.append(given))
    forged, workspace = bearer("crewship_cli_" + "0" * 64), world.workspace.id
    guests = Nested("invitations", "invitations", Shape((Column("id", "id"),), "list"))
    own = Shape((Column(f"k{next(FRESH)}", "name"), guests))
    assert await refused(crews.list_crews(forged, {}, fresh(), (), workspace)) is Code.UNAUTHENTICATED
    assert await refused(crews.list_crews(world.outsider.caller, {}, fresh(), (), workspace)) is Code.FORBIDDEN
    assert await refused(get_workspace(world.viewer.caller, {}, intern(own), (), workspace)) is Code.FORBIDDEN
    assert not made


async def test_a_plan_is_compiled_once_and_off_the_event_loop(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    compile = Query._compile

    def watched(*given: Any) -> Any:
        threads.append(threading.current_thread().name)
        return compile(*given)

    monkeypatch.setattr(Query, "_compile", watched)
    shape = fresh()
    answers = await asyncio.gather(
        *[crews.list_crews(world.viewer.caller, {"limit": 1}, shape, (), world.workspace.id) for _ in range(5)]
    )
    assert len({a.body for a in answers}) == 1
    assert threads == ["compile-reads_0"]


async def test_compilations_of_one_person_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "_settings", instance.settings.model_copy(update={"ratelimit_disabled": False}))
    monkeypatch.setattr(operation, "budget", Pace(3, TOO_MANY))
    workspace, known = world.workspace.id, fresh()
    for shape in (known, known, fresh(), fresh()):
        await crews.list_crews(world.viewer.caller, {"limit": 1}, shape, (), workspace)
    assert (
        await refused(crews.list_crews(world.viewer.caller, {"limit": 1}, fresh(), (), workspace)) is Code.RATE_LIMITED
    )
    await crews.list_crews(world.viewer.caller, {"limit": 1}, known, (), workspace)
    await crews.list_crews(world.member.caller, {"limit": 1}, fresh(), (), workspace)
    tail = intern(Shape((Column(f"k{next(FRESH)}", "name"),)))
    for n in range(3):
        await labels.create_label(
            world.owner.caller,
            {"name": f"label {n}", "color": "#fff"},
            intern(Shape((Column(f"k{next(FRESH)}", "name"),))),
            (),
            workspace,
        )
    before = await world.snapshot()
    assert (
        await refused(
            labels.create_label(world.owner.caller, {"name": "one more", "color": "#fff"}, tail, (), workspace)
        )
        is Code.RATE_LIMITED
    )
    assert await world.snapshot() == before


def test_the_budget_is_refilled() -> None:
    budget = Pace(60, TOO_MANY)
    for _ in range(60):
        budget.take("a")
    with pytest.raises(Refusal):
        budget.take("a")
    budget._left["a"] = (0.0, time.monotonic() - 2)
    budget.take("a")
    budget.take("a")
    with pytest.raises(Refusal):
        budget.take("a")


@pytest.mark.slow
async def test_many_documents_leave_nothing_with_postgresql(world: World) -> None:
    """Each asked once, as by somebody who makes each text a new one."""
    for _ in range(100):
        await crews.list_crews(world.viewer.caller, {"limit": 1}, fresh(), (), world.workspace.id)
    assert database.pool.free
    for conn in database.pool.free:
        assert not [
            query
            for query, *_ in conn._stmt_cache._entries
            if "'{\"k" in query and "crews" in query and f'"k{next(FRESH) - 2}"' in query
        ]
        assert sum(len(query) for query, *_ in conn._stmt_cache._entries) <= PREPARED


# ---- how large an answer can be --------------------------------------------------------------------------------------


def peak(pid: int) -> int:
    """The most memory a process ever had, shared buffers aside, in MB."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return (int(status["VmHWM"].split()[0]) - int(status["RssShmem"].split()[0])) // 1024


async def peaks() -> dict[int, int]:
    return {conn.get_server_pid(): peak(conn.get_server_pid()) for conn in database.pool.free}


@pytest.fixture
async def large(world: World) -> AsyncIterator[World]:
    """A crew of a hundred agents with prompts of 120 kB."""
    crew = Crew(workspace_id=world.workspace.id, name="large", slug="large", created_at=START + timedelta(days=99))
    await world.add(crew)
    await world.add(
        *[
            Agent(workspace_id=crew.workspace_id, crew_id=crew.id, name="a", slug=f"a-{n}", system_prompt="é" * 60_000)
            for n in range(100)
        ]
    )
    yield world
    await world.database.execute("DELETE FROM agents WHERE crew_id = $1", crew.id)
    await world.database.execute("DELETE FROM crews WHERE id = $1", crew.id)


PROMPTS = "agents(first: 100) { nodes { systemPrompt } }"
FIVE = " ".join(f"a{n}: systemPrompt" for n in range(5))
HUGE = {
    "many rows": "{ agents(workspaceId: $ws, first: 100) { nodes { " + FIVE + " } } }",
    "many rows, with cursors": "{ agents(workspaceId: $ws, first: 100) { edges { cursor node { " + FIVE + " } } } }",
    "rows below a row": (
        "{ crews(workspaceId: $ws, first: 1) { nodes { " + " ".join(f"a{n}: {PROMPTS}" for n in range(20)) + " } } }"
    ),
    "rows below rows": "{ agents(workspaceId: $ws, first: 100) { nodes { crew { " + PROMPTS + " } } } }",
}


@pytest.mark.parametrize("kind", HUGE)
@pytest.mark.slow
async def test_an_answer_that_would_be_too_large_ends_while_it_is_made(large: World, kind: str) -> None:
    before = await peaks()
    answer = await large.graphql(large.viewer, "query($ws: ID!) " + HUGE[kind])
    assert set(answer["data"].values()) == {None}
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "TOO_LARGE"
    assert "fewer rows or fields" in error["message"]
    assert max(now - before.get(pid, 20) for pid, now in (await peaks()).items()) < 300


@pytest.mark.slow
async def test_one_text_many_times_in_each_of_many_rows(large: World) -> None:
    many = intern(Shape(tuple(Column(f"a{n}", "system_prompt") for n in range(59)), "list"))
    before = await peaks()
    assert (
        await refused(list_agents(large.viewer.caller, {"limit": 100}, many, (), large.workspace.id)) is Code.TOO_LARGE
    )
    assert max(now - before.get(pid, 20) for pid, now in (await peaks()).items()) < 300


@pytest.mark.slow
async def test_an_answer_of_allowed_size_is_given(large: World) -> None:
    """Of 24 MB, for which nobody else waits (`tests/stalls.py`); the second by the way of known requests."""
    for _ in range(2):
        answer = await large.graphql(
            large.viewer,
            "query($ws: ID!) { agents(workspaceId: $ws, first: 100) { nodes { systemPrompt b: systemPrompt } } }",
        )
        assert [len(n["systemPrompt"] + n["b"]) for n in answer["data"]["agents"]["nodes"]] == [120_000] * 100
