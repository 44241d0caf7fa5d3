"""What a command sends: no more statements than it needs, and a row that changes together with an insert."""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy import Text as SQLText
from sqlalchemy import cast, func
from sqlmodel import col

from models.staff.crews import Crew
from models.work.labels import Label
from resolvers.errors import TOO_LONG, Code, Refusal
from resolvers.identity.caller import Caller
from resolvers.kernel.declarations.events import EVENTS, Event
from resolvers.kernel.declarations.operation import OPERATIONS, translate
from resolvers.kernel.ground.inputs import Input, Text
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import Column, Shape, intern
from resolvers.kernel.store import statements
from resolvers.kernel.store.changes import Change, Drawn, plus
from resolvers.kernel.writing.command import command
from resolvers.kernel.writing.context import Context
from tests.round_trips import sent
from tests.world import World

pytestmark = pytest.mark.anyio
SHAPE = intern(Shape((Column("id", "id"), Column("name", "name"), Column("color", "color"))))
REMOVE: list[Any] = []


class Numbered(Input):
    crew_id: Text
    color: Text = "c"
    sign: Text = "-"


class LabelNumbered(Event, type="test.label_numbered", channel="workspace:{workspace_id}"):
    id: str
    name: Drawn[str]
    color: Drawn[str]


def _number(ctx: Context, data: Numbered) -> Any:
    name: Any = col(Crew.slug).concat(data.sign).concat(col(Crew.issue_counter))
    return ctx.insert(
        Label(name=name, color=data.color), conflict="taken", change=Change(Crew, data.crew_id, issue_counter=plus(1))
    )


def _tell(ctx: Context, label: Label) -> None:
    ctx.audit("LABEL", label.id, name=label.name, color=label.color)
    ctx.emit(LabelNumbered(id=label.id, name=label.name, color=label.color))


def _declare() -> None:
    @command("test.number", Action.CREATE, audit="label.numbered", emits=LabelNumbered)
    async def number(ctx: Context, data: Numbered) -> Label:
        """Makes a label that takes the crew's next number."""
        label: Label = await _number(ctx, data)
        _tell(ctx, label)
        return label

    @command("test.number_two", Action.CREATE, audit="label.numbered", emits=LabelNumbered)
    async def number_two(ctx: Context, data: Numbered) -> Label:
        """Makes two; what was told of the first is a value by the time the second is sent."""
        first: Label = await _number(ctx, data)
        _tell(ctx, first)
        second: Label = await _number(ctx, data)
        _tell(ctx, second)
        assert isinstance(first.name, str)
        return first

    @command("test.number_silently", Action.CREATE)
    async def number_silently(ctx: Context, data: Numbered) -> None:
        """Makes a label and answers nothing."""
        await _number(ctx, data)

    @command("test.only_insert", Action.CREATE, audit="label.made")
    async def only_insert(ctx: Context, data: Numbered) -> Label:
        """Reads, and makes a label."""
        await ctx.get(Crew, data.crew_id)
        label = await ctx.insert(Label(name=data.color, color=data.color), conflict="taken")
        ctx.audit("LABEL", label.id)
        return label

    @command("test.loses_its_row", Action.CREATE, audit="label.seen")
    async def loses_its_row(ctx: Context, data: Numbered) -> Label:
        """Records that it saw a label, which somebody else removes meanwhile."""
        label = await ctx.get(Label, data.color)
        await REMOVE[0](label.id)
        ctx.audit("LABEL", label.id)
        return label

    @command("test.only_update", Action.CREATE, audit="crew.counted")
    async def only_update(ctx: Context, data: Numbered) -> None:
        """Counts."""
        await ctx.update(Crew, data.crew_id, issue_counter=plus(1))
        ctx.audit("CREW", data.crew_id)


