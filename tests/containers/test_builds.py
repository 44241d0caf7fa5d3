"""Builds of crews' images: what is told of them, and, on a real engine, what comes of them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.base import new_id
from models.staff.crews import Crew, NetworkMode
from resolvers.instance.running import instance
from resolvers.instance.settings import load_settings
from resolvers.kernel.background import steps
from resolvers.staff.crews import building
from resolvers.staff.crews.building import BUILD, BuildPlan, OfBuild
from runtime.containers.build import Builder
from runtime.containers.choice import EngineContainers
from runtime.containers.engine import ContainerEngine
from runtime.containers.place import CREW, CrewContainer
from runtime.containers.sandbox import ContainerSandbox
from runtime.egress import Policy
from runtime.runs.job import Failed
from runtime.sandbox.boundary import Limits
from runtime.sandbox.workdir import Workdir
from tests.containers.engines import IMAGE, running_engine, why_not
from tests.runtime.egress.outside import LISTED, NAMES, OTHER, Outside, outside  # noqa: F401
from tests.world import World

pytestmark = pytest.mark.anyio

COMMON = "ghcr.io/devcontainers/features/common-utils:2"


@pytest.fixture
async def configured(world: World, tmp_path: Path) -> AsyncIterator[None]:
    """An engine that nobody asks: what begins a build does not."""
    settings = load_settings(container_socket=tmp_path / "gone.sock", storage_path=tmp_path)
    instance.containers = containers = EngineContainers(settings, str(settings.container_engine))
    yield
    instance.containers = None
    await containers.engine.close()


async def crew(world: World, **given: Any) -> Crew:
    row = Crew(workspace_id=world.workspace.id, name="Engine", slug=new_id(), **given)
    await world.add(row)
    return row


def test_the_plan_of_an_image() -> None:
    config = '{"image": "debian:13", "features": {"ghcr.io/a/b/x:1": {}, "%s": {}}, "postCreateCommand": ["a", "b"]}'
    row = Crew(name="E", slug="e", devcontainer_config=config % COMMON, mise_config='[tools]\nnode = "22"')
    plan = BuildPlan.of(row)
    assert plan is not None
    assert plan.steps == [
        "Pull debian:13", f"Install feature {COMMON}", "Install feature ghcr.io/a/b/x:1", "Install tools with mise",
        "Run postCreateCommand", "Commit the image",
    ]  # fmt: skip
    assert plan.commands == (("a", "b"),)
    assert plan.tag == f"crewship-cache:{plan.digest}"
    other = BuildPlan.of(
        Crew(name="E", slug="e", devcontainer_config=config % COMMON, mise_config='[tools]\nnode = "24"')
    )
    assert other is not None
    assert other.digest != plan.digest
    assert BuildPlan.of(Crew(name="E", slug="e", devcontainer_config='{"image": "debian:13"}')) is None


@pytest.mark.usefixtures("configured")
async def test_a_build_is_told_of_from_its_beginning_to_its_end(world: World) -> None:
    row = await crew(world, devcontainer_config='{"image": "debian:13", "postCreateCommand": "true"}')
    path = f"/api/v1/crews/{row.id}/provision"
    begun = await world.rest(world.manager, "POST", path)
    assert (begun.status_code, begun.json()["status"]) == (202, "started")
    again = await world.rest(world.manager, "POST", path)
    assert (again.status_code, again.json()["job_status"]) == (409, "pending")
    found = (await world.rest(world.viewer, "GET", path)).json()
    assert found["status"] == "pending"
    assert "step" not in found
    build = await world.database.fetchval("SELECT build->>'id' FROM crews WHERE id = $1", row.id)
    data, plan = OfBuild(crew_id=row.id, build_id=build), BuildPlan.of(row)
    assert plan is not None
    for change in (
        lambda ctx: building.begin(ctx, data, plan),
        lambda ctx: building.advance(ctx, data, 2, plan),
    ):
        await written(world, change)
    found = (await world.rest(world.viewer, "GET", path)).json()
    assert (found["status"], found["step"], found["total"]) == ("running", 2, 3)
    assert found["message"] == found["steps"][1] == found["log_tail"][0] == "Run postCreateCommand"
    await written(world, lambda ctx: building.complete(ctx, data, plan))
    found = (await world.rest(world.viewer, "GET", path)).json()
    assert (found["status"], found["cached_image"], found["config_hash"]) == ("completed", plan.tag, plan.digest)
    await written(world, lambda ctx: building.fail(ctx, data, "too late"))
    assert (await world.rest(world.viewer, "GET", path)).json()["status"] == "completed"
    rebuilt = await world.rest(world.manager, "POST", f"/api/v1/crews/{row.id}/rebuild")
    assert rebuilt.status_code == 202
    found = (await world.rest(world.viewer, "GET", path)).json()
    assert (found["status"], found["cached_image"]) == ("pending", None)


@pytest.mark.usefixtures("configured")
async def test_what_is_refused(world: World) -> None:
    bare = await crew(world, runtime_image="debian:13", cached_image="crewship-cache:1")
    for action, left in (("provision", "crewship-cache:1"), ("rebuild", None)):
        answer = await world.rest(world.manager, "POST", f"/api/v1/crews/{bare.id}/{action}")
        assert (answer.status_code, answer.json()["error"]) == (400, "The crew has no devcontainer_config")
        found = (await world.rest(world.owner, "GET", f"/api/v1/crews/{bare.id}/provision")).json()
        assert found["cached_image"] == left
    row = await crew(world, devcontainer_config='{"image": "debian:13"}')
    assert (await world.rest(world.viewer, "POST", f"/api/v1/crews/{row.id}/provision")).status_code == 403
    unknown = await world.rest(world.owner, "POST", "/api/v1/crews/cnone0000000000000000000/provision")
    assert unknown.status_code == 404


@pytest.mark.usefixtures("configured")
async def test_a_changed_configuration_begins_a_build_by_itself(world: World) -> None:
    made = await world.rest(
        world.owner,
        "POST",
        "/api/v1/crews",
        {"name": "New", "slug": new_id(), "devcontainer_config": '{"image": "debian:13"}'},
    )
    assert made.status_code == 201
    path = f"/api/v1/crews/{made.json()['id']}"
    assert (await world.rest(world.owner, "GET", f"{path}/provision")).json()["status"] == "pending"
    changed = await world.rest(world.owner, "PATCH", path, {"devcontainer_config": '{"image": "debian:12"}'})
    assert changed.status_code == 200
    assert (await world.rest(world.owner, "GET", f"{path}/provision")).json()["status"] == "idle"


STEPS = [
    ("provision.start", "started", None),
    ("resolve_features", "completed", None),
    ("image_build_start", "started", None),
    ("feature_install", "started", COMMON),
    ("feature_install", "completed", COMMON),
]


async def told_of_a_build(world: World, *ends: Any) -> tuple[list[Any], list[str]]:
    """The steps that are told, but for those of the plan that is as ever, and the entries of the journal."""
    row = await crew(world, devcontainer_config=json.dumps({"image": "debian:13", "features": {COMMON: {}}}))
    since = await world.database.fetchval("SELECT coalesce(max(seq), 0) FROM events")
    await world.rest(world.manager, "POST", f"/api/v1/crews/{row.id}/provision")
    build = await world.database.fetchval("SELECT build->>'id' FROM crews WHERE id = $1", row.id)
    data, plan = OfBuild(crew_id=row.id, build_id=build), BuildPlan.of(row)
    assert plan is not None
    await written(world, lambda ctx: building.begin(ctx, data, plan))
    for step in (1, 2, 3):
        await written(world, lambda ctx, at=step: building.advance(ctx, data, at, plan, took=7))
    for end in ends:
        await written(world, lambda ctx, end=end: end(ctx, data, plan))
    found = [e["payload"] for e in await world.events(since) if e["type"] == "provision.event"]
    assert all(each["crew_id"] == row.id and each["phase"] == "provision" for each in found)
    assert [(e["step"], e["status"], e.get("feature")) for e in found[: len(STEPS)]] == STEPS
    kept = "SELECT entry_type FROM journal_entries WHERE crew_id = $1"
    return found[len(STEPS) - 1 :], [each["entry_type"] for each in await world.database.fetch(kept, row.id)]


@pytest.mark.usefixtures("configured")
async def test_each_step_is_told_with_how_long_it_took(world: World) -> None:
    [feature, done, ready], kept = await told_of_a_build(world, building.complete)
    assert feature["duration_ms"] == 7
    assert (done["step"], done["status"], done["duration_ms"] >= 0) == ("image_build_done", "completed", True)
    assert (ready["step"], ready["tag"]) == ("ready", done["tag"])
    assert sorted(kept) == [
        "provisioning.building", "provisioning.complete", "provisioning.queued", *["provisioning.step"] * 3
    ]  # fmt: skip


@pytest.mark.usefixtures("configured")
async def test_a_failure_and_a_hit_are_told(world: World) -> None:
    [_, failed], kept = await told_of_a_build(world, lambda ctx, data, plan: building.fail(ctx, data, "no room"))
    assert (failed["step"], failed["status"], failed["error"]) == ("provision.failed", "failed", "no room")
    assert "provisioning.failed" in kept
    [_, hit, _], _ = await told_of_a_build(world, lambda ctx, data, plan: building.complete(ctx, data, plan, hit=True))
    assert hit["step"] == "provision.cache_hit"
    assert "duration_ms" not in hit


async def written(world: World, change: Any) -> None:
    """As a step of the build's job, which is not asked who holds it."""
    always = steps.Mark("SELECT true AS live, true AS fresh", ())
    await steps.write(BUILD, world.workspace.id, always, change)


