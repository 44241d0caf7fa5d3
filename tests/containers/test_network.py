"""What the processes of a crew reach from its container: the same table as from a sandbox."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from models.staff.crews import NetworkMode
from runtime.containers.engine import ContainerEngine
from runtime.containers.place import CrewContainer
from runtime.containers.sandbox import ContainerSandbox
from runtime.sandbox import Limits, Workdir
from tests.containers.engines import IMAGE, running_engine, why_not, with_python
from tests.runtime.egress.outside import Outside, outside  # noqa: F401
from tests.runtime.egress.test_table import reaches

PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or ""
WHY_NOT = why_not() or ("" if PYTHON else "NO python3 UNDER /usr, NOTHING IS PROVED")
pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]
CREW_ID = "c" + "2" * 24


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_engine(tmp_path_factory.mktemp("engine"), with_python(PYTHON)) as made:
        yield made


@pytest.fixture
async def engine(address: str) -> AsyncIterator[ContainerEngine]:
    made = ContainerEngine(address)
    yield made
    for found in await made.list({}):
        await made.remove(str(found["Id"]))
    await made.close()


@pytest.mark.parametrize("mode", NetworkMode)
async def test_what_is_reached_from_a_container(
    mode: NetworkMode,
    outside: Outside,  # noqa: F811
    engine: ContainerEngine,
    tmp_path: Path,
) -> None:
    workdir = Workdir.of(tmp_path, workspace_id="w", agent_id="a", agent_slug="nell", crew_id=CREW_ID)
    box = ContainerSandbox(engine, CrewContainer("w", CREW_ID, IMAGE), Limits())
    await reaches(mode, outside, box, workdir, PYTHON)
