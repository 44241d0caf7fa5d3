"""`crewship backup` is killed at any moment: a bundle is whole or has no name, and a restore brings everything or
nothing.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from crewship.process.incremental import GRACE
from resolvers.instance.bundles.reading import Bundle
from tests.process.commands import CREWSHIP, PATIENCE, environment, run
from tests.process.ships import Ship

pytestmark = pytest.mark.slow
MOMENTS = 20


@pytest.fixture(scope="module")
def ship() -> Iterator[Ship]:
    directory = Path(tempfile.mkdtemp(prefix="crewship-"))
    yield Ship(directory)
    shutil.rmtree(directory)


def duration(env: Mapping[str, str], *arguments: str) -> float:
    began = time.monotonic()
    done = run("backup", *arguments, env=env)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began


def killed(env: Mapping[str, str], after: float, *arguments: str) -> bool:
    """False if the command was faster."""
    process = subprocess.Popen(
        [*CREWSHIP, "backup", *arguments],
        env=dict(env),
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return process.wait(PATIENCE) == -signal.SIGKILL


def moments(takes: float) -> list[float]:
    """Most of them where it works, after it has been loaded."""
    return [takes * (0.2 + 0.8 * number / MOMENTS) for number in range(MOMENTS)]


def test_a_bundle_is_whole_or_has_no_name(ship: Ship) -> None:
    folder, struck = ship.directory / "made", 0
    scopes = [("--passphrase-file", str(ship.passphrase)), ("--workspace", ship.slug, "--no-encrypt")]
    takes = [duration(ship.env, "create", *scope, "--to", str(folder)) for scope in scopes]
    for number, after in enumerate(moments(1.0)):
        scope = number % 2
        struck += killed(ship.env, after * takes[scope], "create", *scopes[scope], "--to", str(folder))
        for path in folder.glob("*.tar.zst"):
            with Bundle(path) as bundle:
                bundle.check()
    assert struck > MOMENTS // 2
    last = run("backup", "create", *scopes[0], "--to", str(folder), env=ship.env)
    assert last.returncode == 0, last.stderr


def test_an_instance_is_restored_whole_or_can_be_restored_again(ship: Ship) -> None:
    given = (ship.instance["path"], "--passphrase-file", str(ship.passphrase))
    takes, struck, whole = duration(environment(ship.directory / "first"), "restore", *given), 0, 0
    for number, after in enumerate(moments(takes)):
        env = environment(ship.directory / f"restored-{number}")
        struck += killed(env, after, "restore", *given)
        again = run("backup", "restore", *given, "--json", env=env)
        if again.returncode:
            # the database was committed when it was killed
            assert "has a database already" in again.stderr, again.stderr
            whole += 1
        else:
            assert json.loads(again.stdout)["rows"] == ship.instance["rows"]
        audited = run("audit", "verify", "--json", env=env)
        assert json.loads(audited.stdout)["faults"] == []
        opened = run("keys", "rotate", env=env)
        assert (opened.returncode, "; 0 values" in opened.stdout) == (0, True), (opened.stdout, opened.stderr)
        shutil.rmtree(ship.directory / f"restored-{number}")
    assert struck > MOMENTS // 2
    assert whole < MOMENTS


def test_a_workspace_is_restored_whole_or_not_at_all(ship: Ship) -> None:
    given = ("restore", ship.one["path"], "--as-workspace")
    takes, struck = duration(ship.env, *given, "first"), 0
    expected = contents(ship, "first")
    for number, after in enumerate(moments(takes)):
        struck += killed(ship.env, after, *given, f"copy-{number}")
        forget_lock(ship)
        assert contents(ship, f"copy-{number}") in (None, expected)
    assert struck > MOMENTS // 2


def test_a_crew_is_restored_whole_or_not_at_all(ship: Ship) -> None:
    """Neither it nor an agent is there in part; the crew that it was made of stays as it was."""
    made = ship.backup("create", "--workspace", ship.slug, "--crew", "deck", "--no-encrypt")
    given = ("restore", made["path"], "--as-crew")
    takes, struck = duration(ship.env, *given, "first"), 0
    expected = contents(ship, ship.slug, "--crew", "first")
    assert expected == contents(ship, ship.slug, "--crew", "deck")
    for number, after in enumerate(moments(takes)):
        struck += killed(ship.env, after, *given, f"copy-{number}")
        forget_lock(ship)
        assert contents(ship, ship.slug, "--crew", f"copy-{number}") in (None, expected)
    assert contents(ship, ship.slug, "--crew", "deck") == expected
    assert struck > MOMENTS // 2


FORGET = """
import asyncio
from crewship.process.bundles import EVERYTHING
from crewship.process.database import existing_database
from resolvers.instance.settings import load_settings
from resolvers.kernel.store.connection import connect

