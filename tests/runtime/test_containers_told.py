"""What a chat is told of the container that its agent works in, before the agent begins."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from models.staff.runs import ChatEventType
from runtime.containers.engine import EngineRefused
from runtime.containers.sandbox import READY, STARTING
from runtime.runs.job import Failed, NoContainer, Sink
from runtime.runs.outfit import AGENT_STARTS, _begun
from runtime.sandbox import Workdir
from tests.runtime.doubles import speaks
from tests.runtime.estate import Estate
from tests.runtime.shop import Shop

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]


class Box:
    """A container that runs, or does not yet, or fails to."""

    def __init__(self, *lines: str, fails: Failed | None = None) -> None:
        self.lines, self.fails = lines, fails

    async def begin(self, workdir: Workdir, tell: Callable[[str], Awaitable[None]]) -> None:
        for line in self.lines:
            await tell(line)
        if self.fails is not None:
            raise self.fails


@pytest.mark.parametrize(
    ("box", "lines"), [(Box(STARTING, READY), [STARTING, READY, AGENT_STARTS]), (Box(), [])], ids=["cold", "warm"]
)
async def test_three_lines_or_none(estate: Estate, shop: Shop, box: Box, lines: list[str], tmp_path: Path) -> None:
    workdir = Workdir.of_nobody(tmp_path, workspace_id="w")

    async def begins(sink: Sink) -> None:
        await _begun(box, workdir, sink)  # type: ignore[arg-type]

    run = await estate.ask()
    await shop.worker(speaks, begins=begins)
    assert (await estate.ended(run.id)).status == "COMPLETED"
    frames = await estate.answer(str(run.chat_id))
    assert [each["content"] for each in frames if each["type"] == ChatEventType.status] == lines
    assert [each["type"] for each in frames][: len(lines) + 1] == ["status"] * len(lines) + ["text"]


@pytest.mark.parametrize(
    ("why", "code"),
    [(NoContainer("no image", "image_missing"), "image_missing"), (Failed("no service"), "provision_failed")],
)
async def test_why_it_does_not_run(estate: Estate, shop: Shop, why: Failed, code: str, tmp_path: Path) -> None:
    workdir, box = Workdir.of_nobody(tmp_path, workspace_id="w"), Box(STARTING, fails=why)

    async def begins(sink: Sink) -> None:
        await _begun(box, workdir, sink)  # type: ignore[arg-type]

    run = await estate.ask()
    await shop.worker(speaks, begins=begins)
    ended = await estate.ended(run.id)
    assert (ended.status, ended.error_message) == ("FAILED", str(why))
    frames = await estate.answer(str(run.chat_id))
    assert [each["type"] for each in frames] == ["status", "error", "error", "done"]
    assert (frames[1]["content"], frames[1]["metadata"]) == (str(why), {"code": code})
    assert "metadata" not in frames[2]


@pytest.mark.parametrize(
    ("status", "told", "code"),
    [
        (404, "no such image: agents:latest", "image_missing"),
        (400, "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available", "resource_limit"),
        (400, "Minimum memory limit allowed is 6MB", "resource_limit"),
        (500, "crun: mkdir `/run/crun`: No space left on device: OCI runtime error", "resource_limit"),
        (500, "container init was OOM-killed (memory limit too low?)", "resource_limit"),
        (500, "fork/exec /usr/bin/crun: cannot allocate memory", "resource_limit"),
        (500, "fork: Resource temporarily unavailable", "resource_limit"),
        (500, "crun: executable file `sleep` not found in $PATH", "provision_failed"),
        (403, "authorization denied by plugin", "provision_failed"),
    ],
)
def test_what_an_engine_lacks_has_a_code(status: int, told: str, code: str) -> None:
    assert EngineRefused(status, told).code == code
