"""The log level at run time: what holds, in every process, and for how long."""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from crewship.process.log_level import Follower
from models.base import table_of
from models.people.auth import CliToken, User
from models.people.workspaces import Membership, Role, Workspace
from resolvers.instance.crypto import new_cli_token
from resolvers.instance.log_level import LogLevel, log_from
from resolvers.kernel import Topic
from resolvers.kernel.store.bus import bus
from tests.conftest import Database
from tests.faults.servers import KEYS, addresses
from tests.process.commands import Served, environment, serving
from tests.world import World, connect_for_all, now, stored

pytestmark = pytest.mark.anyio
PATH = "/api/v1/admin/log-level"


@pytest.fixture(autouse=True)
async def untouched(world: World) -> AsyncIterator[None]:
    """The process is at the configured level before and after, as its follower believes it is."""
    root = logging.getLogger()
    level = root.level
    log_from(LogLevel.error)
    yield
    await world.database.execute("DELETE FROM instance_facts WHERE name = 'log_level'")
    bus.ring(Topic.settings)
    await until(lambda: root.level == logging.ERROR)
    root.setLevel(level)


async def put(world: World, level: Any, **more: Any) -> httpx2.Response:
    return await world.rest(world.admin, "PUT", PATH, {"level": level} | more)


async def until(holds: Any, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_level_holds_until_it_is_changed(world: World) -> None:
    assert (await world.rest(world.admin, "GET", PATH)).json() == {"level": "error", "baseline": "error"}
    for given, level in (("debug", "debug"), ("WARNING", "warn"), ("Fatal", "error"), (" Info ", "info")):
        answer = await put(world, given)
        assert (answer.status_code, answer.json()) == (200, {"level": level, "baseline": "error"})
        assert (await world.rest(world.owner, "GET", PATH)).json() == answer.json()
    await until(lambda: logging.getLogger().level == logging.INFO)
    assert logging.getLogger("httpcore2").level == logging.WARNING
    assert [(row["action"], row["entity_type"], row["data"]) for row in await world.audit()][-1] == (
        "log_level.updated", "INSTANCE", {"level": "info", "ttl_seconds": 0},
    )  # fmt: skip


@pytest.mark.parametrize(("ttl", "lasts"), [(60, 60), (999_999, 86_400), (-4, None), (0, None)])
async def test_a_time_is_kept_to_a_day(world: World, ttl: int, lasts: int | None) -> None:
    shown = (await put(world, "debug", ttl_seconds=ttl)).json()
    until = shown.pop("expires_at", None)
    assert shown == {"level": "debug", "baseline": "error"}
    if lasts is None:
        assert until is None
    else:
        assert abs(datetime.fromisoformat(until) - now() - timedelta(seconds=lasts)) < timedelta(seconds=30)


@pytest.mark.slow
async def test_a_level_with_an_end_falls_back(world: World) -> None:
    await put(world, "debug", ttl_seconds=1)
    await until(lambda: logging.getLogger().level == logging.DEBUG)
    await until(lambda: logging.getLogger().level == logging.ERROR)
    assert (await world.rest(world.admin, "GET", PATH)).json() == {"level": "error", "baseline": "error"}


@pytest.mark.parametrize(
    "body",
    [{}, {"level": ""}, {"level": "loud"}, {"level": 3}, {"level": None}, {"level": "info", "ttl_seconds": "soon"}],
    ids=str,
)
async def test_a_level_that_is_none_is_refused_and_changes_nothing(world: World, body: dict[str, Any]) -> None:
    before = await world.snapshot()
    assert (await world.rest(world.admin, "PUT", PATH, body)).status_code == 400
    assert await world.snapshot() == before
    assert logging.getLogger().level != logging.INFO


async def test_a_ring_that_is_lost_is_made_good(world: World) -> None:
    await world.database.execute(
        "INSERT INTO instance_facts (name, value, created_at) VALUES ('log_level', 'warn', now())"
    )
    task = asyncio.create_task(Follower(every=0.05).run())
    try:
        await until(lambda: logging.getLogger().level == logging.WARNING)
        await world.database.execute("DELETE FROM instance_facts WHERE name = 'log_level'")
        await until(lambda: logging.getLogger().level == logging.ERROR)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.slow
async def test_a_change_in_one_process_holds_in_all(database: Database, tmp_path: Path) -> None:
    """What the other one logs of a denied write, before, while and after the level lets it."""
    token, owner = new_cli_token("STANDARD"), await connect_for_all(database.owner_url)  # type: ignore[arg-type]
    user, workspace = User(email="owner@example.com"), Workspace(name="Place", slug="place")
    hash = hashlib.sha256(token.encode()).hexdigest()
    member = Membership(user_id=user.id, workspace_id=workspace.id, role=Role.ADMIN)
    for row in (user, workspace, member, CliToken(user_id=user.id, name="t", token_hash=hash)):
        names = [name for name in stored(type(row)).split(", ") if name in row.__dict__]
        places = ", ".join(f"${n + 1}" for n in range(len(names)))
        sql = f"INSERT INTO {table_of(type(row)).name} ({', '.join(names)}) VALUES ({places})"
        await owner.execute(sql, *[row.__dict__[name] for name in names])
    await owner.close()
    given = KEYS | addresses(database)
    given |= {"CREWSHIP_LOG_LEVEL": "warn", "CREWSHIP_LOG_FORMAT": "json", "CREWSHIP_INSTANCE_ADMINS": "true"}
    with contextlib.ExitStack() as stack:
        one, other = [
            await asyncio.to_thread(stack.enter_context, serving(env=environment(tmp_path / name, **given)))
            for name in ("one", "other")
        ]
        async with httpx2.AsyncClient(headers={"authorization": f"Bearer {token}"}, verify=False) as client:

            async def denied(served: Served) -> int:
                """How many lines tell of denied writes after one more."""
                url = f"http://127.0.0.1:{served.port}/api/v1/labels?workspace_id=cnobodys00000000000000"
                assert (await client.post(url, json={})).status_code == 403
                return served.logged().count("write denied")

            async def set_level(**body: Any) -> None:
                url = f"http://127.0.0.1:{one.port}{PATH}?workspace_id=place"
                assert (await client.put(url, json=body)).status_code == 200

            assert (await denied(one), await denied(other)) == (0, 0)
            await set_level(level="info")
            async with asyncio.timeout(10):
                while not await denied(other):
                    await asyncio.sleep(0.05)
            assert await denied(one)
            await set_level(level="info", ttl_seconds=1)
            async with asyncio.timeout(10):
                seen = -1
                while seen != (seen := await denied(other)):
                    await asyncio.sleep(0.3)
