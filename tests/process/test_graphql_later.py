"""GraphQL is made with the first request for it: a process that is asked for REST alone never loads it."""

import asyncio
import gc
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx2
import pytest

from crewship.process import app as composed
from crewship.process.app import create_app
from crewship.process.graphql import Ended, GraphQL, Made
from resolvers.instance.passwords import Cost, Passwords
from tests.conftest import Database
from tests.process.commands import environment, migrated
from tests.process.commands import serving as serving_process
from tests.world import serving, settings_for

pytestmark = pytest.mark.anyio

AT_ONCE, TRIES = 1.0, 5  # seconds from the signal to the end, with the database; the machine may do else
TYPENAME = {"query": "{ __typename }"}
ASKED = (
    b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b'content-length: 27\r\n\r\n{"query": "{ __typename }"}'
)
BEGUN = 0.05  # seconds after which it is being made


class Making:
    """The real making, held until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on, self.times = threading.Event(), 0
        self._real = composed._graphql
        monkeypatch.setattr(composed, "_graphql", self._make)

    def _make(self, *given: Any) -> Made:
        self.times += 1
        assert self.go_on.wait(30)
        return self._real(*given)


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> Making:
    return Making(monkeypatch)


@pytest.fixture
def app(making: Making, database: Database, tmp_path: Path) -> Any:
    return create_app(settings_for(database.url, tmp_path), passwords=Passwords(Cost(1, 64, 1)))


async def test_rest_answers_and_graphql_waits(making: Making, app: Any) -> None:
    try:
        async with serving(app) as url, httpx2.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
            assert (await client.get("/api/v1/crews")).status_code == 401
            assert making.times == 0
            asked = [asyncio.create_task(client.post("/graphql", json=TYPENAME)) for _ in range(3)]
            stream = asyncio.create_task(client.post("/graphql/stream", json=TYPENAME))
            assert (await client.get("/readyz")).json()["status"] is True
            assert (await client.get("/api/openapi.json")).status_code == 200
            assert making.times == 1
            assert not any(task.done() for task in (*asked, stream))
            asked.pop().cancel()  # who leaves ends nothing for the others
            making.go_on.set()
            assert [(await task).json()["data"] for task in asked] == [{"__typename": "Query"}] * 2
            assert "Query" in (await stream).text
            assert (await client.post("/graphql", json=TYPENAME)).json()["data"] == {"__typename": "Query"}
            assert making.times == 1
    finally:
        making.go_on.set()


async def test_what_cannot_be_made_is_told_to_whoever_asks() -> None:
    def fails() -> Made:
        raise TypeError("no schema")

    graphql = GraphQL(fails)
    for _ in range(2):
        with pytest.raises(TypeError, match="no schema"):
            await graphql.ready()
    assert graphql.made is None


async def test_an_end_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch, database: Database, tmp_path: Path) -> None:
    begun, left = threading.Event(), threading.Event()

    def endless(surface: str, between: Callable[[], None]) -> None:
        """As many parts as there may be."""
        begun.set()
        deadline = monotonic() + 30
        while monotonic() < deadline:
            sleep(0.01)
            try:
                between()
            except Ended:
                left.set()
                raise

    monkeypatch.setattr(composed, "modules_in", endless)
    app = create_app(settings_for(database.url, tmp_path), passwords=Passwords(Cost(1, 64, 1)))
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        async with serving(app) as url:
            paths = ("/graphql", "/graphql/stream")
            asked = [asyncio.create_task(client.post(f"{url}{path}", json=TYPENAME)) for path in paths]
            assert await asyncio.to_thread(begun.wait, 10)
            began = monotonic()
        for answer in await asyncio.gather(*asked):
            assert answer.status_code == 503
            assert answer.json()["detail"] == "The server ends"
    assert left.is_set()
    assert monotonic() - began < 10
    assert gc.isenabled()


@pytest.mark.slow
def test_a_process_ends_at_once_while_it_is_made(tmp_path: Path) -> None:
    env = environment(migrated(tmp_path / "data"))
    took = []
    for _ in range(TRIES):
        with serving_process(env=env) as served, socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(ASKED)
            sleep(BEGUN)
            began = monotonic()
            assert served.end() == 0
            took.append(monotonic() - began)
        if took[-1] < AT_ONCE:
            return
    pytest.fail(f"{took}")
