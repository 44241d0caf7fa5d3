"""`crewship backup`: an operator makes a bundle, loses everything, and has it again."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest
from typer.testing import CliRunner

from crewship.cli.main import app
from resolvers.instance.bundles.reading import NOT_WHOLE
from tests.oversight.backups.small import small_bundle
from tests.process.commands import PATIENCE, environment, migrated, run, serving, until
from tests.process.ships import PASSPHRASE, Ship, ask

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def ship() -> Iterator[Ship]:
    directory = Path(tempfile.mkdtemp(prefix="crewship-"))
    yield Ship(directory)
    shutil.rmtree(directory)


def test_bundles_are_listed_inspected_verified_and_rotated_without_a_database(tmp_path: Path) -> None:
    def called(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["backup", *arguments], env={"CREWSHIP_DATA_DIR": str(tmp_path)})

    (tmp_path / "backups").mkdir()
    path, _ = small_bundle(tmp_path / "backups", contents={"workspace": {"id": "c0", "slug": "deck", "name": "Deck"}})
    [entry] = json.loads(called("list", "--json").stdout)
    assert (entry["path"], entry["workspace"], entry["encrypted"]) == (str(path), "deck", False)
    assert "deck" in called("inspect", path.name).stdout
    assert called("verify", path.name, "--open").exit_code == 0
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    changed = called("verify", str(path), "--json")
    assert (changed.exit_code, json.loads(changed.stdout)["valid"]) == (1, False)
    assert called("rotate").exit_code == 2
    assert called("rotate", "--keep-days", "1", "--dry-run").stdout == f"would be deleted: {path}\n"
    assert path.exists()
    assert called("rotate", "--keep-days", "1").exit_code == 0
    assert not path.exists()
    missing = called("inspect", str(path))
    assert (missing.exit_code, missing.stderr.startswith("crewship: ")) == (1, True)


def test_a_damaged_bundle_is_listed_and_is_the_one_to_rehearse(tmp_path: Path) -> None:
    def called(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["backup", *arguments], env={"CREWSHIP_DATA_DIR": str(tmp_path)})

    folder = tmp_path / "backups" / "instance"
    folder.mkdir(parents=True)
    small, _ = small_bundle(folder, scope="instance", contents={"rows": {"labels": 1}})
    whole = small.rename(folder / "crewship-instance-20260101T000000Z.tar.zst")
    damaged = folder / "crewship-instance-20260102T000000Z.tar.zst"
    damaged.write_bytes(whole.read_bytes()[:200])
    found = json.loads(called("list", "--json").stdout)
    assert [(entry["path"], entry["scope"], entry["createdAt"]) for entry in found] == [
        (str(damaged), "instance", "2026-01-02T00:00:00Z"),
        (str(whole), "instance", "2026-01-01T00:00:00Z"),
    ]
    assert (found[0]["error"], found[0]["encrypted"], found[1]["error"]) == (NOT_WHOLE, None, None)
    shown = called("list")
    assert "\tdamaged\t" in shown.stdout
    assert shown.stderr == f"crewship: {damaged} is damaged: {NOT_WHOLE}\n"
    tried = called("rehearse", "--json")
    assert (tried.exit_code, tried.stderr) == (1, "")
    told = json.loads(tried.stdout)
    assert (told["ok"], told["path"], told["createdAt"]) == (False, str(damaged), "2026-01-02T00:00:00Z")
    assert told["error"] == NOT_WHOLE
    for limits in (("--keep-last", "1"), ("--keep-days", "1"), ("--keep-last", "1", "--keep-days", "1")):
        kept = called("rotate", *limits, "--dry-run", "--json")
        assert str(whole) not in json.loads(kept.stdout)["deleted"], limits
    nowhere = called("list", "--from", str(tmp_path / "nowhere"))
    assert (nowhere.exit_code, "cannot be read" in nowhere.stderr) == (1, True)


@pytest.mark.slow
def test_an_instance_is_restored_where_nothing_is(ship: Ship) -> None:
    env = environment(ship.directory / "new")
    wrong = ship.directory / "wrong"
    wrong.write_text("another passphrase\n")
    refused = run("backup", "restore", ship.instance["path"], "--passphrase-file", str(wrong), env=env)
    assert (refused.returncode, refused.stderr) == (
        1,
        "crewship: The passphrase or the identity does not open this bundle\n",
    )
    given = ("--passphrase-file", str(ship.passphrase))
    dry = run("backup", "restore", ship.instance["path"], *given, "--dry-run", env=env)
    assert dry.returncode == 0, dry.stderr
    assert not (ship.directory / "new").exists()
    done = run("backup", "restore", ship.instance["path"], *given, "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == ship.instance["rows"] > 10
    again = run("backup", "restore", ship.instance["path"], *given, env=env)
    assert again.returncode == 1
    assert "has a database already" in again.stderr
    with serving(env=env) as served:
        at = f"?workspace_id={ship.workspace}"
        assert [crew["slug"] for crew in ask(served.port, "GET", f"/api/v1/crews{at}", ship.token)] == ["deck"]
        ask(served.port, "POST", f"/api/v1/labels{at}", ship.token, {"name": "new", "color": "#ff0000"})
        assert served.end() == 0
    resealed = run("keys", "rotate", "--data-keys", env=env)
    assert (resealed.returncode, "; 0 values" in resealed.stdout) == (0, True), resealed.stdout
    audited = run("audit", "verify", "--json", env=env)
    assert (audited.returncode, json.loads(audited.stdout)["faults"]) == (0, []), audited.stdout


@pytest.mark.slow
def test_a_workspace_is_restored_beside_itself(ship: Ship) -> None:
    done = ship.backup("restore", ship.one["path"], "--as-workspace", "copy")
    assert (done["workspace"], done["rows"] > 2) == ("copy", True)
    over = run("backup", "restore", ship.one["path"], env=ship.env)
    assert (over.returncode, over.stderr) == (1, "crewship: Nothing was restored: every row is there already\n")
    stranger = run("backup", "restore", ship.one["path"], "--workspace", "nowhere", env=ship.env)
    assert (stranger.returncode, "there is no workspace nowhere" in stranger.stderr) == (1, True)


@pytest.mark.slow
def test_a_crew_is_restored_beside_itself(ship: Ship) -> None:
    made = ship.backup("create", "--workspace", ship.slug, "--crew", "deck", "--no-encrypt")
    assert (made["scope"], made["workspace"], made["crew"]) == ("crew", ship.slug, "deck")
    done = ship.backup("restore", made["path"], "--as-crew", "deck-two")
    assert (done["scope"], done["workspace"], done["workspaceId"]) == ("crew", ship.slug, ship.workspace)
    again = run("backup", "restore", made["path"], "--as-crew", "deck-two", env=ship.env)
    assert (again.returncode, "slug" in again.stderr) == (1, True), again.stderr
    second = ship.backup("create", "--workspace", ship.slug, "--crew", "deck-two", "--no-encrypt")
    assert second["rows"] == made["rows"]
    for arguments, status in (
        (("create", "--crew", "deck", "--no-encrypt"), 2),
        (("create", "--workspace", ship.slug, "--crew", "nowhere", "--no-encrypt"), 1),
        (("restore", made["path"], "--as-workspace", "x"), 1),
    ):
        assert run("backup", *arguments, env=ship.env).returncode == status, arguments


def test_bundles_of_each_crew_are_rotated_apart(tmp_path: Path) -> None:
    """Frequent bundles of a crew take no place of those of another crew, or of the workspace."""
    folder = tmp_path / "backups"
    folder.mkdir()
    kept = list[Path]()
    for scope, crew in (("workspace", None), ("crew", "deck"), ("crew", "hold")):
        for day in (1, 2):
            contents: dict[str, Any] = {"workspace": {"id": "c0", "slug": "ship", "name": "Ship"}}
            if crew is not None:
                of = {"id": crew, "slug": crew, "name": crew, "agent_count": 0}
                parts = ("devcontainer_config", "mise_config", "workspace", "memory")
                contents["crews"] = [of | {f"{part}_included": False for part in parts}]
            made, _ = small_bundle(folder, scope=scope, contents=contents, created_at=f"2026-01-0{day}T00:00:00Z")
            kept.append(made.rename(folder / f"crewship-{scope}-{crew or 'ship'}-2026010{day}T000000Z.tar.zst"))
    (folder / "crewship-crew-deck-20260103T000000Z.tar.zst").write_bytes(b"cut")

    def called(*arguments: str) -> Any:
        done = CliRunner().invoke(app, ["backup", *arguments, "--json"], env={"CREWSHIP_DATA_DIR": str(tmp_path)})
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    found = {(entry["scope"], entry["workspace"], entry["crew"]) for entry in called("list")}
    assert found == {
        ("workspace", "ship", None),
        ("crew", "ship", "deck"),
        ("crew", "ship", "hold"),
        ("crew", None, "deck"),
    }
    assert sorted(called("rotate", "--keep-last", "1", "--scope", "crew", "--dry-run")["deleted"]) == sorted(
        str(path) for path in (kept[2], kept[4])
    )
    assert sorted(called("rotate", "--keep-last", "1")["deleted"]) == sorted(str(path) for path in kept[::2])
    assert [path.exists() for path in kept] == [False, True] * 3


def test_a_bundle_of_the_instance_is_never_in_clear(ship: Ship) -> None:
    refused = run("backup", "create", "--no-encrypt", env=ship.env)
    assert (refused.returncode, "always sealed" in refused.stderr) == (1, True)
    identity = pyrage.x25519.Identity.generate()
    made = ship.backup("create", "--recipient", str(identity.to_public()))
    content = Path(made["path"]).read_bytes()
    key = (ship.data_dir / "secrets.env").read_text().split("ENCRYPTION_KEY=")[1].split()[0]
    assert key.encode() not in content
    (ship.directory / "identity").write_text(str(identity))
    opened = ("verify", made["path"], "--open", "--identity-file", str(ship.directory / "identity"))
    assert ship.backup(*opened)["valid"]
    listed = json.loads(run("backup", "list", "--json", env=ship.env).stdout)
    assert made["path"] in [entry["path"] for entry in listed]


@pytest.mark.slow
def test_a_rehearsal_restores_elsewhere_and_tells_the_metrics(ship: Ship) -> None:
    given = ("--passphrase-file", str(ship.passphrase), "--in", str(ship.directory))
    before = sorted(ship.directory.iterdir())
    done = ship.backup("rehearse", ship.instance["path"], *given)
    assert (done["ok"], done["differing"], done["unopenable"], done["auditFaults"]) == (True, [], 0, 0)
    assert (done["rows"], done["secrets"] >= 1, done["auditRows"] > 0) == (ship.instance["rows"], True, True)
    assert sorted(ship.directory.iterdir()) == before
    with serving(env=ship.env) as served:
        metrics = ask(served.port, "GET", "/metrics").decode()
        assert served.end() == 0
    assert "crewship_backup_rehearsal_success 1.0" in metrics
    listed = json.loads(run("backup", "list", "--json", env=ship.env).stdout)
    newest = next(entry for entry in listed if entry["scope"] == "instance")
    assert f"crewship_backup_size_bytes {float(newest['sizeBytes'])}" in metrics
    assert "crewship_backup_last_success_timestamp_seconds 1." in metrics
    content = bytearray(Path(ship.instance["path"]).read_bytes())
    content[-1000] ^= 1  # in the payload, after the manifest
    changed = ship.directory / "changed.tar.zst"
    changed.write_bytes(content)
    failed = run("backup", "rehearse", str(changed), *given, env=ship.env)
    assert failed.returncode == 1
    assert "The bundle was changed or cut" in failed.stdout + failed.stderr
    damaged = ship.data_dir / "backups" / "instance" / "crewship-instance-20990101T000000Z.tar.zst"
    damaged.write_bytes(content[:-100])
    assert run("backup", "rehearse", *given, env=ship.env).returncode == 1
    made = ship.backup("create", "--passphrase-file", str(ship.passphrase))
    with serving(env=ship.env) as served:
        metrics = ask(served.port, "GET", "/metrics").decode()
        assert served.end() == 0
    assert "crewship_backup_rehearsal_success 0.0" in metrics
    assert "crewship_backup_damaged 1.0" in metrics
    damaged.unlink()
    Path(made["path"]).unlink()


@pytest.mark.slow
def test_a_server_backs_itself_up_and_rehearses(ship: Ship) -> None:
    def shown() -> str:
        return str(ask(served.port, "GET", "/metrics").decode())

    env = environment(
        migrated(ship.directory / "daily"),
        CREWSHIP_BACKUP_KEEP="2",
        CREWSHIP_BACKUP_PASSPHRASE=PASSPHRASE,
        CREWSHIP_BACKUP_INCREMENTAL="true",
    )
    folder = ship.directory / "daily" / "backups" / "instance"
    with serving(env=env) as served:
        until(lambda: "crewship_backup_rehearsal_success 1.0" in shown(), within=3 * PATIENCE)
        assert served.end() == 0
    [made] = folder.glob("*.tar.zst")
    assert (folder / "blobs" / "key").exists()
    assert str(made) in run("backup", "list", env=env).stdout
