"""A release: what `make dist` writes installs and serves on a machine that has nothing of this checkout."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.process.commands import ROOT, serving

pytestmark = pytest.mark.slow
UV = Path(sys.executable).with_name("uv")


def built(out: Path, *, source: Path = ROOT) -> dict[str, bytes]:
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(
        [sys.executable, "-W", "error", "scripts/dist.py", str(out)], cwd=source, env=os.environ | epoch, check=True
    )
    return {file.name: file.read_bytes() for file in out.iterdir()}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("release")
    built(out)
    return out


def only(release: Path, pattern: str) -> Path:
    (found,) = release.glob(pattern)
    return found


def test_two_builds_are_equal_and_the_sums_hold(release: Path, tmp_path: Path) -> None:
    again = built(tmp_path / "again")
    assert again == {file.name: file.read_bytes() for file in release.iterdir()}
    checked = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(checked, cwd=tmp_path / "again", capture_output=True, check=False).returncode == 0
    only(tmp_path / "again", "*.whl").write_bytes(b"another")
    assert subprocess.run(checked, cwd=tmp_path / "again", capture_output=True, check=False).returncode == 1


def test_the_source_archive_builds_the_same_wheel(release: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(only(release, "*.tar.gz"), tmp_path, filter="data")
    source = only(tmp_path, "crewship-*")
    wheel = only(release, "*.whl")
    assert built(tmp_path / "out", source=source)[wheel.name] == wheel.read_bytes()


def test_the_wheel_serves_where_nothing_else_is(release: Path, tmp_path: Path) -> None:
    """With what the pinned requirements say, of whose packages each is in the bill of materials."""
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--require-hashes", "--requirement", only(release, "*-requirements.txt")], check=True)
    subprocess.run([*pip, only(release, "*.whl")], check=True)
    assert subprocess.run([str(python), "-m", "pip", "check"], capture_output=True, check=False).returncode == 0
    command = [str(python.with_name("crewship"))]
    alone = {"PATH": "/usr/bin:/bin", "CREWSHIP_DATA_DIR": str(tmp_path / "data"), "CREWSHIP_PORT": "0"}
    with serving(env=alone, command=command) as served:
        for path, holds in (("/healthz", b"ok"), ("/console/", b"<script"), ("/api/docs", b"<script")):
            with urllib.request.urlopen(f"http://127.0.0.1:{served.port}{path}", timeout=30) as answer:
                assert answer.status == 200
                assert holds in answer.read()
    demo = subprocess.run([*command, "demo"], env=alone, capture_output=True, text=True, check=False)
    assert demo.returncode == 1
    assert "pip install 'crewship[demo]'" in demo.stderr
    listed = subprocess.check_output([str(python), "-m", "pip", "list", "--format", "json"], text=True)
    installed = {each["name"].lower().replace("_", "-"): each["version"] for each in json.loads(listed)}
    bill = json.loads(only(release, "*.cdx.json").read_text())["components"]
    named = {each["name"]: each["version"] for each in bill if each["purl"].startswith("pkg:pypi/")}
    assert {name: named.get(name) for name in installed.keys() - {"pip", "setuptools", "crewship"}} == {
        name: version for name, version in installed.items() if name not in ("pip", "setuptools", "crewship")
    }


def test_the_bill_of_materials_is_valid_and_names_the_parts_of_the_pages(release: Path) -> None:
    text = only(release, "*.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    names = {each["purl"].split("@")[0] for each in json.loads(text)["components"]}
    assert {"pkg:npm/svelte", "pkg:npm/graphiql", "pkg:pypi/asyncpg"} <= names
    assert "pkg:npm/vite" not in names  # it builds, and nothing of it is in the files