async def forget(dsn: str) -> None:
    conn = await connect(dsn, EVERYTHING)
    await conn.execute("DELETE FROM backup_locks")
    await conn.close()

with existing_database(load_settings()) as access:
    asyncio.run(forget(access.owner))
"""


def forget_lock(ship: Ship) -> None:
    """A killed process leaves its lock, which would refuse the next one for an hour."""
    subprocess.run([sys.executable, "-c", FORGET], env=dict(ship.env), cwd="/", check=True)


def contents(ship: Ship, slug: str, *crew: str) -> tuple[int, int] | None:
    """Rows and files of a bundle of the workspace, or of a crew of it; None if it does not exist."""
    made = run("backup", "create", "--workspace", slug, *crew, "--no-encrypt", "--json", env=ship.env)
    if made.returncode:
        assert f"there is no {'crew' if crew else 'workspace'} {[slug, *crew][-1]}" in made.stderr, made.stderr
        return None
    told = json.loads(made.stdout)
    Path(told["path"]).unlink()
    return told["rows"], told["files"]


def test_incremental_bundles_are_whole_after_kills_of_create_and_rotate(ship: Ship) -> None:
    """Makers and rotations are killed in turn; each bundle of the list has all contents that it needs."""
    folder, files = ship.directory / "incremental", ship.data_dir / "files" / "large"
    files.mkdir(parents=True)
    given = ("--incremental", "--passphrase-file", str(ship.passphrase), "--to", str(folder))
    rotate = ("rotate", "--from", str(folder), "--keep-last", "2")
    renew(files, 0)
    makes = duration(ship.env, "create", *given)
    rotates, struck = duration(ship.env, *rotate), 0
    for number, after in enumerate(moments(1.0)):
        renew(files, number)
        if number % 2:
            struck += killed(ship.env, after * makes, "create", *given)
        else:
            grow_old(folder)
            assert run("backup", "create", *given, env=ship.env).returncode == 0
            struck += killed(ship.env, after * rotates, *rotate)
        listed = json.loads(run("backup", "list", "--from", str(folder), "--json", env=ship.env).stdout)
        assert listed
        for entry in listed:
            verified = run("backup", "verify", entry["path"], env=ship.env)
            assert verified.returncode == 0, verified.stdout + verified.stderr
    assert struck > MOMENTS // 2
    grow_old(folder)
    assert run("backup", *rotate, env=ship.env).returncode == 0
    grow_old(folder)
    assert run("backup", *rotate, env=ship.env).returncode == 0
    needed = set[str]()
    for path in folder.glob("*.tar.zst"):
        with Bundle(path) as bundle:
            needed |= {blob.path for blob in bundle.blobs()}
    there = {f"{path.parent.name}/{path.name}" for path in (folder / "blobs").glob("*/*")}
    assert there == needed


def renew(files: Path, number: int) -> None:
    """Twenty files, of which each round replaces some."""
    for each in range(20):
        path = files / str(each)
        if not path.exists() or each % 5 == number % 5:
            path.write_bytes(os.urandom(1 << 17))


def grow_old(folder: Path) -> None:
    then = time.time() - GRACE - 60
    for each in folder.rglob("*"):
        os.utime(each, (then, then))
