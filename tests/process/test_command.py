"""`crewship`, as an operator meets it: in a process of its own, from the first start to the last signal."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crewship.process.serve import ended_by_signals
from tests.every import one_quickly
from tests.process.commands import (
    CREWSHIP,
    PATIENCE,
    ROOT,
    environment,
    migrated,
    run,
    serving,
    status_of,
    status_over,
    until,
)

pytestmark = pytest.mark.thorough


@pytest.fixture
def data_dir() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="crewship-"))
    yield parent / "data"
    shutil.rmtree(parent)


def test_help_imports_nothing_of_the_application() -> None:
    asked = (
        "import sys; from typer.testing import CliRunner; from crewship.cli.main import app;"
        " assert CliRunner().invoke(app, ['--help']).exit_code == 0;"
    )
    heavy = (
        "print(sorted({name.split('.')[0] for name in sys.modules}"
        " & {'strawberry', 'sqlalchemy', 'asyncpg', 'pydantic', 'starlette', 'uvicorn'}))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", asked + heavy], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_serve_from_nothing_and_leave_on_sigterm(data_dir: Path) -> None:
    with serving(env=environment(data_dir)) as served:
        assert served.said.startswith("Crewship serves at http://127.0.0.1:")
        assert status_of(served.port) == 200
        internal = data_dir / "run" / "crewship.sock"
        assert status_over(internal) == 200
        assert stat.S_IMODE(internal.stat().st_mode) == 0o600
        assert stat.S_IMODE(internal.parent.stat().st_mode) == 0o700
        assert served.end(signal.SIGTERM) == 0
        assert not internal.exists()
        assert not (data_dir / "pg/18" / "postmaster.pid").exists()  # the database ended cleanly too
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    for secret in ("secrets.env", "postgres.json", "run/internal-token"):
        assert stat.S_IMODE((data_dir / secret).stat().st_mode) == 0o600


def test_the_version_is_shown_where_people_look_for_it() -> None:
    answers = [run(*asked, env=environment(Path("/nonexistent"))) for asked in (["--version"], ["version"])]
    assert [answer.returncode for answer in answers] == [0, 0]
    assert answers[0].stdout == answers[1].stdout != ""


def test_a_signal_strikes_the_start_only_where_it_waits() -> None:
    seen: list[str] = []

    async def work() -> None:
        for step in ("a lock is taken", "and given back"):
            signal.raise_signal(signal.SIGTERM)
            seen.append(step)
        await asyncio.sleep(PATIENCE)
        seen.append("it went on")

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        asyncio.run(ended_by_signals(work()))
    assert (ended.value.code, seen) == (0, ["a lock is taken", "and given back"])
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_a_killed_server_starts_again_with_the_same_keys(data_dir: Path) -> None:
    with serving(env=environment(migrated(data_dir))) as served:
        keys = (data_dir / "secrets.env").read_text()
        assert served.end(signal.SIGKILL) == -signal.SIGKILL
    with serving(env=environment(data_dir)) as again:
        assert status_of(again.port) == 200
        assert status_over(data_dir / "run" / "crewship.sock") == 200  # the killed one's socket file was in the way
        assert (data_dir / "secrets.env").read_text() == keys
        assert again.end(signal.SIGINT) == 0


@pytest.mark.slow
def test_lost_keys_stop_the_start(data_dir: Path) -> None:
    env = environment(migrated(data_dir))
    with serving(env=env) as served:
        assert served.end() == 0
    (data_dir / "secrets.env").unlink()
    refused = run("serve", env=env)
    assert refused.returncode == 1
    assert "crewship: ENCRYPTION_KEY is missing" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (data_dir / "secrets.env").exists()


@pytest.mark.slow
def test_several_processes_serve_one_port(data_dir: Path) -> None:
    with serving("--workers", "2", env=environment(migrated(data_dir))) as served:
        until(lambda: status_of(served.port) == 200)
        assert status_over(data_dir / "run" / "crewship.sock") == 200
        assert served.end() == 0


@pytest.mark.slow
def test_the_commands_of_one_data_directory_share_its_database(data_dir: Path) -> None:
    with serving(env=environment(migrated(data_dir))) as served:
        assert "The database is at revision" in run("migrate", env=environment(data_dir)).stdout
        second = run("serve", env=environment(data_dir))
        assert second.returncode == 1
        assert f"another process listens on {data_dir}/run/crewship.sock" in second.stderr
        with serving(env=environment(data_dir, CREWSHIP_SOCKET_PATH=str(data_dir / "run" / "second.sock"))) as beside:
            assert status_of(beside.port) == 200
            assert beside.end() == 0
        assert status_of(served.port) == 200


@pytest.mark.slow
def test_a_taken_port_is_named_with_the_way_out(data_dir: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refused = run("serve", "--port", str(port), env=environment(data_dir))
    assert refused.returncode == 1
    assert refused.stderr == (
        f"crewship: port {port} on 127.0.0.1 is in use; set CREWSHIP_PORT or --port to another one (0 "
        "selects a free one)\n"
    )
    assert refused.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("CREWSHIP_PORT", "http", "crewship: CREWSHIP_PORT is 'http', but takes a port number"),
        ("CREWSHIP_FORCE_SECURE_COOKIES", "si", "crewship: CREWSHIP_FORCE_SECURE_COOKIES is 'si', but takes a boolean"),
        ("CREWSHIP_HOST", "no.such.host.invalid", "crewship: cannot listen on host no.such.host.invalid"),
        ("CREWSHIP_DATA_DIR", "/proc/crewship", "crewship: the directory /proc/crewship cannot be created"),
        (
            "DATABASE_URL",
            "postgresql://u:hunter2@127.0.0.1:1/d?sslmode=perhaps",
            "crewship: the database 127.0.0.1:1/d refuses",
        ),
    ],
)
def test_a_wrong_environment_is_one_line(data_dir: Path, variable: str, value: str, says: str) -> None:
    refused = run("serve", env=environment(data_dir) | {variable: value})
    assert refused.returncode == 1
    assert refused.stderr.startswith(says)
    assert refused.stderr.count("\n") == 1
    assert "hunter2" not in refused.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("inside", [None, "run", "run/crewship.sock"])
def test_a_data_directory_of_another_user_is_one_line(data_dir: Path, inside: str | None) -> None:
    """As where a host's directory is mounted into a container: it is root's, and the service is not."""
    python, path = _plain_python()
    (data_dir / "run").mkdir(parents=True)
    data_dir.parent.chmod(0o711)
    if inside is None:
        (data_dir / "run").rmdir()
    elif inside != "run":
        (data_dir / inside).touch()
    env = path | {"CREWSHIP_DATA_DIR": str(data_dir), "CREWSHIP_PORT": "0"}
    refused = subprocess.run(
        [*python, "-m", "crewship", "serve"],
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        f"crewship: {'the directory' if inside is None else 'cannot listen on'} {data_dir}/run"
    )
    assert "CREWSHIP_DATA_DIR" in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.slow
def test_doctor_fails_with_what_to_do(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o755)
    sick = run("doctor", env=environment(data_dir))
    assert sick.returncode == 1
    assert (
        f"FAIL data directory: {data_dir} is open to other users (mode 755)\n       chmod 700 {data_dir}\n"
        in sick.stdout
    )
    data_dir.chmod(0o700)
    assert run("doctor", "--json", env=environment(data_dir)).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "begins"),
    one_quickly(
        (["operations", "--json"], "["),
        (["routes", "--json"], "["),
        (["routes"], "method\tpath"),
        (["openapi"], "{"),
        (["schema"], ""),
    ),
)
def test_documents_need_no_database(data_dir: Path, command: list[str], begins: str) -> None:
    printed = run(*command, env=environment(data_dir))
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.startswith(begins)
    assert len(printed.stdout) > 200
    assert not data_dir.exists()


def _plain_python() -> tuple[list[str], dict[str, str]]:
    """An interpreter that the user nobody can run, with our dependencies; read-only for that user in any case."""
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        path = {"PYTHONPATH": f"{ROOT}:{packages}", "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            tried = subprocess.run(
                [*drop, python, "-c", "import asyncpg, typer, crewship"],
                env=path,
                cwd="/",
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if tried.returncode == 0:
            return [*drop, python], path
    pytest.skip("the user nobody can run no Python with these packages here")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.slow
def test_a_plain_user_without_a_home_on_a_read_only_installation(data_dir: Path) -> None:
    python, path = _plain_python()
    data_dir.mkdir()
    data_dir.parent.chmod(0o711)
    os.chown(data_dir, 65534, 65534)
    # No HOME and no CREWSHIP_DATA_DIR: the data directory is `.data` in the current one.
    env = path | {"CREWSHIP_PORT": "0"}
    with subprocess.Popen(
        [*python, "-m", "crewship", "serve"],
        env=env,
        cwd=data_dir,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("Crewship serves at"), process.stderr.read()
        assert status_of(int(line.rsplit(":", 1)[1])) == 200
        assert (data_dir / ".data" / "pg/18").stat().st_uid == 65534
        began = time.monotonic()
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    one_quickly(
        ["keys", "status"],
        ["keys", "rotate"],
        ["keys", "drop", "ENCRYPTION_KEY"],
        ["audit", "verify"],
        ["forget-passkeys", "ada@example.com"],
        ["reset-password", "ada@example.com"],
    ),
)
def test_commands_for_a_server_that_is_there_make_none(data_dir: Path, command: list[str]) -> None:
    asked = subprocess.run(
        [*CREWSHIP, *command],
        env=environment(data_dir),
        cwd="/",
        input="a long password\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr == (
        f"crewship: there is no database in {data_dir};"
        " set CREWSHIP_DATA_DIR to the data directory of the server, or DATABASE_URL\n"
    )
    assert not data_dir.exists()


@pytest.mark.slow
def test_doctor_says_which_directory_it_has_looked_at(data_dir: Path) -> None:
    said = run("doctor", env=environment(data_dir)).stdout
    assert f"the first start creates it in {data_dir}\n" in said
    assert "if the server keeps its data in another directory, set CREWSHIP_DATA_DIR to that" in said
    assert not data_dir.exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", one_quickly(["keys", "status"], ["audit", "verify"]))
def test_a_key_that_is_not_there_is_named_with_where_it_was_looked_for(data_dir: Path, command: list[str]) -> None:
    refused = run(*command, env=environment(migrated(data_dir)))
    assert refused.returncode == 1
    assert refused.stderr == (
        f"crewship: ENCRYPTION_KEY is neither in the environment nor in {data_dir}/secrets.env;"
        " set it, or CREWSHIP_DATA_DIR to the data directory of the server\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "code"),
    one_quickly(
        (["doctor"], 1),  # its exit code says more than that it has printed
        (["operations"], 0),
        (["operations", "--json"], 0),
        (["schema"], 0),
        (["openapi"], 0),
        (["version"], 0),
        (["serve", "--help"], 0),
    ),
)
def test_a_reader_that_has_enough_is_no_failure(data_dir: Path, command: list[str], code: int) -> None:
    data_dir.mkdir(mode=0o755)  # which the doctor does not let pass
    reading, writing = os.pipe()
    os.close(reading)
    left = subprocess.run(
        [*CREWSHIP, *command],
        env=environment(data_dir),
        cwd="/",
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    os.close(writing)
    assert (left.returncode, left.stderr) == (code, "")
