"""A table with a column of secrets, served: it is written and loaded sealed, and no surface or statement names it."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import strawberry
from sqlalchemy import func, select
from sqlmodel import col

from models.sealed import Sealed
from models.work.labels import Label
from resolvers.errors import Code, Refusal
from resolvers.instance.running import instance
from resolvers.kernel.declarations.query import QueryScope, query
from resolvers.kernel.ground.inputs import ById, Input, NoInput, Text
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import GRAPHS, Row, Rows, Shape, columns_of, confidential, derived, extend, many, of_parent
from resolvers.kernel.reader.shape import Column
from resolvers.kernel.writing.command import command
from resolvers.kernel.writing.context import Context
from rest_compat.http.table import GET, POST, Wire
from schema.bridge import fields as bridge
from schema.bridge.fields import bind_nodes, node
from tests.kernel.safe import stored, table_of_secrets
from tests.world import World, world_on

pytestmark = pytest.mark.anyio
SECRET = "sk-live-9f8e7d6c5b4a"
LOADED: list[Any] = []


@dataclass
class Domain:
    safe: Any
    routes: tuple[Any, ...]
    operations: dict[str, Any]


class Keep(Input):
    name: Text
    value: Text


class Rename(Input):
    id: Text
    name: Text


@pytest.fixture(scope="module")
def domain() -> Iterator[Domain]:
    with table_of_secrets() as Safe:

        class SafeJSON(Wire, of=Safe):
            id: str
            name: str

        @command("test.keep", Action.CREATE, audit="test.kept")
        async def keep(ctx: Context, data: Keep) -> Safe:
            row = Safe(name=data.name)
            row.value = await instance.vault.seal(
                data.value, table=Safe, column="value", row_id=row.id, workspace_id=ctx.workspace_id
            )
            ctx.audit("SAFE", row.id, name=data.name)
            return await ctx.insert(row)  # type: ignore[no-any-return]

        @command("test.rotate", Action.CREATE)
        async def rotate(ctx: Context, data: Keep) -> Safe:
            """Inside a transaction: the row is locked, opened, and sealed anew."""
            row = await ctx.get(Safe, data.name, lock=True)
            old = (await instance.vault.open(row.value, table=Safe, column="value", row_id=row.id)).reveal()
            text, place = f"{old}+{data.value}", {"table": Safe, "column": "value", "row_id": row.id}
            value = await instance.vault.seal(text, **place, workspace_id=ctx.workspace_id)
            return await ctx.update(Safe, row.id, value=value)  # type: ignore[no-any-return]

        @command("test.steal", Action.CREATE)
        async def steal(ctx: Context, data: Keep) -> None:
            """Opens what stands in a row as if it were another row's."""
            stored = (await ctx.get(Safe, data.name)).value
            await instance.vault.open(stored, table=Safe, column="value", row_id=data.value)

        @command("test.load", Action.CREATE)
        async def load(ctx: Context, data: ById) -> None:
            selection = ctx.select(Safe, col(Safe.id) == data.id)
            LOADED[:] = [
                await ctx.get(Safe, data.id),
                *await selection.all(),
                await selection.first(),
                await ctx.update(Safe, data.id, name="again"),
                await ctx.upsert(await ctx.get(Safe, data.id), "id"),
                await ctx.delete(Safe, data.id),
            ]
            LOADED.append(await ctx.report(ctx.table(Safe, including_deleted=True).select()))

        @query("test.safes", Action.READ)
        def safes(scope: QueryScope, data: NoInput) -> Rows[Safe]:
            return scope.select(Safe).order_by(col(Safe.name))

        routes = (GET("/api/v1/safes", safes, list[SafeJSON]), POST("/api/v1/safes", keep, SafeJSON, status=201))
        made = {"keep": keep, "rotate": rotate, "load": load, "safes": safes, "steal": steal}
        yield Domain(Safe, routes, made)


