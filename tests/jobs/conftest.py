import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from crewship.postgres import APPLICATION
from runtime.background import Carried
from runtime.dbos_tables import prepare_engine
from runtime.liveness import Rhythm
from runtime.service import Runtime
from tests.jobs import yard as domain
from tests.jobs.yard import YARD, Yard
from tests.runtime.doubles import Wardrobe, speaks
from tests.runtime.estate import estate_on

QUICK = Rhythm(sweep=0.2, patience=0.5, measure=0.2, retry=0.1)


@pytest.fixture
async def yard(database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str) -> AsyncIterator[Yard]:
    monkeypatch.setenv(domain.DIRECTORY, str(tmp_path))
    await prepare_engine(database.owner_url, APPLICATION)
    async with estate_on(database, tmp_path / "data") as estate:
        yield Yard(estate, tmp_path)


@pytest.fixture
def working(yard: Yard) -> Callable[..., contextlib.AbstractAsyncContextManager[Runtime]]:
    """This process carries out jobs, while the block runs."""

    @contextlib.asynccontextmanager
    async def work(jobs: tuple[Carried, ...] = YARD, rhythm: Rhythm = QUICK) -> AsyncIterator[Runtime]:
        runtime = Runtime(yard.estate.settings, Wardrobe(speaks), jobs=jobs, rhythm=rhythm)
        await runtime.start()
        try:
            yield runtime
        finally:
            await runtime.stop()

    return work
