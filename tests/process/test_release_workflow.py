"""The workflow of releases: what it runs, with which rights, and what it does where a step fails. Its scripts run here
with a `docker` that writes down its arguments.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.process.commands import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
DOCKER = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
  "imagetools inspect"*|"buildx imagetools inspect"*) echo sha256:0123;;
  inspect*) echo "$HEALTH";;
  $FAILS) exit 1;;
esac
"""
TAG = "registry.test/crewship"


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
    assert found["permissions"] == {}, "a job has no right that it does not name"
    return found["jobs"]  # type: ignore[no-any-return]


def scripts(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def ran(
    script: str, folder: Path, *, reference: str = "v1.2.3", health: str = "healthy", fails: str = "none"
) -> tuple[int, list[str], str]:
    """The exit code, the calls of docker, and the outputs of the step."""
    (folder / "docker").write_text(DOCKER)
    (folder / "docker").chmod(0o755)
    calls, outputs = folder / "calls", folder / "outputs"
    for each in (calls, outputs):
        each.write_text("")
    given = {"IMAGE": TAG, "GITHUB_REF_NAME": reference, "GITHUB_OUTPUT": str(outputs), "MACHINE": "arm64"}
    told = {"PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(calls), "HEALTH": health, "FAILS": fails}
    made = subprocess.run(["bash", "-eo", "pipefail", "-c", script], env=given | told, check=False)
    return made.returncode, calls.read_text().splitlines(), outputs.read_text()


def test_an_image_is_built_on_each_kind_of_machine(jobs: dict[str, Any]) -> None:
    """By machines of that kind: no processor is emulated, and what was built is started there."""
    made = jobs["image"]["strategy"]["matrix"]["include"]
    assert {each["machine"]: each["runner"] for each in made} == {
        "amd64": "ubuntu-24.04",
        "arm64": "ubuntu-24.04-arm",
    }
    assert jobs["image"]["runs-on"] == "${{ matrix.runner }}"
    assert jobs["image"]["if"] == "vars.IMAGE != ''"
    assert jobs["image"]["needs"] == "files"
    assert jobs["manifest"]["needs"] == "image", "the common name comes when all machines have theirs"


def test_an_image_has_its_bill_of_materials_and_provenance(jobs: dict[str, Any], tmp_path: Path) -> None:
    code, [call], _ = ran(scripts(jobs["image"])[-1], tmp_path)
    assert code == 0
    assert {"--sbom=true", "--provenance=mode=max", "--push", f"{TAG}:1.2.3-arm64"} <= set(call.split())


def test_an_image_that_does_not_start_is_not_pushed(jobs: dict[str, Any], tmp_path: Path) -> None:
    [starting] = [each for each in scripts(jobs["image"]) if "docker run" in each]
    assert scripts(jobs["image"]).index(starting) < len(scripts(jobs["image"])) - 1
    starting = starting.replace("sleep 2", "sleep 0.01").replace("timeout 180", "timeout 1")
    code, calls, _ = ran(starting, tmp_path)
    assert code == 0
    assert calls[0].startswith("buildx build --load")
    assert "--read-only" in calls[1]
    for how in ({"health": "unhealthy"}, {"fails": "run*"}, {"fails": "buildx*"}):
        code, calls, _ = ran(starting, tmp_path, **how)
        assert code != 0, how
        assert not [each for each in calls if "--push" in each]


@pytest.mark.parametrize(("reference", "latest"), [("v1.2.3", True), ("v1.2.3rc1", False), ("v2.0.0-beta", False)])
def test_both_images_have_one_name(jobs: dict[str, Any], tmp_path: Path, reference: str, latest: bool) -> None:
    code, calls, outputs = ran(scripts(jobs["manifest"])[-1], tmp_path, reference=reference)
    assert code == 0
    name = f"{TAG}:{reference[1:]}"
    assert calls[0].split()[-2:] == [f"{name}-amd64", f"{name}-arm64"]
    assert f"--tag {name} " in calls[0]
    assert (f"--tag {TAG}:latest" in calls[0]) is latest, "an early release is not the latest"
    assert outputs == "digest=sha256:0123\n"


def test_what_is_released_is_attested(jobs: dict[str, Any]) -> None:
    found = {
        name: step["with"]
        for name, job in jobs.items()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/attest-build-provenance@")
    }
    assert found == {
        "files": {"subject-checksums": "dist/SHA256SUMS"},
        "manifest": {"subject-name": "${{ vars.IMAGE }}", "subject-digest": "${{ steps.manifest.outputs.digest }}"},
    }
    rights = {name: job["permissions"] for name, job in jobs.items()}
    signs = {"id-token": "write", "attestations": "write"}
    assert rights == {"files": {"contents": "write"} | signs, "image": {"contents": "read"}, "manifest": signs}


def test_files_are_checked_before_they_are_released(jobs: dict[str, Any]) -> None:
    steps = jobs["files"]["steps"]
    order = [step.get("run") or step["uses"] for step in steps]
    tag, checks, made, attested, released = order[1:]
    assert "pyproject.toml" in tag
    assert (checks, made) == ("make check test-merge", "make dist")
    assert attested.startswith("actions/attest")
    assert "dist/*" in released
    assert "--verify-tag" in released
    for job in jobs.values():
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_the_image_is_made_in_stages_and_serves_without_root() -> None:
    """What builds stays behind, and every package is one whose hash is known: on ARM as elsewhere."""
    stages = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    assert len(stages) == 2
    build, serve = stages
    assert build.startswith("${BASE} AS build")
    installs = [line for line in build.splitlines() if "pip" in line and " install " in line]
    assert len(installs) == 3
    for line in installs:
        assert "--no-deps" in line
        assert "--require-hashes" in line or "/opt/build/wheel/" in line
    assert "pip" not in serve
    assert re.findall(r"^COPY (.*)$", serve, re.MULTILINE) == ["--from=build /opt/crewship /opt/crewship"]
    assert re.findall(r"^USER (.*)$", serve, re.MULTILINE) == ["crewship"]
    assert "HEALTHCHECK" in serve
    assert not re.search(r"--platform|amd64|x86", "".join(stages)), "nothing is for one kind of machine"