@pytest.fixture(scope="module")
async def world(
    domain: Domain, module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[World]:
    async with (
        stored(module_database, domain.safe),
        world_on(module_database, tmp_path_factory.mktemp("data"), routes=domain.routes) as made,
    ):
        yield made


async def kept(world: World, name: str = "one") -> str:
    answer = await world.rest(world.owner, "POST", "/api/v1/safes", {"name": name, "value": SECRET})
    assert answer.status_code == 201, answer.text
    assert answer.json().keys() == {"id", "name"}
    return str(answer.json()["id"])


async def everything(world: World) -> str:
    """All rows of the database, as text."""
    rows = []
    for (table,) in await world.database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        rows += [str(row[0]) for row in await world.database.fetch(f'SELECT to_jsonb(t)::text FROM "{table}" t')]
    return "\n".join(rows)


async def test_it_is_stored_sealed_and_the_text_is_nowhere(world: World, domain: Domain) -> None:
    id = await kept(world)
    raw = await world.database.fetchval("SELECT value FROM safes WHERE id = $1", id)
    assert raw[:2] == b"\xff\x02"
    dump = await everything(world)
    assert id in dump
    assert SECRET not in dump
    assert SECRET.encode().hex() not in dump
    assert (await instance.vault.open(Sealed(raw), table=domain.safe, column="value", row_id=id)).reveal() == SECRET
    listed = await world.rest(world.owner, "GET", "/api/v1/safes")
    assert SECRET not in listed.text
    assert [row.keys() for row in listed.json()] == [{"id", "name"}] * len(listed.json())


async def test_every_door_gives_it_sealed(world: World, domain: Domain) -> None:
    id = await kept(world)
    await domain.operations["load"](world.owner.caller, {"id": id}, place=world.workspace.id)
    *rows, records = LOADED
    assert len(rows) == 6
    assert all(type(row.value) is Sealed for row in rows)
    assert SECRET not in repr(rows)
    assert id in [record["id"] for record in records]
    assert all("value" not in record for record in records)


async def test_it_is_opened_and_sealed_within_a_transaction(world: World, domain: Domain) -> None:
    id = await kept(world)
    await domain.operations["rotate"](world.owner.caller, {"name": id, "value": "more"}, place=world.workspace.id)
    raw = await world.database.fetchval("SELECT value FROM safes WHERE id = $1", id)
    opened = await instance.vault.open(Sealed(raw), table=domain.safe, column="value", row_id=id)
    assert opened.reveal() == f"{SECRET}+more"


async def test_what_was_moved_to_another_row_does_not_open(world: World, domain: Domain) -> None:
    one, two = await kept(world), await kept(world, "two")
    await world.database.execute(
        "UPDATE safes SET value = (SELECT value FROM safes WHERE id = $1) WHERE id = $2", one, two
    )
    for id, row_id in ((two, two), (one, two)):
        with pytest.raises(Refusal) as refused:
            await domain.operations["steal"](
                world.owner.caller, {"name": id, "value": row_id}, place=world.workspace.id
            )
        assert (refused.value.code, refused.value.detail) == (Code.INTERNAL, "Internal error")


@pytest.mark.parametrize("value", [SECRET, SECRET.encode(), b"\xff\x01\x01" + SECRET.encode()])
async def test_nothing_else_can_be_written(world: World, domain: Domain, value: Any) -> None:
    id = await kept(world)
    before = await world.database.fetchval("SELECT value FROM safes WHERE id = $1", id)
    safe, caught = domain.safe, []

    @command(f"test.write_{len(value)}_{type(value).__name__}", Action.CREATE)
    async def write(ctx: Context, data: ById) -> None:
        for changing in (
            lambda: ctx.update(safe, id, value=value),
            lambda: ctx.update_where(safe, col(safe.id) == id, value=value),
        ):
            with pytest.raises(TypeError, match=r"Safe.value holds secrets") as refused:
                await changing()
            caught.append(str(refused.value))
        row = await ctx.get(safe, id)
        for condition in (
            lambda: col(safe.value) == row.value,
            lambda: col(safe.value).is_not(None),
            lambda: col(safe.value).desc(),
        ):
            with pytest.raises(TypeError, match="holds secrets"):
                condition()

    await write(world.owner.caller, {"id": id}, place=world.workspace.id)
    assert len(caught) == 2
    assert SECRET not in "".join(caught)
    assert await world.database.fetchval("SELECT value FROM safes WHERE id = $1", id) == before


@pytest.mark.parametrize("value", [b"", SECRET.encode(), None])
async def test_the_database_holds_it_too(world: World, domain: Domain, value: bytes | None) -> None:
    id = await kept(world)
    update = world.database.execute("UPDATE safes SET value = $1 WHERE id = $2", value, id)
    if value is None:
        assert await update == "UPDATE 1"
        return
    with pytest.raises(Exception, match="safes_value_check"):
        await update


async def test_a_read_that_names_it_is_no_read(world: World, domain: Domain) -> None:
    safe = domain.safe
    shape = Shape((Column("id", "id"),), "list")

    async def refused(name: str, describe: Any) -> None:
        made = query(name, Action.READ)(describe)
        with pytest.raises(Refusal) as caught:
            await made(world.owner.caller, {}, shape, place=world.workspace.id)
        assert isinstance(caught.value.__cause__, TypeError)
        assert "secrets" in str(caught.value.__cause__)

    def filtered(scope: QueryScope, data: NoInput) -> Rows[safe]:
        return scope.select(safe).where(func.length(safe.value) > 1)

    def ordered(scope: QueryScope, data: NoInput) -> Rows[safe]:
        return scope.select(safe).order_by(col(safe.value))

    def reported(scope: QueryScope, data: NoInput) -> Rows[safe]:
        return scope.select(safe).where(scope.table(safe).c.value.is_(None))

    await refused("test.filtered", filtered)
    await refused("test.ordered", ordered)
    with pytest.raises(Refusal) as caught:
        await query("test.reported", Action.READ)(reported)(world.owner.caller, {}, shape, place=world.workspace.id)
    assert isinstance(caught.value.__cause__, AttributeError)
    with pytest.raises(Refusal):
        await domain.operations["safes"](
            world.owner.caller, {}, Shape((Column("value", "value"),), "list"), place=world.workspace.id
        )


async def test_a_derived_value_cannot_be_made_of_it(
    world: World, domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beside(column: str) -> Any:
        """A column of the rows with the same name."""

        def expression(row: Any, scope: Any) -> Any:
            other, same = scope.beside(domain.safe, row)
            return scope.scalar(select(func.max(func.length(other.c[column]))).where(other.c.name == row.name, *same))

        return derived(int, expression)

    entries = {
        "size": derived(int, lambda row, scope: func.length(row.value)),
        "others": beside("value"),
        "named": beside("name"),
    }
    monkeypatch.setitem(GRAPHS, domain.safe, entries)
    for name in ("size", "others"):
        with pytest.raises(Refusal) as caught:
            await domain.operations["safes"](
                world.owner.caller, {}, Shape((Column(name, name),), "list"), place=world.workspace.id
            )
        assert "secrets" in str(caught.value.__cause__)
    await kept(world, "named")
    answer = await domain.operations["safes"](
        world.owner.caller, {}, Shape((Column("named", "named"),), "list"), place=world.workspace.id
    )
    assert {"named": len("named")} in json.loads(answer.body)


async def test_no_declaration_names_it(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    safe = domain.safe
    assert "value" not in columns_of(safe)
    assert "name" in columns_of(safe)

    class Leak(Wire, of=safe):
        id: str
        value: str

    def one(scope: QueryScope, data: ById) -> Row[safe]:
        return scope.select(safe).one("no")

    with pytest.raises(TypeError, match=r"Leak\.value"):
        _ = GET("/api/v1/safes/{id}", query("test.leak", Action.READ)(one), Leak).shape
    for declare in (
        lambda: confidential(safe, Action.READ, "value"),
        lambda: of_parent(safe, "id", "value"),
        lambda: extend(Label, safes=many(safe, "value")),
        lambda: extend(Label, safes=many(safe, "name", order_by=col(safe.value))),
        lambda: extend(Label, safes=many(safe, "name", where=(func.length(safe.value) > 1,))),
    ):
        with pytest.raises(TypeError, match=r"value|secrets"):
            declare()
    assert "safes" not in GRAPHS[Label]
    monkeypatch.setattr(bridge, "_UNBOUND", [])
    monkeypatch.setattr(bridge, "NODES", {})
    node(safe)(type("SafeType", (), {"__annotations__": {"id": strawberry.ID, "value": str}}))
    with pytest.raises(TypeError, match=r"SafeType\.value"):
        bind_nodes()


async def test_audit_data_cannot_hold_one(world: World, domain: Domain) -> None:
    id = await kept(world)
    before = json.dumps(await world.snapshot())

    @command("test.tell", Action.CREATE, audit="test.told")
    async def tell(ctx: Context, data: ById) -> None:
        row = await ctx.get(domain.safe, data.id)
        opened = await instance.vault.open(row.value, table=domain.safe, column="value", row_id=row.id)
        for secret in (row.value, opened):
            with pytest.raises(TypeError, match="value is a secret"):
                ctx.audit("SAFE", row.id, value=secret)
        ctx.audit("SAFE", row.id, values=[opened])  # deeper than it looks; the encoder of JSON takes no such thing

    with pytest.raises(Refusal) as refused:
        await tell(world.owner.caller, {"id": id}, place=world.workspace.id)
    assert refused.value.code is Code.INTERNAL
    assert SECRET not in str(refused.value) + str(refused.value.__cause__)
    assert json.dumps(await world.snapshot()) == before
