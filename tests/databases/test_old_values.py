"""What the audit log tells of a change, on every PostgreSQL: the row that was changed, also where others change it."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from models.work.labels import Label
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.ground.inputs import Input, Text
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.reader import Column, Shape, intern
from resolvers.kernel.store.database import RETURNS_OLD, database
from resolvers.kernel.writing.command import command
from resolvers.kernel.writing.context import Context
from tests.postgres import VARIABLE
from tests.world import World, connect_for_all

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
SHAPE = intern(Shape((Column("id", "id"), Column("color", "color"))))


class Colored(Input):
    name: Text
    color: Text


@pytest.fixture(scope="module")
def put() -> Iterator[Any]:
    @command("test.put", Action.CREATE, audit="label.put")
    async def put(ctx: Context, data: Colored) -> Label:
        """Makes, or colours what is there."""
        return await ctx.upsert(Label(name=data.name, color=data.color), "workspace_id", "name")

    yield put
    del OPERATIONS["test.put"]


class Recolored(Input):
    id: Text
    color: Text


@pytest.fixture(scope="module")
def recolor() -> Iterator[Any]:
    @command("test.recolor", Action.CREATE, audit="label.recolored")
    async def recolor(ctx: Context, data: Recolored) -> Label:
        """Colours what is there."""
        return await ctx.update(Label, data.id, color=data.color)

    yield recolor
    del OPERATIONS["test.recolor"]


async def call(op: Any, world: World, **data: str) -> None:
    caller = world.owner.caller
    caller.workspace = world.workspace.id
    await op(caller, data, SHAPE)


async def told(world: World, label_id: str) -> list[Any]:
    rows = await world.database.fetch(
        "SELECT changes FROM audit_logs WHERE entity_id = $1 ORDER BY created_at, id", label_id
    )
    return [row["changes"] for row in rows]


async def connected(world: World) -> asyncpg.Connection:
    """As the application, which is told what its own statements wait for."""
    assert world.settings.database_url is not None
    return await connect_for_all(world.settings.database_url.get_secret_value())


async def until_it_waits(world: World) -> None:
    """A statement waits for the lock of another transaction."""
    watcher = await connected(world)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(10):
        while not await watcher.fetchval(waits):
            await asyncio.sleep(0.01)
    await watcher.close()


async def test_the_release_is_the_one_that_was_asked_for(world: World, request: pytest.FixtureRequest) -> None:
    oldest = request.node.callspec.params["postgres"] == "oldest"
    found = world.database.get_server_version().major
    if oldest:
        assert found == 15
    elif VARIABLE not in os.environ:
        assert found == 18
    assert database.returns_old == (found >= RETURNS_OLD)


async def test_an_update_tells_what_was_there(world: World, recolor: Any) -> None:
    label = Label(workspace_id=world.workspace.id, name="one", color="red")
    await world.add(label)
    for color in ("green", "blue"):
        await call(recolor, world, id=label.id, color=color)
    assert await told(world, label.id) == [
        {"color": {"before": "red", "after": "green"}},
        {"color": {"before": "green", "after": "blue"}},
    ]


async def test_an_update_of_what_is_not_there_is_not_found(world: World) -> None:
    answer = await world.rest(world.owner, "PATCH", "/api/v1/labels/cnosuchrow00000000000000a", {"color": "#222222"})
    assert answer.status_code == 404, answer.text


async def test_an_outdated_version_is_refused(world: World) -> None:
    made = (await world.rest(world.owner, "POST", "/api/v1/labels", {"name": "two", "color": "#111111"})).json()
    path, given = f"/api/v1/labels/{made['id']}", {"if-match": '"7"'}
    answer = await world.rest(world.owner, "PATCH", path, {"color": "#222222"}, **given)
    assert answer.status_code == 412, answer.text
    assert (await world.rest(world.owner, "GET", "/api/v1/labels")).text.count("#111111") == 1


async def test_an_update_that_waited_tells_the_row_that_it_changed(world: World, recolor: Any) -> None:
    """Not the one that was there when it began."""
    label = Label(workspace_id=world.workspace.id, name="three", color="red")
    await world.add(label)
    change = world.database.transaction()
    await change.start()
    await world.database.execute("UPDATE labels SET color = 'green' WHERE id = $1", label.id)
    changing = asyncio.create_task(call(recolor, world, id=label.id, color="blue"))
    await until_it_waits(world)
    await change.commit()
    await changing
    assert await told(world, label.id) == [{"color": {"before": "green", "after": "blue"}}]


async def test_an_upsert_tells_what_it_replaced(world: World, put: Any) -> None:
    for color in ("red", "blue"):
        await call(put, world, name="upserted", color=color)
    label = await world.database.fetchrow("SELECT id, version FROM labels WHERE name = 'upserted'")
    assert label is not None
    assert label["version"] == 2
    assert (await told(world, label["id"]))[-1] == {"color": {"before": "red", "after": "blue"}}


async def test_an_upsert_that_waited_for_a_new_row_tells_that_one(world: World, put: Any) -> None:
    other = await connected(world)
    label = Label(workspace_id=world.workspace.id, name="at once", color="green")
    added = other.transaction()
    await added.start()
    await other.execute(
        "INSERT INTO labels (id, workspace_id, name, color, version) VALUES ($1, $2, $3, $4, 1)",
        *[label.id, label.workspace_id, label.name, label.color],
    )
    putting = asyncio.create_task(call(put, world, name="at once", color="black"))
    await until_it_waits(world)
    await added.commit()
    await putting
    await other.close()
    row = await world.database.fetchrow("SELECT color, version FROM labels WHERE id = $1", label.id)
    assert row is not None
    assert (row["color"], row["version"]) == ("black", 2)
    assert await told(world, label.id) == [{"color": {"before": "green", "after": "black"}}]
