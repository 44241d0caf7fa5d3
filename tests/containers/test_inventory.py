"""States, limits and usage of containers, from the answers of engines and of clusters."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from resolvers.instance.ports import ContainerOfCrew
from resolvers.staff.crews.running import ContainerState, state_of
from runtime.containers.kubernetes import KubernetesEngine
from runtime.containers.measuring import cpu_percent_of, memory_of
from runtime.containers.place import ContainerPlace, CrewContainer
from runtime.containers.pods import ClusterOptions, listed, sandbox, shown
from runtime.runs.job import Failed
from runtime.sandbox.boundary import Limits
from runtime.sandbox.workdir import Workdir
from tests.every import each_of

STATES = {
    "running": "running", "created": "creating", "configured": "creating", "exited": "stopped", "suspended": "stopped",
    "removing": "stopped", "dead": "error", "a word of another engine": "error",
}  # fmt: skip


@each_of(("word", "state"), STATES.items())
def test_the_words_of_engines(word: str, state: str) -> None:
    assert state_of(ContainerOfCrew("1", "a", "b", word)) is ContainerState(state)


def test_what_was_not_measured_is_not_zero() -> None:
    now = {"cpu_stats": {"cpu_usage": {"total_usage": 30}, "system_cpu_usage": 200, "online_cpus": 4}}
    assert cpu_percent_of(now, None) is None
    assert cpu_percent_of(now, (30, 100)) == 0.0
    assert cpu_percent_of(now, (20, 100)) == 40.0
    assert memory_of(now) is None
    assert memory_of({"memory_stats": {"usage": 9 << 20, "stats": {"inactive_file": 1 << 20}}}) == 8


@pytest.fixture
def resource(tmp_path: Path) -> tuple[dict[str, Any], ClusterOptions]:
    storage = tmp_path / "files"
    workdir = Workdir.of(storage, workspace_id="w", agent_id="a", agent_slug="ada", crew_id="c" * 25)
    place = ContainerPlace.of(CrewContainer("w", "c" * 25, "debian:13", memory_mb=512, cpus=1.5), workdir)
    options = ClusterOptions("sandboxes", "files", storage, "closed")
    configuration = place.configuration(Limits(), keep_id=False)
    made = sandbox(place.name, configuration, options, datetime.now(UTC))
    made["metadata"] |= {"uid": "1", "creationTimestamp": "2026-12-02T10:00:00Z"}
    return made, options


def test_a_sandbox_of_a_cluster_shows_its_limits_and_that_it_is_suspended(
    resource: tuple[dict[str, Any], ClusterOptions],
) -> None:
    made, options = resource
    state = shown(made, options)
    assert state["HostConfig"] == {"Memory": 512 << 20, "NanoCpus": 1_500_000_000}
    assert state["State"]["StartedAt"] == "2026-12-02T10:00:00Z"
    assert listed(made)["State"] == "created"
    made["spec"]["operatingMode"] = "Suspended"
    assert listed(made)["State"] == "suspended"
    assert shown(made, options)["State"]["Status"] == "created", "the next command resumes it"


@pytest.mark.anyio
async def test_a_cluster_knows_no_digests(resource: tuple[dict[str, Any], ClusterOptions]) -> None:
    engine = KubernetesEngine(resource[1], Limits())
    assert engine.knows_digests is False
    assert await engine.digests("debian:13") == []
    with pytest.raises(Failed):
        await engine.registry_digest("debian:13")