@pytest.mark.slow
@pytest.mark.skipif(bool(why_not()), reason=why_not())
async def test_a_build_reaches_what_the_operator_lets_it_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory,
    outside: Outside,  # noqa: F811
) -> None:
    """By the proxy alone: there is no device but a loopback, and no name is looked up inside."""
    fetch = r"""
        proxy=${http_proxy#http://}
        printf 'GET http://%s/ HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1" "$1" |
            nc ${proxy%:*} ${proxy#*:} >/got
        head -n 1 /got | grep -q ' 200 ' || { cat /got >&2; exit 5; }
    """
    with running_engine(tmp_path_factory.mktemp("engine")) as address:
        engine = ContainerEngine(address)

        async def built(host: str, policy: Policy, *more: str) -> str:
            command = ("/bin/sh", "-c", "; ".join([*more, fetch]), "sh", host)
            plan = BuildPlan(IMAGE, (), (), (command,))
            try:
                _ = [step async for step in Builder(engine, plan, "b3", "i", Limits(), outside.gateway(policy)).steps()]
            except Failed as failed:
                return str(failed)
            await engine.remove_image(plan.tag, force=True)
            return "built"

        try:
            listed = Policy(NetworkMode.restricted, frozenset({LISTED}))
            only_loopback = '[ "$(ls /sys/class/net)" = lo ] || exit 7'
            assert await built(LISTED, listed, only_loopback) == "built"
            assert f"{OTHER}:80 was refused: the host is not on the crew's allow-list" in await built(OTHER, listed)
            for policy in (listed, Policy(NetworkMode.free)):
                for host in ("169.254.169.254", "127.0.0.1:1", "10.0.0.1"):
                    assert "A step ended with 5" in await built(host, policy), (host, policy)
            past_the_proxy = f"nc -w 3 {NAMES[LISTED][0]} 80 </dev/null || exit 6; exit 0"
            assert "A step ended with 6" in await built(LISTED, listed, past_the_proxy)
            assert {address for address, _ in outside.dialled} <= set(NAMES[LISTED])
        finally:
            await engine.close()


