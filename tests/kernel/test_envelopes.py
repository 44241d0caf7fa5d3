"""Envelopes: what stands around a list, written by the statement that reads its rows."""

from typing import Annotated, Any

import orjson
import pytest

from models.people.workspaces import Role
from models.staff.agents import Agent
from models.staff.runs import Run, RunStatus
from models.work.labels import Label
from resolvers.errors import Code, Refusal
from resolvers.kernel.admission.request import Request
from resolvers.kernel.declarations.operation import Operation
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import Column, EnvelopeShape, Nested, Shape, intern
from resolvers.staff import agents, runs
from resolvers.work import labels
from rest_compat.http.envelopes import PAGES, SHOWN, TOTAL, AnswerOf, Envelope, FromInput, PaginationJSON
from rest_compat.http.table import GET, POST, Absent, Wire, shape_of
from rest_compat.staff.runs import RunJSON, RunStatsJSON
from tests.every import each_of
from tests.staff.runs.logbook import agent_of, run_of
from tests.tenant.door import visible
from tests.world import Person, World

pytestmark = pytest.mark.anyio


class IdJSON(Wire, of=Run):
    id: str


class LabelJSON(Wire, of=Label):
    id: str


class PlaceJSON(Envelope):
    offset: Annotated[int, FromInput()]
    pages: Annotated[int, PAGES]


class RunPageJSON(Envelope):
    """Everything that an envelope can hold, in an order of its own."""

    agent_id: Annotated[str | None, FromInput(), Absent()]
    count: Annotated[int, SHOWN]
    tag: Annotated[str | None, FromInput()]
    rows: list[IdJSON]
    today: Annotated[int, AnswerOf(runs.run_stats, "today")]
    place: PlaceJSON
    total: Annotated[int, TOTAL]
    trigger: Annotated[str | None, FromInput(), Absent()]


async def read(
    world: World, shape: Shape | None, person: Person | None = None, op: Any = runs.list_runs, **raw: Any
) -> str:
    caller = (person or world.viewer).caller
    answer = await op(caller, raw, shape, place=world.workspace.id)
    return bytes(answer.body).decode()


@pytest.fixture(scope="module")
async def agent(world: World) -> Agent:
    """Five runs, all of today, two of them failed."""
    made = await agent_of(world, name='it\'s "quoted" ☃')
    for status in (RunStatus.FAILED, RunStatus.FAILED, *[RunStatus.COMPLETED] * 3):
        await run_of(world, made, status)
    return made


async def test_everything_stands_where_it_is_declared(world: World, agent: Agent) -> None:
    ids = [row["id"] for row in orjson.loads(await read(world, intern(Shape((Column("id", "id"),), "list"))))]
    assert len(ids) == 5

    def rows(some: list[str]) -> str:
        return ",".join(f'{{"id":"{id}"}}' for id in some)

    shape = shape_of(RunPageJSON)
    assert await read(world, shape) == (
        f'{{"count":5,"tag":null,"rows":[{rows(ids)}],"today":5,"place":{{"offset":0,"pages":1}},"total":5}}'
    )
    assert await read(world, shape, agent_id=agent.id, limit=2, offset=3, trigger="USER") == (
        f'{{"agent_id":"{agent.id}","count":2,"tag":null,"rows":[{rows(ids[3:])}],"today":5,'
        '"place":{"offset":3,"pages":3},"total":5,"trigger":"USER"}'
    )
    nothing = 'no "such" \\ ☃'
    assert await read(world, shape, tag=nothing, page=7) == (
        '{"count":0,"tag":"no \\"such\\" \\\\ ☃","rows":[],"today":5,"place":{"offset":300,"pages":0},"total":0}'
    )


