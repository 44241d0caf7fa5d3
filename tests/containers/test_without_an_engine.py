"""What is said and done where no engine is, or none answers."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crewship.cli.doctor import check_containers
from models.base import new_id
from models.staff.agents import CliAdapter
from models.staff.crews import Crew
from resolvers.instance.ports import NotRun, TerminalPlace
from resolvers.instance.running import instance
from resolvers.instance.settings import load_settings
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.resources.credentials.given import named_for
from resolvers.staff.crews.containers import KeptContainer, Workplace, overdue, workplace_of
from runtime.coding.choice import Unfit, installed_for
from runtime.containers.choice import EngineContainers, Sandboxes, services_of
from runtime.runs.job import Failed
from runtime.runs.terminals import SandboxedTerminals
from runtime.sandbox import Unconfined
from tests.world import World

pytestmark = pytest.mark.anyio


@pytest.fixture
async def engine_that_is_gone(world: World, tmp_path: Path) -> AsyncIterator[None]:
    settings = load_settings(container_socket=tmp_path / "gone.sock", storage_path=tmp_path)
    instance.containers = containers = EngineContainers(settings, str(settings.container_engine))
    yield
    instance.containers = None
    await containers.engine.close()


async def crew(world: World, **given: Any) -> Crew:
    row = Crew(workspace_id=world.workspace.id, name="Engine", slug=new_id(), **given)
    await world.add(row)
    return row


async def image_of(row: Crew) -> str | None:
    found = await workplace_of(row.workspace_id, row.id)
    return None if found is None else found.image


def test_doctor_tells_what_is_missing(tmp_path: Path) -> None:
    without = check_containers(load_settings(data_dir=tmp_path))
    assert (without.ok, without.found) == (True, "crews have none: no container engine is configured")
    gone = check_containers(load_settings(data_dir=tmp_path, container_socket=tmp_path / "gone.sock"))
    assert (gone.ok, gone.found) == (False, "The container engine does not answer")
    assert "gone.sock" in gone.fix


@pytest.mark.usefixtures("engine_that_is_gone")
async def test_a_restart_says_that_the_engine_is_gone_and_writes_nothing(world: World) -> None:
    row = await crew(world, runtime_image="debian:12")
    before = await world.snapshot()
    answer = await world.rest(world.owner, "POST", f"/api/v1/crews/{row.id}/restart-agents")
    assert (answer.status_code, answer.json()["error"]) == (502, "The container engine does not answer")
    unknown = await world.rest(world.owner, "POST", "/api/v1/crews/cnone0000000000000000000/restart-agents")
    assert unknown.status_code == 404
    refused = await world.rest(world.viewer, "POST", f"/api/v1/crews/{row.id}/restart-agents")
    assert refused.status_code == 403
    assert await world.snapshot() == before


async def test_which_container_a_crew_works_in(world: World) -> None:
    row = await crew(world)
    assert await workplace_of(row.workspace_id, row.id) is None
    named = await crew(world, runtime_image="debian:12", container_cpus=0.5)
    assert await workplace_of(row.workspace_id, named.id) == Workplace("debian:12", 4096, 0.5)
    config = '{"image": "debian:13", "containerEnv": {"A": "1"}}'
    plain = await crew(world, devcontainer_config=config, runtime_image="other")
    found = await workplace_of(row.workspace_id, plain.id)
    assert found == Workplace("debian:13", 4096, 2.0, environment={"A": "1"})
    to_build = await crew(world, devcontainer_config='{"image": "debian:13", "postCreateCommand": "true"}')
    assert await image_of(to_build) == ""
    built = await crew(world, mise_config='[tools]\nnode = "22"', cached_image="crewship-cache:1")
    assert await image_of(built) == "crewship-cache:1"
    assert await workplace_of("cother000000000000000000", named.id) is None


@pytest.mark.usefixtures("engine_that_is_gone")
async def test_commands_of_a_crew_with_an_image_never_run_elsewhere(world: World, tmp_path: Path) -> None:
    sandboxes = Sandboxes(load_settings(data_dir=tmp_path), Unconfined())
    assert isinstance(await sandboxes.of_crew(world.workspace.id, (await crew(world)).id), Unconfined)
    of_image = await sandboxes.of_crew(world.workspace.id, (await crew(world, runtime_image="a")).id)
    assert of_image.isolation == "container"
    row = await crew(world, mise_config='[tools]\nnode = "22"')
    with pytest.raises(Failed, match="The image of the crew's container is not built"):
        await sandboxes.of_crew(world.workspace.id, row.id)


@pytest.mark.usefixtures("engine_that_is_gone")
async def test_a_terminal_of_a_crew_with_an_image_is_opened_nowhere_else(world: World, tmp_path: Path) -> None:
    terminals = SandboxedTerminals(load_settings(data_dir=tmp_path))
    assert await terminals.available()
    for given, why in (
        ({"runtime_image": "a"}, "The container engine does not answer"),
        ({"mise_config": '[tools]\nnode = "22"'}, "The image of the crew's container is not built"),
    ):
        row = await crew(world, **given)
        place = TerminalPlace(world.workspace.id, row.id, "", 24, 80, read_only=False)
        with pytest.raises(NotRun, match=why):
            async with terminals.open(place):
                pass


@pytest.mark.usefixtures("engine_that_is_gone")
async def test_coding_agents_are_refused_in_containers(world: World, tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    row = await crew(world, runtime_image="a")
    sandbox = await Sandboxes(settings, Unconfined()).of_crew(world.workspace.id, row.id)
    job: Any = SimpleNamespace(agent=SimpleNamespace(cli_adapter=CliAdapter.CLAUDE_CODE))
    with pytest.raises(Unfit, match="Claude Code does not run in containers, and the crew has an image: choose"):
        installed_for(job, settings, sandbox)


async def test_containers_whose_time_is_over_or_whose_crew_is_gone_are_removed(world: World) -> None:
    kept, short, gone = await crew(world), await crew(world, container_ttl_hours=2), await crew(world)
    await world.rest(world.owner, "DELETE", f"/api/v1/crews/{gone.id}")
    now = instance.clock.now()
    there = [
        KeptContainer(f"{name} {hours}", world.workspace.id, row.id, agent, now - timedelta(hours=hours))
        for name, row, agent in (
            ("kept", kept, ""),
            ("short", short, ""),
            ("gone", gone, ""),
            ("nobody", kept, "cnone"),
        )
        for hours in (1, 3)
    ]
    assert sorted(await across_workspaces(lambda rows: overdue(rows, there, now))) == [
        "gone 1", "gone 3", "nobody 1", "nobody 3", "short 3",
    ]  # fmt: skip


async def test_which_credentials_services_of_a_crew_are_given(world: World) -> None:
    services = '[{"name": "db", "image": "x", "env_refs": ["ALL", "CREW"]}]'
    crews = [await crew(world, services_json=services, runtime_image="y") for _ in range(2)]
    found = await workplace_of(world.workspace.id, crews[0].id)
    assert found is not None
    assert [service.name for service in found.services] == ["db"]
    of_crew = {"scope": "CREW", "crew_ids": [crews[0].id]}
    for body in ({"name": "ALL", "value": "1"}, {"name": "CREW", "value": "2", **of_crew}):
        secret = {"type": "SECRET", "provider": "NONE", **body}
        made = await world.rest(world.owner, "POST", "/api/v1/credentials", secret)
        assert made.status_code == 201, made.text
    names = ["ALL", "CREW", "NONE"]
    assert await named_for(world.workspace.id, crews[0].id, names) == {"ALL": "1", "CREW": "2"}
    assert await named_for(world.workspace.id, crews[1].id, names) == {"ALL": "1"}
    assert await named_for(world.other.id, crews[0].id, names) == {}
    told = await services_of(world.workspace.id, crews[0].id, found)
    assert told.secrets == {"ALL": "1", "CREW": "2"}
    assert told.hosts() == ["db:127.0.1.1"]
    assert "secrets" not in repr(told)
