"""A process that should carry out jobs and cannot says so; and one whose database has several hosts can."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from crewship.process.postgres import Connection
from models.address import Address
from resolvers.identity.credentials import caller_of
from resolvers.oversight import system
from runtime.engine.service import Runtime
from tests.jobs.yard import Yard, once, plain

pytestmark = pytest.mark.anyio
Working = Callable[..., AbstractAsyncContextManager[Runtime]]


async def ready() -> Any:
    return orjson.loads(
        (await system.readyz(caller_of({}, client="127.0.0.1", forwarded=False, local_socket=False), {}, None)).body
        or b""
    )


async def until(ok: bool) -> Any:
    async with asyncio.timeout(20):
        while (found := await ready())["status"] is not ok:
            await asyncio.sleep(0.05)
    return found


@pytest.mark.slow
async def test_an_engine_that_does_not_load_is_not_ready(
    yard: Yard, working: Working, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.oversight.system.status.JOBS_PATIENCE", 0.3)
    yard.estate.settings.data_dir.mkdir(exist_ok=True)

    def unreadable(dsn: str) -> str:
        raise ValueError("no address that this library reads")

    with monkeypatch.context() as broken:
        broken.setattr("runtime.engine.dbos_engine.url_of", unreadable)
        await yard.enqueue(plain, "thing")
        async with working():
            found = await until(False)
            assert found["checks"] == {"db": "ok", "state": "no background jobs are carried out"}
            assert REGISTRY.get_sample_value("crewship_jobs_failing") == 1
            assert await yard.waiting() == 1
            broken.undo()
            await until(True)
            await yard.finished()
            assert REGISTRY.get_sample_value("crewship_jobs_failing") == 0
    assert await yard.written("thing") == once()


async def test_a_process_that_carries_out_no_jobs_is_ready(yard: Yard) -> None:
    yard.estate.settings.data_dir.mkdir(exist_ok=True)
    assert (await ready())["status"] is True


async def test_several_hosts_are_one_database(yard: Yard, working: Working, postgres: Connection) -> None:
    """Of which the first is none, as while another one takes over."""
    own = Address.read(postgres.application)
    ((socket, port),) = own.hosts
    name = Address.read(yard.estate.settings.database_url.get_secret_value()).database  # type: ignore[union-attr]
    login = f"{own.user}:{quote(own.password, safe='')}"
    hosts = f"%2Fnowhere:1,{quote(socket, safe='')}:{port}"
    text = f"postgres://{login}@{hosts}/{name}?target_session_attrs=read-write"
    yard.estate.settings = yard.estate.settings.model_copy(
        update={"database_url": SecretStr(Address.read(text).asyncpg)}
    )
    await yard.enqueue(plain, "thing")
    async with working():
        await yard.finished()
        run = await yard.estate.ask()
        assert (await yard.estate.ended(run.id)).status == "COMPLETED"
    assert await yard.written("thing") == once()
    assert await yard.estate.owner.fetchval(
        "SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid = $1", run.id
    )
