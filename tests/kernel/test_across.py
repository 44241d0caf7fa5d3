"""The words of work that belongs to no workspace: what each of them reaches, and what it leaves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlmodel import col

from models.base import new_id
from models.people.workspaces import Workspace
from models.resources.credentials import Credential, CredentialType
from models.sealed import MARK, Sealed
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.labels import Label
from models.workers import Worker
from resolvers.kernel.background.clocks import AcrossWorkspaces, across_workspaces
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.ground.constants import constant
from resolvers.kernel.ground.inputs import NoInput
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import Column, Shape, intern
from resolvers.kernel.store import statements
from resolvers.kernel.store.across import has_secret, in_live_workspaces, of_instance, supplied, waiting
from resolvers.kernel.store.changes import NOW, plus
from resolvers.kernel.writing.command import command
from resolvers.kernel.writing.context import Context
from tests.round_trips import sent
from tests.world import World, now

pytestmark = pytest.mark.anyio
NAME = col(Label.name)


@pytest.fixture
async def places(world: World) -> AsyncIterator[tuple[str, str]]:
    """Two workspaces with three labels each, of the same names."""
    one, other = (Workspace(name=name, slug=new_id()) for name in ("one", "other"))
    await world.add(one, other)
    for place in (one, other):
        await world.add(*[Label(name=name, color="red", workspace_id=place.id) for name in "abc"])
    yield one.id, other.id
    await world.database.execute("DELETE FROM labels WHERE workspace_id = ANY ($1)", [one.id, other.id])
    await world.database.execute("DELETE FROM workspaces WHERE id = ANY ($1)", [one.id, other.id])


async def labels(world: World, place: str) -> dict[str, str]:
    return dict(await world.database.fetch("SELECT name, color FROM labels WHERE workspace_id = $1", place))


async def do(word: Callable[[AcrossWorkspaces], Awaitable[Any]]) -> Any:
    return await across_workspaces(word)


async def test_within_reaches_one_workspace(world: World, places: tuple[str, str]) -> None:
    one, other = places
    for at, seen in ((one, {one}), (other, {other})):
        found = await do(lambda rows, at=at: rows.within(at).select(Label, NAME == "a"))
        assert {row["workspace_id"] for row in found} == seen
    found = await do(lambda rows: rows.everywhere.select(Label, NAME == "a", order_by=NAME))
    assert {one, other} <= {row["workspace_id"] for row in found}
    assert not await do(lambda rows: rows.within(one).exists(Label, col(Label.workspace_id) == other))
    table = await do(
        lambda rows: rows.within(one).report(select(func.count()).select_from(rows.within(one).table(Label)))
    )
    assert table[0][0] == 3


async def test_what_writes_within_leaves_the_other_as_it_is(world: World, places: tuple[str, str]) -> None:
    one, other = places
    before = await labels(world, other)
    assert len(await do(lambda rows: rows.within(one).update_where(Label, NAME != "a", color="blue"))) == 2
    assert await labels(world, one) == {"a": "red", "b": "blue", "c": "blue"}
    theirs = await world.database.fetchval("SELECT id FROM labels WHERE workspace_id = $1 AND name = 'a'", other)
    assert await do(lambda rows: rows.within(one).update_each(Label, {theirs: {"color": "green"}})) == []
    assert await do(lambda rows: rows.within(one).take(Label, NAME == "a", columns=("name",))) == [("a",)]
    assert await do(lambda rows: rows.within(one).remove(Label, NAME.in_(["b", "c"]), portion=1)) == 1
    assert len(await labels(world, one)) == 1
    assert await labels(world, other) == before
    assert len(await do(lambda rows: rows.everywhere.update_where(Label, NAME == "c", color="blue"))) >= 1
    assert (await labels(world, other))["c"] == "blue"


async def test_an_edit_raises_the_version(world: World, places: tuple[str, str]) -> None:
    one, _ = places
    await do(lambda rows: rows.within(one).update_where(Label, NAME == "a", color="blue"))
    ids = [row["id"] for row in await do(lambda rows: rows.within(one).select(Label, NAME == "b"))]
    await do(lambda rows: rows.within(one).update_each(Label, {id: {"color": "blue"} for id in ids}))
    query = "SELECT version FROM labels WHERE workspace_id = $1 ORDER BY name"
    assert [row[0] for row in await world.database.fetch(query, one)] == [2, 2, 1]


async def test_a_claim_is_one_process_s(world: World, places: tuple[str, str]) -> None:
    """What one holds the others pass over: each row is claimed once, and in order."""
    one, _ = places
    met = asyncio.Barrier(3)

    async def claim(rows: AcrossWorkspaces) -> list[str]:
        due = (NAME != "", col(Label.color) == constant("red"))
        found = await rows.within(one).claim(Label, *due, order_by=NAME, limit=1, columns=("name",), color="taken")
        await met.wait()
        return [row["name"] for row in found]

    claimed = await asyncio.gather(*[across_workspaces(claim) for _ in range(3)])
    assert sorted(name for names in claimed for name in names) == ["a", "b", "c"]
    assert await do(lambda rows: rows.within(one).claim(Label, col(Label.color) == "red", order_by=NAME, limit=9)) == []


async def test_what_somebody_holds_is_skipped(world: World, places: tuple[str, str]) -> None:
    one, _ = places
    met = asyncio.Barrier(2)

    async def look(rows: AcrossWorkspaces) -> list[str]:
        found = await rows.within(one).select(Label, order_by=NAME, limit=2, columns=("name",), skip_locked=True)
        await met.wait()
        return [row["name"] for row in found]

    first, second = await asyncio.gather(across_workspaces(look), across_workspaces(look))
    assert not {*first} & {*second}


async def test_deleted_rows_are_left_out(world: World, places: tuple[str, str]) -> None:
    one, _ = places
    crew = Crew(name="gone", slug="gone", workspace_id=one, deleted_at=now())
    await world.add(crew)
    here = col(Crew.id) == crew.id
    assert await do(lambda rows: rows.within(one).select(Crew, here)) == []
    assert not await do(lambda rows: rows.everywhere.exists(Crew, here))
    assert await do(lambda rows: rows.everywhere.update_where(Crew, here, name="x")) == []
    assert await do(lambda rows: rows.everywhere.claim(Crew, here, order_by=here, limit=1, name="x")) == []
    assert await do(lambda rows: rows.everywhere.take(Crew, here)) == []
    assert len(await do(lambda rows: rows.within(one).select(Crew, here, including_deleted=True))) == 1
    assert await do(lambda rows: rows.everywhere.remove(Crew, here, portion=10)) == 1


async def test_rows_of_deleted_workspaces_can_be_left_out(world: World, places: tuple[str, str]) -> None:
    one, other = places
    await world.database.execute("UPDATE workspaces SET deleted_at = now() WHERE id = $1", other)
    of_both = col(Label.workspace_id).in_(places)
    found = await do(lambda rows: rows.everywhere.select(Label, of_both, in_live_workspaces(Label)))
    assert {row["workspace_id"] for row in found} == {one}


async def test_upserting_replaces_all_but_what_is_kept(world: World, places: tuple[str, str]) -> None:
    one, other = places
    new = [Label(name=name, color="new", label_group="g") for name in "cd"]
    for label in new:
        label.workspace_id = one
    await do(lambda rows: rows.everywhere.upsert(new, "workspace_id", "name", kept=("id", "label_group")))
    query = "SELECT name, color, label_group FROM labels WHERE workspace_id = $1 ORDER BY name"
    assert [tuple(row) for row in await world.database.fetch(query, one)] == [
        ("a", "red", None),
        ("b", "red", None),
        ("c", "new", None),
        ("d", "new", "g"),
    ]
    assert len(await labels(world, other)) == 3
    await do(lambda rows: rows.everywhere.upsert([], "name"))
    await do(lambda rows: rows.everywhere.insert_all([]))


async def test_new_rows_within_belong_there(world: World, places: tuple[str, str]) -> None:
    one, other = places
    await do(lambda rows: rows.within(one).insert_all([Label(name="x", color="new"), Label(name="y", color="new")]))
    assert {*await labels(world, one)} == {*"abcxy"}
    assert {*await labels(world, other)} == {*"abc"}
    theirs = await world.database.fetchval("SELECT id FROM labels WHERE workspace_id = $1 AND name = 'a'", other)
    await do(lambda rows: rows.within(one).upsert([Label(id=theirs, name="mine", color="new")], "id"))
    assert await labels(world, other) == dict.fromkeys("abc", "red")
    assert "mine" not in await labels(world, one)


async def test_tables_of_the_instance(world: World) -> None:
    worker = Worker(id=new_id(), version="1", coding_agents=[{"name": "it's"}])
    async with of_instance() as tables:
        await tables.upsert([worker], "id", seen_at=NOW)
        await tables.upsert([Worker(id=worker.id, version="2")], "id", seen_at=NOW)
        (row,) = await tables.select(
            Worker, col(Worker.id) == worker.id, columns=("version", "coding_agents", "seen_at")
        )
        assert (row["version"], now() - row["seen_at"] < timedelta(minutes=1)) == ("2", True)
        assert [row[0] for row in await tables.take(Worker, col(Worker.id) == worker.id)] == [worker.id]
        for model in (Label, Agent):
            with pytest.raises(TypeError, match="belongs to workspaces"):
                await tables.select(model)
            with pytest.raises(TypeError, match="belongs to workspaces"):
                await tables.take(model)
            with pytest.raises(TypeError, match="belongs to workspaces"):
                await tables.insert_all([model(name="x", slug="x")])


async def test_a_secret_is_only_asked_whether_it_is_there(world: World, places: tuple[str, str]) -> None:
    one, _ = places
    kept = {"type": CredentialType.SECRET, "workspace_id": one}
    await world.add(Credential(name="full", value=Sealed(MARK + b"x"), **kept), Credential(name="slot", **kept))
    found = await do(lambda rows: rows.within(one).select(Credential, has_secret(Credential.value), columns=("name",)))
    assert [row["name"] for row in found] == ["full"]
    await world.database.execute("DELETE FROM credentials WHERE workspace_id = $1", one)


async def test_values_come_with_a_statement(world: World) -> None:
    given = supplied(Crew, id=["a", "b"], agents_pending_restart=[1, 2]).c
    found = await do(lambda rows: rows.everywhere.report(select(given.id, given.agents_pending_restart + constant(1))))
    assert [tuple(row) for row in found] == [("a", 2), ("b", 3)]


def test_a_clock_s_condition_has_no_parameters() -> None:
    text = waiting(Label, NAME == "it's", col(Label.color) == constant("red"), col(Label.id) < func.now())
    assert "it''s" in text
    assert "$" not in text
    assert text.startswith("EXISTS (SELECT 1")


# ---- ctx.update_each -------------------------------------------------------------------------------------------------


def _declare() -> None:
    @command("test.update_each", Action.CREATE)
    async def each(ctx: Context, data: NoInput) -> None:
        """Change rows together."""
        CHANGED.append(await ctx.update_each(*ASKED))

    @command("test.update_one_by_one", Action.CREATE)
    async def one_by_one(ctx: Context, data: NoInput) -> None:
        """Change rows one by one."""
        model, changes = ASKED
        CHANGED.append([(await ctx.update(model, id, **each)).id for id, each in changes.items()])


@pytest.fixture(scope="module", autouse=True)
def declared() -> Iterator[None]:
    known = set(OPERATIONS)
    _declare()
    yield
    for name in set(OPERATIONS) - known:
        del OPERATIONS[name]


CHANGED: list[list[str]] = []
ASKED: list[Any] = []
SHAPE = intern(Shape((Column("id", "id"),)))
COUNTS = st.integers(min_value=-1000, max_value=1000)
CREW = st.fixed_dictionaries(
    {
        "name": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20),
        "issue_counter": COUNTS.map(plus),
        "allowed_domains": st.lists(st.sampled_from(["a.example", "it's", '"', "\\"]), max_size=3),
        "description": st.none() | st.just("") | st.just("NULL"),
    }
)


async def _run(world: World, name: str, changes: dict[str, Any]) -> list[str]:
    ASKED[:] = [Crew, changes]
    CHANGED.clear()
    await OPERATIONS[name](world.owner.caller, {}, SHAPE, (), world.workspace.id)
    return CHANGED[-1]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CREW, min_size=1, max_size=6))
async def test_update_each_does_what_updates_one_by_one_do(
    world: World, monkeypatch: pytest.MonkeyPatch, changes: list[dict[str, Any]]
) -> None:
    columns = "name, issue_counter, allowed_domains, description, version"
    outcomes = []
    for name in ("test.update_each", "test.update_one_by_one"):
        crews = [Crew(name="x", slug=new_id(), workspace_id=world.workspace.id) for _ in changes]
        await world.add(*crews)
        ids = [crew.id for crew in crews]
        with sent(monkeypatch) as words:
            assert sorted(await _run(world, name, dict(zip(ids, changes, strict=True)))) == sorted(ids)
        updates = [word for word in words if word.lstrip("+") == "UPDATE"]
        sql = f"SELECT {columns} FROM crews WHERE id = ANY ($1) ORDER BY array_position($1, id)"
        rows = await world.database.fetch(sql, ids)
        outcomes.append([tuple(row) for row in rows])
        assert len(updates) == (1 if name == "test.update_each" else len(ids))
    assert outcomes[0] == outcomes[1]


async def test_update_each_stays_in_the_workspace(world: World, places: tuple[str, str]) -> None:
    foreign = Crew(name="x", slug=new_id(), workspace_id=places[0])
    gone = Crew(name="x", slug=new_id(), workspace_id=world.workspace.id, deleted_at=now())
    await world.add(foreign, gone)
    assert await _run(world, "test.update_each", {foreign.id: {"name": "y"}, gone.id: {"name": "y"}}) == []
    assert await _run(world, "test.update_each", {}) == []
    names = await world.database.fetch("SELECT name FROM crews WHERE id = ANY ($1)", [foreign.id, gone.id])
    assert [row[0] for row in names] == ["x", "x"]
    with pytest.raises(TypeError, match="same columns"):
        statements.updating_each(Crew, {"a": {"name": "y"}, "b": {"slug": "y"}}, ())
    await world.database.execute("DELETE FROM crews WHERE id = ANY ($1)", [foreign.id, gone.id])
