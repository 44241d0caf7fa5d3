"""Commands in containers of a real engine."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from resolvers.instance.settings import load_settings
from resolvers.staff.crews.containers import Workplace
from runtime.containers.choice import EngineContainers
from runtime.containers.engine import ContainerEngine
from runtime.containers.place import CREW, INSTANCE, LAYOUT, CrewContainer, instance_of
from runtime.containers.sandbox import ContainerSandbox
from runtime.runs.job import Failed
from runtime.sandbox import detect
from runtime.sandbox.boundary import Limits
from runtime.sandbox.workdir import Workdir
from runtime.tools import tools_for
from tests.containers.engines import GIVEN, IMAGE, why_not
from tests.runtime.adapters.sinks import job as a_job

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]

CREW_ID = "c" + "1" * 24


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    return Workdir.of(tmp_path, workspace_id="w", agent_id="a", agent_slug="nell", crew_id=CREW_ID)


def of(image: str = IMAGE, **how: object) -> CrewContainer:
    return CrewContainer("w", CREW_ID, image, **how)  # type: ignore[arg-type]


def sandbox(engine: ContainerEngine, crew: CrewContainer | None = None, **limits: int) -> ContainerSandbox:
    return ContainerSandbox(engine, crew or of(), Limits(**limits))


async def test_a_command_is_alone(engine: ContainerEngine, workdir: Workdir) -> None:
    script = """
        id -u; pwd; grep -E 'NoNewPrivs|CapEff|Seccomp:' /proc/self/status; ls /sys/class/net
        touch /x 2>/dev/null || echo refused; touch /skills/x 2>/dev/null || echo refused
        echo made >made; echo home >~/x; echo tmp >/tmp/x; echo oops >&2; ls -a /run /var; exit 3
    """
    ended = await sandbox(engine).run(["sh", "-c", script], workdir=workdir, timeout=60)
    lines = ended.stdout.split("\n")
    assert lines[:6] == [
        "79001", "/output/nell", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "lo",
    ]  # fmt: skip
    assert lines[6:8] == ["refused", "refused"]
    assert ended.stderr == "oops\n"
    assert ended.exit_code == 3
    assert (workdir.path / "made").read_text() == "made\n"
    assert workdir.storage.joinpath(*workdir.home, "x").read_text() == "home\n"
    assert "engine.sock" not in ended.stdout
    assert "podman.sock" not in ended.stdout
    assert "docker.sock" not in ended.stdout


async def test_tools_of_an_agent_are_those_of_its_image_and_files_are_searched_here(
    engine: ContainerEngine, workdir: Workdir
) -> None:
    """The image has no bash, and its grep knows few options."""
    here = await detect(load_settings(data_dir=workdir.storage))
    tools = tools_for(a_job("x"), sandbox(engine), workdir, searching=here)
    ran = await tools["run_command"].run({"command": "echo $0; echo 'a needle' >hay; touch /tmp/kept"})
    assert ran.content == "Exit code 0\nsh"
    kept = await tools["run_command"].run({"command": "ls /tmp"})
    assert kept.content == "Exit code 0\nkept"
    assert "/tmp are kept" in tools["run_command"].description
    found = await tools["search_files"].run({"pattern": "n[e]{2}dle", "regex": True})
    assert found.content == "/output/nell/hay:1: a needle"


async def test_the_container_stays_and_is_found_by_another_process(
    engine: ContainerEngine, workdir: Workdir, address: str
) -> None:
    first = await sandbox(engine).run(["sh", "-c", "echo 1 >/tmp/kept"], workdir=workdir, timeout=60)
    other = ContainerEngine(address)
    try:
        second = await sandbox(other).run(["cat", "/tmp/kept"], workdir=workdir, timeout=60)
    finally:
        await other.close()
    assert (first.exit_code, second.stdout) == (0, "1\n")
    [one] = await engine.list({INSTANCE: instance_of(workdir.storage), CREW: CREW_ID})
    assert one["State"] == "running"


async def test_other_rules_are_another_container_and_another_image_waits_for_a_restart(
    engine: ContainerEngine, workdir: Workdir
) -> None:
    await sandbox(engine).run(["touch", "/tmp/kept"], workdir=workdir, timeout=60)
    other = await sandbox(engine, of("localhost/other:1")).run(["ls", "/tmp/kept"], workdir=workdir, timeout=60)
    assert other.exit_code == 0
    fewer = await sandbox(engine, of(memory_mb=100)).run(["ls", "/tmp/kept"], workdir=workdir, timeout=60)
    assert fewer.exit_code != 0
    assert len(await engine.list({CREW: CREW_ID})) == 1


async def test_what_takes_too_long_is_ended_and_nothing_of_it_is_left(
    engine: ContainerEngine, workdir: Workdir
) -> None:
    box = sandbox(engine)
    await box.run(["true"], workdir=workdir, timeout=60)
    ended = await box.run(["sh", "-c", "echo begun; sleep 1234 & sleep 1234"], workdir=workdir, timeout=1)
    assert (ended.exit_code, ended.timed_out, ended.stdout) == (137, True, "begun\n")
    left = await box.run(["ps"], workdir=workdir, timeout=60)
    assert "1234" not in left.stdout


async def test_a_cancelled_command_is_ended(engine: ContainerEngine, workdir: Workdir) -> None:
    box = sandbox(engine)
    await box.run(["true"], workdir=workdir, timeout=60)
    at_it = asyncio.ensure_future(box.run(["sh", "-c", "touch at-it; sleep 4321"], workdir=workdir, timeout=60))
    while not (workdir.path / "at-it").exists():
        await asyncio.sleep(0.02)
    at_it.cancel()
    with pytest.raises(asyncio.CancelledError):
        await at_it
    assert "4321" not in (await box.run(["ps"], workdir=workdir, timeout=60)).stdout


async def test_processes_and_memory_are_bounded(engine: ContainerEngine, workdir: Workdir) -> None:
    box = sandbox(engine, of(memory_mb=64), processes=16)
    fork = await box.run(["sh", "-c", "for i in $(seq 40); do sleep 5 & done"], workdir=workdir, timeout=60)
    assert "fork" in fork.stderr
    await asyncio.sleep(0)
    box = sandbox(engine, of(memory_mb=64), processes=64)
    eaten = await box.run(["sh", "-c", "tail -c 200000000 /dev/zero"], workdir=workdir, timeout=60)
    assert eaten.exit_code == 137


async def test_output_is_cut_and_input_is_read(engine: ContainerEngine, workdir: Workdir) -> None:
    box = sandbox(engine, output=1000)
    long = await box.run(["sh", "-c", "seq 100000; seq 9 >&2"], workdir=workdir, timeout=60)
    assert long.truncated
    assert "more bytes of output were omitted" in long.stdout
    assert long.stderr == "1\n2\n3\n4\n5\n6\n7\n8\n9\n"
    fed = await box.run(["cat"], workdir=workdir, timeout=60, stdin=b"given\n")
    assert fed.stdout == "given\n"


async def test_an_image_that_is_not_there(engine: ContainerEngine, workdir: Workdir) -> None:
    with pytest.raises(Failed, match="The image localhost/none:1 is not on the container engine"):
        await sandbox(engine, of("localhost/none:1")).run(["true"], workdir=workdir, timeout=60)
    assert not await engine.list({})


async def test_an_engine_that_is_not_there(tmp_path: Path, workdir: Workdir) -> None:
    gone = ContainerEngine(f"unix://{tmp_path}/none.sock")
    try:
        with pytest.raises(Failed, match="The container engine does not answer"):
            await sandbox(gone).run(["true"], workdir=workdir, timeout=60)
    finally:
        await gone.close()


class Greeting:
    """A way out that says one word to whoever calls."""

    listens = (("127.0.0.1", 3128),)
    environment: ClassVar = {"HTTPS_PROXY": "http://127.0.0.1:3128"}

    @contextlib.asynccontextmanager
    async def serve(self, listening: Sequence[socket.socket]) -> AsyncIterator[None]:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello\n")
            writer.close()

        server = await asyncio.start_server(greet, sock=listening[0])
        async with server:
            yield


async def test_what_listens_in_a_container_is_answered_by_the_service_while_a_command_runs(
    engine: ContainerEngine, workdir: Workdir
) -> None:
    box = sandbox(engine)
    call = ["sh", "-c", "echo $HTTPS_PROXY; nc 127.0.0.1 3128; ls /sys/class/net"]
    both = [box.run(call, workdir=workdir, timeout=60, network=Greeting()) for _ in range(2)]
    answers = [ended.stdout for ended in await asyncio.gather(*both)]
    assert answers == ["http://127.0.0.1:3128\nhello\nlo\n"] * 2
    alone = await box.run(call, workdir=workdir, timeout=60)
    assert (alone.stdout, alone.exit_code) == ("\nlo\n", 0)


async def test_restarts_and_ends_touch_the_containers_of_this_server_alone(
    engine: ContainerEngine, workdir: Workdir, address: str
) -> None:
    await sandbox(engine).run(["true"], workdir=workdir, timeout=60)
    foreign = await engine.create("foreign", {"Image": IMAGE, "Cmd": ["true"], "Labels": {CREW: CREW_ID}})
    settings = load_settings(storage_path=workdir.storage, container_socket=address.removeprefix("unix://"))
    ours = EngineContainers(settings, address)
    try:
        [kept] = await ours.kept()
        assert (kept.workspace_id, kept.crew_id, kept.agent_id) == ("w", CREW_ID, "a")
        assert await ours.remove("x", CREW_ID) == 0
        assert await ours.remove("w", CREW_ID) == 1
        assert await ours.kept() == []
    finally:
        await ours.engine.close()
    assert await engine.inspect(foreign) is not None
    kind = await engine.kind()
    assert (kind.name, kind.rootless) == ("docker" if GIVEN else "podman", False)


async def test_what_containers_use_is_measured_and_what_is_of_an_older_image_is_known(
    engine: ContainerEngine, workdir: Workdir, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []

    async def tell(step: str, status: str, error: str | None, took: int) -> None:
        told.append((step, status))

    box = ContainerSandbox(engine, of(memory_mb=100, environment={"A": "1"}), Limits(), tell)
    for _ in range(2):
        await box.run(["true"], workdir=workdir, timeout=60)
    assert told == [
        ("container_create", "started"), ("container_create", "completed"), ("containerEnv_apply", "completed"),
        ("ready", "completed"),
    ]  # fmt: skip
    settings = load_settings(storage_path=workdir.storage, container_socket=address.removeprefix("unix://"))
    ours, place = EngineContainers(settings, address), Workplace(IMAGE, 100, 1.0)

    async def found(workspace_id: str, crew_id: str) -> Workplace:
        return place

    monkeypatch.setattr("runtime.containers.choice.workplace_of", found)
    try:
        await ours.measured()
        await box.run(["sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"], workdir=workdir, timeout=60)
        [(workspace, use)] = await ours.measured()
        assert (workspace, use["crew_id"], use["memory_limit"]) == ("w", CREW_ID, 100 << 20)
        assert use["cpu_percent"] > 0
        assert use["pids"] > 0
        assert 0 < use["memory_percent"] <= 100
        assert await ours.pending() == {}
        [one] = await engine.list({CREW: CREW_ID})
        await engine.keep_image(one["Id"], "crewship-cache", "newer", {})
        place = Workplace("crewship-cache:newer", 100, 1.0)
        assert await ours.pending() == {CREW_ID: 1}
        assert [image.tag for image in await ours.images()] == ["crewship-cache:newer"]
        assert await ours.remove_image("crewship-cache:newer", force=False)
        assert not await ours.remove_image("crewship-cache:newer", force=False)
        assert await ours.images() == []
        assert await ours.outdated("w") == []
        old = await engine.create("before", {"Image": IMAGE, "Cmd": ["true"], "Labels": one["Labels"] | {LAYOUT: "1"}})
        assert await ours.outdated("w") == ["before"]
        removed: list[str] = []
        await ours.prune("w", removed, outdated=True)
        assert removed == ["before"]
        assert await engine.inspect(old) is None
        await ours.prune("x", removed, outdated=False)
        await ours.prune("w", removed, outdated=False)
        assert removed == ["before", one["Names"][0].removeprefix("/")]
    finally:
        await ours.engine.close()
