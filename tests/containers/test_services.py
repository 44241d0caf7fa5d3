"""Services beside containers of a real engine: who reaches them, what is kept of them, and how they end."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from resolvers.instance.settings import load_settings
from resolvers.rules.services import parse_services
from runtime.containers.choice import EngineContainers
from runtime.containers.engine import ContainerEngine
from runtime.containers.place import CREW, SERVICE, Apart, CrewContainer
from runtime.containers.sandbox import ContainerSandbox
from runtime.containers.services import CrewServices
from runtime.runs.job import Failed
from runtime.sandbox.boundary import Limits
from runtime.sandbox.workdir import Workdir
from tests.containers.engines import IMAGE, why_not
from tests.containers.test_commands import Greeting

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not())]
CREW_ID = "c" + "4" * 24
SERVES = "echo ready >/data/ready; while :; do { echo $GREETING $TOKEN; cat /data/*; } | nc -l -p 6379; done"
DB: dict[str, Any] = {
    "name": "db",
    "image": IMAGE,
    "command": ["sh", "-c", SERVES],
    "env": {"GREETING": "hello"},
    "ports": ["6379/tcp"],
    "volumes": [{"name": "data", "mount": "/data"}],
    "healthcheck": {"test": ["CMD-SHELL", "test -e /data/ready"], "interval": "100ms"},
}


@pytest.fixture
async def engine(address: str) -> AsyncIterator[ContainerEngine]:
    made = ContainerEngine(address)
    yield made
    for found in await made.list({}):
        await made.remove(str(found["Id"]))
    for volume in await made.volumes({CREW: CREW_ID}):
        await made.remove_volume(volume["Name"])
    await made.close()


def workdir(storage: Path, agent: str) -> Workdir:
    return Workdir.of(storage, workspace_id="w", agent_id=agent, agent_slug=agent, crew_id=CREW_ID)


def box(engine: ContainerEngine, *services: Any, secrets: Any = None, apart: Apart = Apart.nothing) -> ContainerSandbox:
    made = CrewServices(tuple(parse_services(orjson.dumps(services).decode())), secrets or {}, 100, 1.0)
    crew = CrewContainer("w", CREW_ID, IMAGE, hosts=tuple(made.hosts()))
    return ContainerSandbox(engine, crew, Limits(), apart=apart, services=made)


async def test_a_service_is_one_for_all_agents_of_a_crew_and_for_nobody_else(
    engine: ContainerEngine, tmp_path: Path
) -> None:
    with_refs = {**DB, "env_refs": ["TOKEN"]}
    crew = box(engine, with_refs, {**DB, "name": "other", "volumes": [{"name": "more", "mount": "/data"}]},
               secrets={"TOKEN": "s3"})  # fmt: skip
    call = ["sh", "-c", "nc db 6379; nc other 6379; nc 127.0.0.1 6379 || echo apart"]
    for agent in ("a", "b"):
        said = await crew.run(call, workdir=workdir(tmp_path, agent), timeout=60, network=Greeting())
        assert said.stdout.split() == ["hello", "s3", "ready", "hello", "ready", "apart"]
    services = [each for each in await engine.list({CREW: CREW_ID}) if SERVICE in each["Labels"]]
    assert sorted(each["Labels"][SERVICE] for each in services) == ["db", "other"]
    assert all(not each.get("Ports") for each in services)
    found = await engine.inspect(services[0]["Id"])
    assert found is not None
    assert (found["HostConfig"]["Memory"], found["HostConfig"]["NetworkMode"]) == (100 << 20, "none")
    alone = await box(engine, DB, apart=Apart.alone).run(
        ["sh", "-c", "nc db 6379 || nc 127.0.1.1 6379 || echo nothing"], workdir=workdir(tmp_path, "a"), timeout=60
    )
    assert alone.stdout == "nothing\n"
    outside = subprocess.run(["sh", "-c", "busybox nc -w 1 127.0.0.1 6379"], capture_output=True, check=False)
    assert outside.returncode != 0


async def test_volumes_outlive_services_and_go_with_a_prune(
    engine: ContainerEngine, tmp_path: Path, address: str
) -> None:
    call, place = ["nc", "db", "6379"], workdir(tmp_path, "a")
    await box(engine, DB).run(call, workdir=place, timeout=60)
    [before] = [each["Id"] for each in await engine.list({SERVICE: "db"})]
    await box(engine, DB).run(call, workdir=place, timeout=60)
    assert [each["Id"] for each in await engine.list({SERVICE: "db"})] == [before]
    other = SERVES.replace("/data/ready;", "/data/x;")
    changed = {**DB, "env": {"GREETING": "changed"}, "command": ["sh", "-c", other]}
    said = await box(engine, changed).run(call, workdir=place, timeout=60)
    assert said.stdout.split() == ["changed", "ready", "ready"]
    [after] = [each["Id"] for each in await engine.list({SERVICE: "db"})]
    assert after != before
    await engine.remove(after)  # as a restart does
    assert (await box(engine, changed).run(call, workdir=place, timeout=60)).stdout.split()[0] == "changed"
    settings = load_settings(storage_path=tmp_path, container_socket=address.removeprefix("unix://"))
    ours = EngineContainers(settings, address)
    try:
        assert len(await ours.kept_volumes()) == 1
        removed: list[str] = []
        await ours.prune("w", removed, outdated=False)
        assert len(removed) == 3  # the agent's, the service's, the volume
        assert await ours.kept_volumes() == []
        assert await engine.list({CREW: CREW_ID}) == []
    finally:
        await ours.engine.close()


async def test_services_that_do_not_run_are_told_by_name(engine: ContainerEngine, tmp_path: Path) -> None:
    ends = {"name": "ends", "image": IMAGE, "command": ["sh", "-c", "echo why >&2; exit 3"]}
    ill = {**DB, "name": "ill", "healthcheck": {"test": ["CMD", "false"], "interval": "10ms"}}
    unknown = {"name": "unknown", "image": "localhost:1/none:1"}
    hostile = {"name": "hostile", "image": "../../containers/json?all=1#"}
    secret = {**DB, "env_refs": ["NONE"]}
    for service, why in (
        (ends, "The service ends does not run: it has ended"),
        (ill, "The service ill does not run: it is not healthy"),
        (unknown, "The service unknown does not run: The container engine answered"),
        (hostile, "is not an image name"),
        (secret, "no active credential of the crew is named NONE"),
    ):
        with pytest.raises(Failed, match=why):
            await box(engine, service).run(["true"], workdir=workdir(tmp_path, "a"), timeout=60)
    many = [{**DB, "name": f"s{number}"} for number in range(9)]
    with pytest.raises(Failed, match="at most 8 services"):
        await box(engine, *many).run(["true"], workdir=workdir(tmp_path, "a"), timeout=60)