@pytest.mark.slow
@pytest.mark.skipif(bool(why_not()), reason=why_not())
async def test_an_image_is_built_kept_and_worked_in(tmp_path_factory: pytest.TempPathFactory) -> None:
    storage = tmp_path_factory.mktemp("files")
    with running_engine(tmp_path_factory.mktemp("engine")) as address:
        engine = ContainerEngine(address)
        try:
            command = "grep -q ^agent: /etc/passwd && echo built >/built && chown 1001 /built"
            plan = BuildPlan(IMAGE, ((COMMON, {}),), (), (("/bin/sh", "-c", command),))
            told = [step async for step in Builder(engine, plan, "b1", "i", Limits()).steps()]
            assert told == plan.steps
            assert await engine.image(plan.tag) is not None
            assert await engine.list({}) == []
            workdir = Workdir.of(storage, workspace_id="w", agent_id="a", agent_slug="nell", crew_id="c" * 25)
            box = ContainerSandbox(engine, CrewContainer("w", "c" * 25, plan.tag), Limits())
            assert (await box.run(["cat", "/built"], workdir=workdir, timeout=60)).stdout == "built\n"
            for one in await engine.list({CREW: "c" * 25}):
                await engine.remove(one["Id"])
            failing = {
                "A step ended with 3: why": BuildPlan(IMAGE, (), (), (("/bin/sh", "-c", "echo why; exit 3"),)),
                "is not built in": BuildPlan(IMAGE, (("ghcr.io/a/b/x:1", {}),), (), ()),
                "no mise": BuildPlan(IMAGE, (), (("node", "22"),), ()),
                "The container engine answered": BuildPlan("localhost:1/none/none:1", (), (), (("true",),)),
            }
            for why, other in failing.items():
                with pytest.raises(Failed, match=why):
                    _ = [step async for step in Builder(engine, other, "b2", "i", Limits()).steps()]
                assert await engine.list({}) == []
                assert await engine.image(other.tag) is None
        finally:
            await engine.close()
