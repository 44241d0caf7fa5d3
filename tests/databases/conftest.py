"""Tests of this folder run on the oldest PostgreSQL that is promised, too, where this machine has it."""

import asyncio
from collections.abc import Iterator

import pytest

from crewship.process.postgres import Connection
from tests.postgres import OLDEST, Server, make_template


@pytest.fixture(scope="session", params=[pytest.param("oldest", marks=pytest.mark.slow), "own"])
def postgres(request: pytest.FixtureRequest) -> Iterator[Connection]:
    if request.param == "oldest" and not (OLDEST / "postgres").exists():
        pytest.skip(f"NOT INSTALLED, NOTHING IS PROVED: {OLDEST}/postgres")
    server = Server(OLDEST if request.param == "oldest" else None)
    try:
        asyncio.run(make_template(server.connection))
        yield server.connection
    finally:
        server.stop()