def _declare_counts() -> None:
    @command("test.number_by_case", Action.CREATE)
    async def number_by_case(ctx: Context, data: Numbered) -> Label:
        """One of two expressions."""
        slug = func.upper(col(Crew.slug)) if data.color == "upper" else func.lower(col(Crew.slug))
        name: Any = slug.concat(cast(col(Crew.issue_counter), SQLText))
        return await ctx.insert(
            Label(name=name, color=data.color), change=Change(Crew, data.crew_id, issue_counter=plus(1))
        )

    @command("test.count_all", Action.CREATE)
    async def count_all(ctx: Context, data: Numbered) -> None:
        """Counts all that match."""
        await ctx.update_where(Crew, col(Crew.id) == data.crew_id, issue_counter=col(Crew.issue_counter) + 1)

    @command("test.rename", Action.CREATE)
    async def rename(ctx: Context, data: Numbered) -> None:
        """Counts, and renames."""
        await ctx.update(Crew, data.crew_id, issue_counter=plus(1), name="Renamed")

    @command("test.rename_all", Action.CREATE)
    async def rename_all(ctx: Context, data: Numbered) -> None:
        """Counts and renames all that match."""
        await ctx.update_where(
            Crew, col(Crew.id) == data.crew_id, issue_counter=col(Crew.issue_counter) + 1, name="Again"
        )

    @command("test.touch", Action.CREATE)
    async def touch(ctx: Context, data: Numbered) -> None:
        """An edit of nothing is one all the same."""
        await ctx.update(Crew, data.crew_id)


@pytest.fixture(scope="module")
def ops() -> Iterator[dict[str, Any]]:
    known = set(OPERATIONS)
    _declare()
    _declare_counts()
    yield {name.removeprefix("test."): op for name, op in OPERATIONS.items() if name not in known}
    for name in set(OPERATIONS) - known:
        del OPERATIONS[name]
    EVENTS.pop("test.label_numbered", None)


def by(world: World, **given: Any) -> Caller:
    made = world.owner.caller
    made.workspace = world.workspace.id
    for name, value in given.items():
        setattr(made, name, value)
    return made


async def crew_of(world: World, slug: str) -> Crew:
    crew = Crew(workspace_id=world.workspace.id, name=slug, slug=slug)
    await world.add(crew)
    return crew


async def told(world: World) -> list[tuple[str, str]]:
    """The names that audit rows and events speak of; they are the same."""
    audits = [(a["entity_id"], a["data"]["name"]) for a in await world.audit() if a["action"] == "label.numbered"]
    events = [
        (e["payload"]["id"], e["payload"]["name"]) for e in await world.events() if e["type"] == "test.label_numbered"
    ]
    assert sorted(audits) == sorted(events)
    return events


