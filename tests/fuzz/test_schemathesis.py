"""schemathesis on both surfaces, as an owner, as a viewer and as nobody: what it makes of OpenAPI and of the schema
never breaks the service, and what comes back is what they declare.

A run ends when its time is over. CREWSHIP_FUZZ_SECONDS is how long the six long runs take together.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.world import World

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
SECONDS = int(os.environ.get("CREWSHIP_FUZZ_SECONDS", "1200")) // 6
LATE = 120  # seconds a loaded machine may take to start and to report
SEED = 20261125
RUNS = [(surface, who) for surface in ("rest", "graphql") for who in ("owner", "viewer", None)]
LEFT_OUT = (
    "journal.stream",  # an answer without an end would hold up the run
    "journal.list", "journal.count",  # lists that make an address longer than the server reads (414)
    "auth.forgot",  # answers the same, whatever comes
    "auth.pair_start",  # any body is fine
    "audit.export",  # what is no date finds nothing, as in the list
    # 503 by a server without containers, whatever is asked
    "admin.legacy_detect", "admin.legacy_prune", "admin.runtime_prune", "cache.images.delete", "cache.images.list",
    "crews.provision", "crews.provision.rebuild", "crews.restart_agents", "crews.container_start",
    "crews.container_stop", "crews.image_status", "crews.refresh_image", "admin.reap_orphan_containers",
    "models.list",  # 502 where no Ollama answers (contract: models.list)
)  # fmt: skip
# schemathesis takes every refusal of a field for a server error; `speaks_clearly` reads the code.
CHECKS = {
    "rest": [
        "--exclude-checks",
        "positive_data_acceptance,object_level_authorization",
        *[part for name in LEFT_OUT for part in ("--exclude-operation-id", name)],
    ],
    "graphql": ["--checks", "speaks_clearly"],
}
PATHS = {"rest": "/api/openapi.json", "graphql": "/graphql"}


async def fuzz(world: World, surface: str, who: str | None, seconds: int, directory: Path, *more: str) -> str:
    """What a run says; it fails the test when the run found anything."""
    headers = {"X-Workspace-ID": world.workspace.id} | (
        {"Authorization": f"Bearer {world.people[who].token}"} if who else {}
    )
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(HERE / "schemathesis.toml"),
        "run",
        f"{world.url}{PATHS[surface]}",
    ]
    named = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
    options = [
        "--max-time",
        str(seconds),
        "--continue-on-failure",
        "--no-color",
        "--warnings",
        "off",
        "--no-shrink",
        "--report",
        "ndjson",
        *CHECKS[surface],
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        *named,
        *options,
        *more,
        cwd=directory,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(HERE.parents[1]),
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "HOME": str(directory),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), seconds + LATE)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    said = out.decode()
    assert process.returncode == 0, said[-20_000:]
    return said


@pytest.mark.slow
@pytest.mark.parametrize(("surface", "who"), RUNS)
async def test_a_run_finds_nothing(surface: str, who: str | None, world: World, tmp_path: Path) -> None:
    said = await fuzz(world, surface, who, SECONDS, tmp_path, "--seed", str(SEED), "--max-examples", "200")
    assert "generated" in said, said
