"""What is wrong with an installation, and what to do."""

import asyncio
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from crewship.cli.checks import Check
from crewship.cli.doctor import (
    check_coding_agents,
    check_data_directory,
    check_isolation,
    check_keeper,
    check_port,
    connections_of,
    examine,
)
from crewship.process import keys
from crewship.process.postgres import APPLICATION
from resolvers.instance.settings import Settings, load_settings
from runtime.coding.installed import KNOWN
from runtime.coding.opencode import OPENCODE
from runtime.sandbox import Isolation, Report
from tests.conftest import Database
from tests.process.commands import PATIENCE, environment


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "NEXTAUTH_SECRET",
        "NEXTAUTH_SECRET_PREVIOUS",
        "ENCRYPTION_KEY",
        "ENCRYPTION_KEY_V2",
        "CREWSHIP_ADMIN_TOKEN_HMAC_KEY",
        "DATABASE_URL",
    ):
        monkeypatch.delenv(name, raising=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    """A sound installation: migrated, with settled keys and a free port."""
    data = tmp_path / "data"
    sound = load_settings(data_dir=str(data), database_url=database.url, port=free_port())
    asyncio.run(keys.settle(sound, database.url))
    return sound


def found(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in examine(settings)}


def failed(settings: Settings) -> list[str]:
    return [check.name for check in examine(settings) if not check.ok]


def test_a_sound_installation_has_nothing_to_fix(settings: Settings) -> None:
    checks = found(settings)
    assert set(checks) == {
        "data directory",
        "secrets file",
        "database",
        "database role",
        "connections",
        "clock",
        "commits",
        "containers",
        "migrations",
        "keys",
        "port",
        "isolation",
        "limits of commands",
        "coding agents",
        "mail",
    }
    assert all(check.ok for check in checks.values())
    # not every machine has namespaces and control groups, and not every installation mail, containers or coding agents
    optional = ("isolation", "limits of commands", "mail", "containers", "coding agents")
    assert [name for name, check in checks.items() if check.fix and name not in optional] == []


@pytest.mark.parametrize(
    ("report", "said", "fix"),
    [
        (
            Report(Isolation.namespace, True, limits="held by the kernel, in control groups (v2: memory, pids)"),
            "kernel",
            "",
        ),
        (Report(Isolation.namespace, True, no_groups="/sys/fs/cgroup: Read-only"), "Read-only", "Delegate=yes"),
        (Report(Isolation.none, False, "no namespaces", "make them"), "no commands", ""),
    ],
)
def test_who_holds_the_limits_of_commands(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, report: Report, said: str, fix: str
) -> None:
    async def describe(settings: Settings) -> Report:
        return report

    monkeypatch.setattr("crewship.cli.doctor.describe", describe)
    check = {each.name: each for each in check_isolation(settings)}["limits of commands"]
    assert check.ok
    assert said in check.found
    assert fix in check.fix
    assert bool(check.fix) == bool(fix)


def test_coding_agents_are_named_with_how_to_get_them(settings: Settings, tmp_path: Path) -> None:
    fix = found(settings)["coding agents"].fix
    for agent in KNOWN.values():
        assert f"to have {agent.name}, npm install --prefix FOLDER {agent.package}@{agent.version}" in fix
    program = tmp_path / "node_modules" / OPENCODE.program
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    (program.parents[1] / "package.json").write_text('{"version": "1.2.3"}')
    check = check_coding_agents(settings.model_copy(update={"coding_agents": tmp_path}))
    assert check.ok
    assert check.found.startswith(f"in {tmp_path}: OpenCode 1.2.3; Claude Code: it is not installed; ")
    assert ("to have Claude Code" in check.fix, "to have OpenCode" in check.fix) == (True, False)
    (tmp_path / "empty").mkdir()
    assert not check_coding_agents(settings.model_copy(update={"coding_agents": tmp_path / "empty"})).ok


@pytest.mark.parametrize(
    ("keeper", "agents", "shared"),
    [
        (None, "http://127.0.0.1:11434", True),
        ("http://127.0.0.1:11434", "http://localhost:11434/", True),
        ("http://judge.example.com", "http://JUDGE.example.com.:80/v1", True),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11435", False),
        ("http://judge.example.com:11434", "http://model.example.com:11434", False),
        ("http://judge.example.com:11434", "no URL", False),
        ("http://judge.example.com:11434", None, False),
    ],
)
def test_a_keeper_on_the_server_of_agents_is_told(
    settings: Settings, keeper: str | None, agents: str | None, shared: bool
) -> None:
    told = {"keeper_switch": True, "keeper_address": keeper, "ollama_base_url": agents}
    [check] = check_keeper(settings.model_copy(update=told))
    assert check.ok
    assert ("KEEPER_OLLAMA_URL" in check.fix, "OLLAMA_BASE_URL" in check.found) == (shared, shared)
    assert check_keeper(settings.model_copy(update={**told, "keeper_switch": False})) == []


def test_no_secret_is_shown(settings: Settings, database: Database) -> None:
    (settings.data_dir / "secrets.env").write_text("ENCRYPTION_KEY=" + "ab" * 32 + "\n")
    shown = json.dumps([check.as_dict() for check in examine(settings)])
    assert "abab" not in shown
    assert database.server.passwords[APPLICATION] not in shown


def test_open_files_are_found(settings: Settings) -> None:
    settings.data_dir.chmod(0o755)
    (settings.data_dir / "secrets.env").chmod(0o644)
    checks = found(settings)
    assert checks["data directory"].fix == f"chmod 700 {settings.data_dir}"
    assert checks["secrets file"].fix == f"chmod 600 {settings.data_dir / 'secrets.env'}"


def test_another_key_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    other = settings.model_copy(update={"encryption_key": keys.KEYS[1].form.validate_python("ab" * 32)})
    assert failed(other) == ["keys"]
    assert "ENCRYPTION_KEY is not the key" in found(other)["keys"].fix


def test_lost_keys_are_found(settings: Settings) -> None:
    (settings.data_dir / "secrets.env").unlink()
    assert failed(settings) == ["keys"]


def test_a_superuser_is_no_role_for_the_application(settings: Settings, database: Database) -> None:
    powerful = database.server.dsn("postgres", database.name)
    strong = load_settings(data_dir=str(settings.data_dir), database_url=powerful, port=settings.port)
    assert failed(strong) == ["database role"]
    assert "superuser and BYPASSRLS" in found(strong)["database role"].found


@pytest.mark.slow
def test_connections_that_no_server_has_are_found(settings: Settings) -> None:
    """A process holds more than its pool: 19 with a pool of 10, and two more while it starts."""
    assert connections_of(settings) == 21
    assert connections_of(settings.model_copy(update={"role": "api"})) == 14
    sound = found(settings)["connections"]
    assert sound.ok
    assert "up to 21 per process" in sound.found
    assert "PostgreSQL allows 97" in sound.found
    many = found(settings.model_copy(update={"workers": 5}))["connections"]
    assert not many.ok
    assert "105 for 5" in many.found
    assert "CREWSHIP_POOL_SIZE" in many.fix


@pytest.mark.slow
def test_a_short_secret_is_found_and_a_rotation_shown(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "PREVIOUS" not in found(settings)["keys"].found
    old = keys.stored(settings.data_dir)["NEXTAUTH_SECRET"]
    monkeypatch.setenv("NEXTAUTH_SECRET", "new " * 10)
    monkeypatch.setenv("NEXTAUTH_SECRET_PREVIOUS", old)
    rotated = load_settings(data_dir=str(settings.data_dir), database_url=database.url, port=settings.port)
    asyncio.run(keys.settle(rotated, database.url))
    check = found(rotated)["keys"]
    assert check.ok
    assert "NEXTAUTH_SECRET_PREVIOUS is still valid" in check.found
    assert old not in check.found
    asyncio.run(_pin(database.url, "abc"))
    monkeypatch.delenv("NEXTAUTH_SECRET_PREVIOUS")
    monkeypatch.setenv("NEXTAUTH_SECRET", "abc")
    short = found(load_settings(data_dir=str(settings.data_dir), database_url=database.url, port=settings.port))["keys"]
    assert not short.ok
    assert "openssl rand" in short.fix


async def _pin(url: str, secret: str) -> None:
    """As of an instance that began before there was a rule."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "UPDATE instance_facts SET value = $1 WHERE name = 'key.NEXTAUTH_SECRET'",
        keys.fingerprint("NEXTAUTH_SECRET", secret),
    )
    await connection.close()


def test_an_empty_database_lacks_its_migrations(empty_database: Database, tmp_path: Path) -> None:
    settings = load_settings(data_dir=str(tmp_path / "data"), database_url=empty_database.url, port=free_port())
    assert failed(settings) == ["migrations"]
    assert found(settings)["migrations"].fix == "run crewship migrate"


def test_a_database_that_refuses_is_named_without_its_password(settings: Settings, database: Database) -> None:
    wrong = replace(database.server, passwords={APPLICATION: "hunter2"}).dsn(APPLICATION, database.name)
    check = found(load_settings(data_dir=str(settings.data_dir), database_url=wrong, port=settings.port))["database"]
    assert not check.ok
    assert f"localhost/{database.name}" in check.found
    assert "hunter2" not in check.found + check.fix
    assert check.fix == "correct DATABASE_URL"


def test_before_the_first_start_all_is_well(tmp_path: Path) -> None:
    fresh = load_settings(data_dir=str(tmp_path / "data"), port=free_port())
    assert failed(fresh) == []
    assert not fresh.data_dir.exists()


def test_a_data_directory_must_be_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not check_data_directory(load_settings(data_dir=str(tmp_path / "file"))).ok


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["data", "."])
def test_what_another_user_keeps_is_named_and_left_alone(settings: Settings, tmp_path: Path, closed: str) -> None:
    """A user whom the modes of files hold back: root gives that up first."""
    (tmp_path / closed).chmod(0o000)
    command = [sys.executable, "-m", "crewship", "doctor", "--json"]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    try:
        shown = subprocess.run(
            command,
            env=environment(settings.data_dir),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    finally:
        (tmp_path / closed).chmod(0o700)
    checks = {check["name"]: check for check in json.loads(shown.stdout)["checks"]}
    assert list(checks) == ["data directory", "port"]
    assert str(settings.data_dir) in checks["data directory"]["found"]
    assert not checks["data directory"]["ok"]
    assert "CREWSHIP_DATA_DIR" in checks["data directory"]["fix"]
    assert (shown.returncode, "Traceback" in shown.stderr) == (1, False)


@contextmanager
def answering(body: bytes) -> Iterator[int]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "ok"),
    [(b'{"status":"ok","service":"crewshipd"}', True), (b"<html>another program</html>", False), (b"[]", False)],
)
def test_the_port_is_ours_or_free(body: bytes, ok: bool) -> None:
    with answering(body) as port:
        assert check_port(load_settings(port=port)).ok is ok
    assert check_port(load_settings(port=port)).found.endswith("is free")