async def test_a_command_that_only_inserts_is_one_statement_behind_its_gate(
    world: World, ops: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = await crew_of(world, "trips")
    for name in ("only_insert", "only_update", "number"):
        await ops[name](by(world), {"crew_id": crew.id, "color": f"before {name}"}, SHAPE)
    with sent(monkeypatch) as trips:
        await ops["only_insert"](by(world), {"crew_id": crew.id, "color": "one"}, SHAPE)
    assert trips == ["SELECT", "SELECT", "WITH"]
    with sent(monkeypatch) as trips:
        await ops["number"](by(world), {"crew_id": crew.id}, SHAPE)
    assert trips == ["SELECT", "WITH"]
    with sent(monkeypatch) as trips:
        await ops["only_update"](by(world), {"crew_id": crew.id}, SHAPE)
    assert trips == ["SELECT", "+UPDATE", "WITH", "COMMIT"]


async def test_a_refused_single_statement_leaves_nothing_and_holds_nothing(
    world: World, ops: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = await crew_of(world, "refused")
    raw = {"crew_id": crew.id, "color": "taken"}
    await ops["only_insert"](by(world), raw, SHAPE)
    before = await world.snapshot()
    with sent(monkeypatch) as trips, pytest.raises(Refusal, match="taken"):
        await ops["only_insert"](by(world), raw, SHAPE)
    assert "ROLLBACK" not in trips
    assert await world.snapshot() == before
    assert (
        await world.database.fetchval("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
        == 0
    )


async def test_the_new_row_takes_what_the_other_has_after_the_change(world: World, ops: dict[str, Any]) -> None:
    crew = await crew_of(world, "eng")
    answer = orjson.loads((await ops["number"](by(world), {"crew_id": crew.id}, SHAPE)).body)
    assert (answer["name"], answer["color"]) == ("eng-1", "c")
    assert (await told(world))[-1] == (answer["id"], "eng-1")
    assert [a["data"] for a in await world.audit() if a["entity_id"] == answer["id"]] == [
        {"name": "eng-1", "color": "c"}
    ]
    row = await world.database.fetchrow("SELECT issue_counter, version FROM crews WHERE id = $1", crew.id)
    assert tuple(row) == (1, 1)


@pytest.mark.parametrize("name", ["number", "number_two", "number_silently"])
async def test_an_expression_that_is_written_anew_has_the_plan_it_had(
    world: World, ops: dict[str, Any], name: str
) -> None:
    """In the statement of the answer, and in one of its own; with the values of its own call."""
    crew, op = await crew_of(world, f"anew-{name}"), ops[name]
    known = []
    for sign in ("-", "/", "+"):
        await op(by(world), {"crew_id": crew.id, "sign": sign}, None if name == "number_silently" else SHAPE)
        known.append((list(op.plans.values()), list(statements._COMPILED)))
    assert known[0] == known[1] == known[2]
    rows = await world.database.fetch(
        "SELECT name FROM labels WHERE name LIKE $1 ORDER BY created_at, name", f"anew-{name}%"
    )
    made = ["-1", "-2", "/3", "/4", "+5", "+6"] if name == "number_two" else ["-1", "/2", "+3"]
    assert [row["name"] for row in rows] == [f"anew-{name}{number}" for number in made]


async def test_other_expressions_have_plans_of_their_own(world: World, ops: dict[str, Any]) -> None:
    crew = await crew_of(world, "other")
    for upper in (True, False, True):
        answer = await ops["number_by_case"](
            by(world), {"crew_id": crew.id, "color": "upper" if upper else "lower"}, SHAPE
        )
        assert orjson.loads(answer.body)["name"].startswith("OTHER" if upper else "other")
    assert len(ops["number_by_case"].plans) == 2


async def test_a_number_is_no_edit_of_the_crew(world: World, ops: dict[str, Any]) -> None:
    """Taken beside an insert, by an update or by one of many rows; what people change with it is one."""
    crew = await crew_of(world, "counted")
    look = "SELECT version, updated_at, issue_counter FROM crews WHERE id = $1"
    version, changed, _ = await world.database.fetchrow(look, crew.id)
    for number, name in enumerate(("number", "only_update", "count_all"), 1):
        await ops[name](by(world), {"crew_id": crew.id}, SHAPE if name == "number" else None)
        assert tuple(await world.database.fetchrow(look, crew.id)) == (version, changed, number)
    for edits, name in enumerate(("rename", "rename_all", "touch"), 1):
        await ops[name](by(world), {"crew_id": crew.id}, None)
        row = await world.database.fetchrow(look, crew.id)
        assert (row["version"], row["issue_counter"]) == (version + edits, 3 + min(edits, 2)), name
        assert row["updated_at"] > changed
        changed = row["updated_at"]


async def test_no_number_is_lost_or_taken_twice(world: World, ops: dict[str, Any]) -> None:
    crew = await crew_of(world, "busy")
    answers = await asyncio.gather(*[ops["number"](by(world), {"crew_id": crew.id}, SHAPE) for _ in range(40)])
    names = {orjson.loads(a.body)["name"] for a in answers}
    assert names == {f"busy-{n}" for n in range(1, 41)}
    assert {name for _, name in await told(world)} >= names


async def test_an_insert_that_is_sent_earlier_settles_what_was_told_of_it(world: World, ops: dict[str, Any]) -> None:
    crew = await crew_of(world, "pair")
    answer = orjson.loads((await ops["number_two"](by(world), {"crew_id": crew.id}, SHAPE)).body)
    assert answer["name"] == "pair-1"
    assert [name for _, name in (await told(world))[-2:]] == ["pair-1", "pair-2"]


@pytest.mark.parametrize("name", ["number", "number_two", "number_silently"])
async def test_where_there_is_no_such_row_nothing_is_written(world: World, ops: dict[str, Any], name: str) -> None:
    deleted = await crew_of(world, f"deleted-{name}")
    await world.database.execute("UPDATE crews SET deleted_at = now() WHERE id = $1", deleted.id)
    foreign = Crew(workspace_id=world.other.id, name=name, slug=name)
    await world.add(foreign)
    before = await world.snapshot()
    for id in ("cnosuchcrew0000000000000", deleted.id, foreign.id):
        for key in (None, "a key"):
            with pytest.raises(Refusal, match="Crew not found") as caught:
                await ops[name](by(world), {"crew_id": id}, SHAPE if name != "number_silently" else None, key=key)
            assert caught.value.code is Code.NOT_FOUND
    assert await world.snapshot() == before


async def test_the_same_key_takes_one_number(world: World, ops: dict[str, Any]) -> None:
    crew = await crew_of(world, "keyed")
    answers = [await ops["number"](by(world), {"crew_id": crew.id}, SHAPE, key="keyed") for _ in range(3)]
    assert {a.body for a in answers} == {answers[0].body}
    assert await world.database.fetchval("SELECT issue_counter FROM crews WHERE id = $1", crew.id) == 1


async def test_a_taken_key_gives_the_number_back(world: World, ops: dict[str, Any]) -> None:
    crew = await crew_of(world, "clash")
    await world.add(Label(workspace_id=world.workspace.id, name="clash-1", color="c"))
    before = await world.snapshot()
    with pytest.raises(Refusal, match="taken"):
        await ops["number"](by(world), {"crew_id": crew.id}, SHAPE)
    assert await world.snapshot() == before


@pytest.mark.parametrize("key", [None, "gone"])
async def test_what_is_recorded_of_a_row_that_is_gone_goes_too(
    world: World, ops: dict[str, Any], key: str | None
) -> None:
    label = Label(workspace_id=world.workspace.id, name="fleeting", color="c")
    before = await world.snapshot()
    await world.add(label)
    REMOVE[:] = [lambda id: world.database.execute("DELETE FROM labels WHERE id = $1", id)]
    with pytest.raises(Refusal, match="Label not found") as caught:
        await ops["loses_its_row"](by(world), {"crew_id": "", "color": label.id}, SHAPE, key=key)
    assert caught.value.code is Code.NOT_FOUND
    assert await world.snapshot() == before


async def test_a_text_that_is_too_long_is_refused_and_not_cut(world: World, ops: dict[str, Any]) -> None:
    crew = await crew_of(world, "long")
    before = await world.snapshot()
    for name in ("only_insert", "number", "number_silently"):
        with pytest.raises(Refusal, match=TOO_LONG) as caught:
            await ops[name](
                by(world), {"crew_id": crew.id, "color": "c" * 101}, None if name == "number_silently" else SHAPE
            )
        assert caught.value.code is Code.BAD_REQUEST
    assert await world.snapshot() == before
    await ops["number"](by(world), {"crew_id": crew.id, "color": "c" * 100}, SHAPE)


async def test_a_text_that_is_too_long_is_refused_whoever_sends_it(world: World) -> None:
    with pytest.raises(asyncpg.StringDataRightTruncationError) as caught:
        await world.database.execute("INSERT INTO labels (name) VALUES (repeat('n', 601))")
    refusal = translate(caught.value)
    assert (refusal.code, refusal.detail) == (Code.BAD_REQUEST, TOO_LONG)