async def test_the_list_of_runs_is_put_together_of_its_parts(world: World, agent: Agent) -> None:
    """Each part as it is answered alone, byte by byte."""
    rows = shape_of(list[RunJSON])
    counted = intern(Shape((Column("total", "total_count"),), "connection"))
    stats = await read(world, shape_of(RunStatsJSON), op=runs.run_stats)
    for asked in (
        {},
        {"limit": 2, "page": 2},
        {"status": "FAILED", "limit": 1},
        {"agent_id": "nobody"},
        {"limit": 999},
    ):
        data = runs.ListRuns.model_validate(asked)
        total = orjson.loads(await read(world, counted, **asked))["total"]
        place = {"page": data.page, "limit": data.limit, "total": total, "total_pages": -(-total // data.limit)}
        whole = (
            f'{{"data":{await read(world, rows, **asked)},"stats":{stats},"pagination":{orjson.dumps(place).decode()}}}'
        )
        async with world.client(world.viewer) as client:
            answer = await client.get("/api/v1/runs", params={"workspace_id": world.workspace.id} | asked)
        assert answer.text == whole


async def test_rows_are_counted_once(world: World, agent: Agent) -> None:
    class PagedJSON(Envelope):
        rows: list[IdJSON]
        total: Annotated[int, TOTAL]
        pagination: PaginationJSON

    shape = shape_of(PagedJSON)
    await read(world, shape)
    [plan] = [plan for plan in runs.list_runs.plans.values() if plan.shape is shape]
    assert plan.sql.count("count(*)") == 1
    steps = await world.database.fetch(f"EXPLAIN {plan.sql}", *plan.args(_call(world)))
    assert sum("Aggregate" in step[0] for step in steps) == 2  # the rows, and their number


def _call(world: World) -> Any:
    data = runs.ListRuns.model_validate({})
    return runs.list_runs.call_of(world.viewer.caller, Request({}, place=world.workspace.id), data)


async def test_what_is_hidden_is_not_counted(world: World, agent: Agent) -> None:
    with visible(Run, lambda run, scope: scope.may(run, Action.OWNER)):
        for person, number in ((world.owner, 5), (world.admin, 0)):
            found = orjson.loads(await read(world, shape_of(RunPageJSON), person))
            assert (found["count"], found["total"], found["today"], len(found["rows"])) == (number,) * 4


async def test_who_may_not_ask_what_stands_beside_is_refused(
    world: World, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs.run_stats, "roles", frozenset({Role.OWNER}))
    assert orjson.loads(await read(world, shape_of(RunPageJSON), world.owner))["total"] == 5
    with pytest.raises(Refusal) as caught:
        await read(world, shape_of(RunPageJSON), world.admin)
    assert caught.value.code is Code.FORBIDDEN


# ---- declarations ----------------------------------------------------------------------------------------------------


class NoMarkJSON(Envelope):
    rows: list[IdJSON]
    total: int


class OtherRowsJSON(Envelope):
    rows: list[IdJSON]
    stats: Annotated[IdJSON, AnswerOf(runs.run_stats)]


class ManyForOneJSON(Envelope):
    rows: list[IdJSON]
    stats: Annotated[list[RunStatsJSON], AnswerOf(runs.run_stats)]


class NoColumnJSON(Envelope):
    rows: list[IdJSON]
    count: Annotated[int, AnswerOf(runs.run_stats, "waiting")]


@pytest.mark.parametrize(
    ("wire", "told"),
    [
        (NoMarkJSON, "NoMarkJSON.total: nothing says where it comes from"),
        (OtherRowsJSON, "OtherRowsJSON.stats: it is not what runs.stats answers"),
        (ManyForOneJSON, "ManyForOneJSON.stats: it is not what runs.stats answers"),
        (NoColumnJSON, "NoColumnJSON.count: RunStats has no column waiting"),
    ],
)
def test_a_field_says_where_it_comes_from(wire: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        shape_of(wire)


class NoListJSON(Envelope):
    total: Annotated[int, TOTAL]


class TwoListsJSON(Envelope):
    rows: list[IdJSON]
    again: list[IdJSON]


class NoInputJSON(Envelope):
    rows: list[IdJSON]
    crew_id: Annotated[str | None, FromInput()]


class TakesInputJSON(Envelope):
    rows: list[IdJSON]
    others: Annotated[list[IdJSON], AnswerOf(runs.list_runs)]


class OtherScopeJSON(Envelope):
    rows: list[IdJSON]
    labels: Annotated[list[LabelJSON], AnswerOf(labels.list_labels)]


class RowsJSON(Envelope):
    rows: list[IdJSON]


AROUND_ONE_LIST = "an envelope is around the rows of one list"


@each_of(
    ("op", "wire", "told"),
    [
        (runs.list_runs, NoListJSON, f"runs.list: {AROUND_ONE_LIST}"),
        (runs.list_runs, TwoListsJSON, f"runs.list: {AROUND_ONE_LIST}"),
        (runs.get_run, RowsJSON, f"runs.get: {AROUND_ONE_LIST}"),
        (runs.list_runs, NoInputJSON, "runs.list has no input crew_id"),
        (runs.list_runs, TakesInputJSON, "runs.list: runs.list has an input, or other callers"),
        (runs.list_runs, OtherScopeJSON, "runs.list: labels.list has an input, or other callers"),
    ],
)
def test_an_envelope_fits_its_operation(op: Operation[Any], wire: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        _ = GET("/api/v1/test/{id}" if op is runs.get_run else "/api/v1/test", op, wire).shape


def test_commands_have_no_envelope() -> None:
    with pytest.raises(TypeError, match=f"agents.create: {AROUND_ONE_LIST}"):
        _ = POST("/api/v1/test", agents.create_agent, RowsJSON).shape


def test_an_envelope_walks_the_edges_of_its_rows() -> None:
    shape = shape_of(RunPageJSON)
    assert isinstance(shape, EnvelopeShape)
    [rows] = [part.shape for part in shape.parts if isinstance(part, Nested) and part.shape.form == "list"]
    assert rows in [item.shape for item in shape.fields if isinstance(item, Nested)]
