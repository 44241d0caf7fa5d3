"""Bundles of an instance go to other places and come back: a bucket, a PostgreSQL of its own, an older schema."""

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from alembic import command

from crewship.process import instance_bundles
from crewship.process.bundles import Seal
from crewship.process.database import Access
from models import migrations
from models.migrations import revisions
from resolvers.instance.settings import Settings
from tests.conftest import Database
from tests.process.bucket import ADDRESS, Bucket, served_bucket
from tests.process.commands import PATIENCE, environment, run, serving
from tests.process.ships import PASSPHRASE, Ship, ask
from tests.world import settings_for

pytestmark = pytest.mark.slow
LARGE = os.urandom(300_000)


@pytest.fixture(scope="module")
def ship() -> Iterator[Ship]:
    directory = Path(tempfile.mkdtemp(prefix="crewship-"))
    made = Ship(directory)
    (made.data_dir / "files" / "large").mkdir(parents=True)
    for name in ("one", "copy"):
        (made.data_dir / "files" / "large" / name).write_bytes(LARGE)
    yield made
    shutil.rmtree(directory)


def has_all(ship: Ship, env: dict[str, str], data_dir: Path) -> None:
    """The restored instance serves what the ship had, opens its secrets, and its audit log is as it was sealed."""
    assert (data_dir / "files" / "large" / "copy").read_bytes() == LARGE
    with serving(env=env) as served:
        at = f"?workspace_id={ship.workspace}"
        assert [crew["slug"] for crew in ask(served.port, "GET", f"/api/v1/crews{at}", ship.token)] == ["deck"]
        assert served.end() == 0
    audited = run("audit", "verify", "--json", env=env)
    assert (audited.returncode, json.loads(audited.stdout)["faults"]) == (0, []), audited.stdout
    opened = run("keys", "rotate", env=env)
    assert (opened.returncode, "; 0 values" in opened.stdout) == (0, True), opened.stdout


def test_a_bucket_has_bundles_that_are_restored(ship: Ship, monkeypatch: pytest.MonkeyPatch) -> None:
    seal = ("--passphrase-file", str(ship.passphrase))
    with served_bucket() as variables:
        ship.env |= variables
        made = [ship.backup("create", "--to", ADDRESS, *seal)]
        for _ in range(2):
            made.append(ship.backup("create", "--to", ADDRESS, "--incremental", *seal))
        assert [each["contentsBeside"] for each in made] == [0, 1, 1]
        assert len([name for name in Bucket.stored if "/blobs/2" in name]) in (0, 1)  # 0: the bucket is another server
        listed = json.loads(run("backup", "list", "--from", ADDRESS, "--json", env=ship.env).stdout)
        assert [entry["path"] for entry in listed] == [each["path"] for each in reversed(made)]
        assert ship.backup("verify", made[2]["path"], "--open", *seal)["valid"]
        done = ship.backup("rehearse", "--from", ADDRESS, "--in", str(ship.directory), *seal)
        assert (done["ok"], done["path"], done["rows"]) == (True, made[2]["path"], made[2]["rows"])
        for number, each in enumerate(made):
            data_dir = ship.directory / f"restored-{number}"
            env = environment(data_dir, **variables)
            restored = run("backup", "restore", each["path"], *seal, "--json", env=env, within=3 * PATIENCE)
            assert restored.returncode == 0, restored.stderr
            assert json.loads(restored.stdout)["rows"] == each["rows"]
            if number:
                has_all(ship, env, data_dir)
        rotated = ship.backup("rotate", "--from", ADDRESS, "--keep-last", "1")
        assert sorted(rotated["deleted"]) == sorted(each["path"] for each in made[:2])
        assert ship.backup("verify", made[2]["path"])["valid"]
    gone = run("backup", "create", "--to", ADDRESS, *seal, env=ship.env, within=3 * PATIENCE)
    assert (gone.returncode, gone.stderr.count("\n")) == (1, 1), gone.stderr


def test_an_instance_is_restored_into_a_postgresql_of_its_own(ship: Ship, empty_database: Database) -> None:
    """The server is another one; owner and application are two roles, of which neither sees all rows by itself."""
    data_dir = ship.directory / "external"
    addresses = {"DATABASE_URL": empty_database.url, "CREWSHIP_MIGRATION_DATABASE_URL": empty_database.owner_url}
    env = environment(data_dir, **addresses)
    made = ship.backup("create", "--passphrase-file", str(ship.passphrase))
    given = ("restore", made["path"], "--passphrase-file", str(ship.passphrase), "--json")
    done = run("backup", *given, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == made["rows"]
    assert not (data_dir / "pg").exists()
    again = run("backup", *given, env=env)
    assert (again.returncode, "is not empty" in again.stderr) == (1, True)
    has_all(ship, env, data_dir)
    back = run("backup", "create", "--passphrase-file", str(ship.passphrase), "--json", env=env)
    assert back.returncode == 0, back.stderr
    assert json.loads(back.stdout)["files"] == made["files"]


OLD = sorted(migrations._revisions(), key=migrations.number)[4]
"""A revision of the history, as an older release would have left it."""
OF_THEN = """
    INSERT INTO users (id, email, full_name, onboarding_completed, failed_login_count)
        VALUES ('c00000000000000000000user', 'old@example.com', 'Old', false, 0);
    INSERT INTO workspaces (id, name, slug, version) VALUES ('c0000000000000000000space', 'Old', 'old', 1);
"""


async def _made_then(settings: Settings, database: Database, folder: Path) -> instance_bundles.MadeBundle:
    async with revisions.connect(database.owner_url) as connection:
        await connection.run_sync(lambda sync: command.upgrade(revisions.config(sync), OLD))
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute(OF_THEN)
    await owner.close()
    access = Access(database.url, database.owner_url, None)
    return await instance_bundles.create(settings, access, Seal(passphrase=PASSPHRASE), folder)


def test_a_bundle_of_an_older_schema_is_migrated(
    empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [number for number in migrations.applied() if number <= migrations.number(OLD)]
    settings = settings_for(empty_database, tmp_path / "then")
    with monkeypatch.context() as then:
        then.setattr(migrations, "head", lambda: OLD)
        then.setattr(migrations, "applied", lambda: numbers)
        made = asyncio.run(_made_then(settings, empty_database, tmp_path / "bundles"))
    assert made.manifest["schema_migration_versions"] == numbers != migrations.applied()
    (tmp_path / "passphrase").write_text(PASSPHRASE)
    given = ("--passphrase-file", str(tmp_path / "passphrase"), "--json")
    env = environment(tmp_path / "now")
    done = run("backup", "restore", str(made.path), *given, env=env, within=3 * PATIENCE)
    assert done.returncode == 0, done.stderr
    with serving(env=env) as served:
        assert ask(served.port, "GET", "/readyz")
        assert served.end() == 0
    again = run("backup", "create", *given, env=env)
    assert again.returncode == 0, again.stderr
    later = json.loads(run("backup", "inspect", json.loads(again.stdout)["path"], "--json", env=env).stdout)
    assert later["schema_revision"] == migrations.head() != OLD
    assert [place["slug"] for place in later["contents"]["workspaces"]] == ["old"]
    assert later["contents"]["rows"]["users"] == 1
    tried = run("backup", "rehearse", str(made.path), "--in", str(tmp_path), *given, env=env, within=3 * PATIENCE)
    assert (tried.returncode, json.loads(tried.stdout)["ok"]) == (0, True), tried.stdout
