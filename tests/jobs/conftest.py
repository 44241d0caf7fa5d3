import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from crewship.process.postgres import Connection
from runtime.engine.background import Carried
from runtime.engine.clocks import Ticking
from runtime.engine.liveness import Rhythm
from runtime.engine.service import Runtime
from tests.conftest import TEMPLATE, Database, copied
from tests.jobs import yard as domain
from tests.jobs.yard import YARD, Yard
from tests.runtime.doubles import Wardrobe, speaks
from tests.runtime.estate import estate_on

QUICK = Rhythm(sweep=0.2, patience=0.5, measure=0.2, retry=0.1)


@pytest.fixture
def ground(postgres: Connection) -> Iterator[Database]:
    yield from copied(postgres, TEMPLATE)


@pytest.fixture
async def yard(
    ground: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> AsyncIterator[Yard]:
    monkeypatch.setenv(domain.DIRECTORY, str(tmp_path))
    async with estate_on(ground, tmp_path / "data") as estate:
        yield Yard(estate, tmp_path)


@pytest.fixture
def working(yard: Yard) -> Callable[..., contextlib.AbstractAsyncContextManager[Runtime]]:
    """This process carries out jobs and clocks, while the block runs."""

    @contextlib.asynccontextmanager
    async def work(
        jobs: tuple[Carried, ...] = YARD, clocks: tuple[Ticking, ...] = (), rhythm: Rhythm = QUICK
    ) -> AsyncIterator[Runtime]:
        runtime = Runtime(yard.estate.settings, Wardrobe(speaks), jobs=jobs, clocks=clocks, rhythm=rhythm)
        await runtime.start()
        try:
            yield runtime
        finally:
            await runtime.stop()

    return work
