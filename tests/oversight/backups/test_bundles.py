"""Bundles of a workspace: made, listed, inspected, verified, sent, deleted; refusals in the order of the contract."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pyrage
import pytest

from crewship.cli.backup import app
from models.oversight.backups import BackupLock
from resolvers.instance.bundles import sealing
from resolvers.instance.bundles.faults import BundleError
from resolvers.instance.bundles.reading import NOT_WHOLE, Bundle
from resolvers.instance.running import instance
from resolvers.oversight.backups import places
from resolvers.oversight.backups.dumping import HEAD, KEYS
from resolvers.oversight.backups.making import GUIDE
from rest_compat.http.routes import operations
from schema.oversight.backups import BackupMutation
from tests.every import each_of
from tests.oversight.backups.small import small_bundle
from tests.world import World, now

pytestmark = [pytest.mark.anyio, pytest.mark.thorough]
BACKUPS = "/api/v1/admin/backups"
CLEAR = {"scope": "workspace", "no_encrypt": True}


async def created(world: World, **body: Any) -> dict[str, Any]:
    answer = await world.rest(world.admin, "POST", BACKUPS, {"scope": "workspace"} | body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def of(world: World, what: str, path: str, person: Any = None, method: str = "GET") -> Any:
    async with world.client(person or world.admin) as client:
        query = {"workspace_id": world.workspace.id, "path": path}
        return await client.request(method, f"{BACKUPS}{what}", params=query)


def content(path: str, identity: str | None = None) -> dict[str, bytes]:
    with Bundle(Path(path)) as bundle, bundle.entries(identity) as entries:
        return {name: file.read() for name, _, file in entries}


async def test_a_bundle_is_made_listed_inspected_verified_sent_and_deleted(world: World) -> None:
    made = await created(world, no_encrypt=True)
    assert (made["scope"], made["scope_level"], made["encrypted"], made["format_version"]) == (
        "workspace", "standard", False, 3,
    )  # fmt: skip
    path = Path(made["path"])
    assert path.is_relative_to(instance.settings.data_dir / "backups")
    assert path.stat().st_size == made["size_bytes"]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    listed = (await world.rest(world.admin, "GET", BACKUPS)).json()["data"]
    assert [(entry["path"], entry["file_name"], entry["size_bytes"]) for entry in listed] == [
        (made["path"], path.name, made["size_bytes"])
    ]
    manifest = (await of(world, "/inspect", made["path"])).json()
    assert manifest["contents"]["workspace"]["id"] == world.workspace.id
    assert manifest["created_by"] == {"user_id": world.admin.user_id, "email": world.admin.email, "role": "ADMIN"}
    assert manifest["checksums"]["payload_sha256"] == made["payload_sha256"]
    rows = manifest["contents"]["rows"]
    assert rows["memberships"] == await world.database.fetchval(
        "SELECT count(*) FROM memberships WHERE workspace_id = $1", world.workspace.id
    )
    verified = (await of(world, "/verify", made["path"])).json()
    assert (verified["valid"], verified["error"]) == (True, "")
    sent = await of(world, "/download", made["path"])
    assert sent.content == path.read_bytes()
    assert sent.headers["content-type"] == "application/zstd"
    assert sent.headers["content-disposition"] == f'attachment; filename="{path.name}"'
    assert "no-store" in sent.headers["cache-control"]
    assert (await of(world, "", made["path"], method="DELETE")).status_code == 204
    assert not path.exists()
    assert (await of(world, "/inspect", made["path"])).status_code == 404
    actions = await world.database.fetch("SELECT action, entity_id FROM audit_logs WHERE entity_type = 'backup'")
    told = {row["action"] for row in actions if row["entity_id"] == made["path"]}
    assert told == {"backup.create", "backup.download", "backup.delete"}


def test_the_guide_in_a_bundle_names_what_exists() -> None:
    (restoring,) = [op for op in operations({}) if op["operation"] == "backups.restore"]
    assert [f"{rest['method']} {rest['path']}" for rest in restoring["rest"]] == ["POST /api/v1/admin/backups/restore"]
    assert hasattr(BackupMutation, "restore_backup")
    assert "`POST /api/v1/admin/backups/restore`" in GUIDE
    assert "`restoreBackup` in GraphQL" in GUIDE
    assert "`crewship backup restore " in GUIDE
    assert "restore" in {command.callback.__name__ for command in app.registered_commands if command.callback}


async def test_a_bundle_has_no_row_of_another_workspace_and_nothing_to_sign_in_with(world: World) -> None:
    await world.database.execute(
        "UPDATE users SET password_hash = '$argon2id$planted' WHERE id = $1", world.member.user_id
    )
    made = await created(world, no_encrypt=True)
    found = content(made["path"])
    everything = b"".join(found.values())
    assert world.workspace.id.encode() in everything
    assert world.other.id.encode() not in everything
    assert world.outsider.user_id.encode() not in everything
    assert b"$argon2id$planted" not in everything
    assert orjson.loads(found[HEAD])["workspace_id"] == world.workspace.id
    assert isinstance(orjson.loads(found[KEYS]), list)


async def test_a_sealed_bundle_is_opened_by_its_key_alone(world: World) -> None:
    identity = pyrage.x25519.Identity.generate()
    by_word = await created(world, passphrase="correct horse")
    by_key = await created(world, recipient=str(identity.to_public()))
    for made in (by_word, by_key):
        assert made["encrypted"] is True
        assert world.admin.user_id.encode() not in Path(made["path"]).read_bytes()
        assert (await of(world, "/verify", made["path"])).json()["valid"] is True
    assert by_word["path"] != by_key["path"]
    with Bundle(Path(by_word["path"])) as bundle:
        key = bundle.key()
    assert key is not None
    assert HEAD in content(by_word["path"], await sealing.identity_of(key, "correct horse"))
    assert HEAD in content(by_key["path"], str(identity))
    told = (await of(world, "/inspect", by_key["path"])).json()["encryption"]
    assert told == {"enabled": True, "algorithm": "age-v1", "recipients": [str(identity.to_public())]}
    told = (await of(world, "/inspect", by_word["path"])).json()["encryption"]
    assert told == {"enabled": True, "algorithm": "age-v1", "key_derivation": "scrypt"}


async def test_files_are_taken_by_content_and_no_link_is_followed(world: World) -> None:
    base = instance.settings.storage_path / "workspaces" / world.workspace.id
    output = base / "crews" / "c1" / "output"
    output.mkdir(parents=True)
    (output / "one.txt").write_bytes(b"same")
    (output / "two.txt").write_bytes(b"same")
    (output / "large.bin").write_bytes(os.urandom(9 << 20))
    (output / "out.txt").symlink_to("/etc/passwd")
    (output / "up").symlink_to("/etc")
    os.mkfifo(output / "pipe")
    home = base / "agents" / "a1" / "home"
    home.mkdir(parents=True)
    (home / "mine").write_bytes(b"mine")
    (base / "gdpr").mkdir()
    (base / "gdpr" / "x.zip").write_bytes(b"an archive")
    found = content((await created(world, no_encrypt=True))["path"])
    paths = [orjson.loads(value)["path"] for name, value in found.items() if name.startswith("files/")]
    assert sorted(paths) == [
        "agents/a1/home/mine",
        *(f"crews/c1/output/{n}" for n in ("large.bin", "one.txt", "two.txt")),
    ]
    assert len([name for name in found if name.startswith("blobs/")]) == 3
    manifest = await created(world, no_encrypt=True, scope_level="quick")
    told = (await of(world, "/inspect", manifest["path"])).json()["contents"]
    assert (told["files"], told["files_skipped"]) == (3, 2)


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({}, "scope"),
    ({"scope": "instance", "no_encrypt": True}, "scope"),
    ({"scope": "galaxy"}, "scope"),
    ({"scope": "WORKSPACE", "no_encrypt": True}, "scope"),
    ({"scope": "crew", "no_encrypt": True}, "crew_id"),
    ({"scope": "crew", "crew_id": "  ", "no_encrypt": True}, "crew_id"),
    ({"scope": "workspace"}, "Exactly one"),
    ({"scope": "workspace", "no_encrypt": False}, "Exactly one"),
    ({"scope": "workspace", "passphrase": "   "}, "Exactly one"),
    ({"scope": "workspace", "passphrase": "pw", "no_encrypt": True}, "Exactly one"),
    ({"scope": "workspace", "recipient": "age1nope", "scope_level": "huge"}, "recipient"),
    (CLEAR | {"output_dir": "/tmp/elsewhere", "scope_level": "huge"}, "output_dir"),
    (CLEAR | {"output_dir": "../x"}, "output_dir"),
    (CLEAR | {"scope_level": "FULL"}, "scope_level"),
    ({"scope": 5, "no_encrypt": True}, "scope"),
    (CLEAR | {"no_encrypt": "yes"}, "no_encrypt"),
]


async def test_what_cannot_be_made_is_refused_in_the_order_of_the_contract(world: World) -> None:
    before = sorted(instance.settings.data_dir.glob("backups/**/*"))
    for body, text in REFUSALS:
        answer = await world.rest(world.admin, "POST", BACKUPS, body)
        assert answer.status_code == 400, (body, answer.text)
        assert text in answer.text, (body, answer.text)
    assert (await world.rest(world.manager, "POST", BACKUPS, {"scope": "galaxy"})).status_code == 403
    assert sorted(instance.settings.data_dir.glob("backups/**/*")) == before


async def test_paths_stay_in_the_directory(world: World) -> None:
    made = (await created(world, no_encrypt=True))["path"]
    link = Path(made).with_name("link.tar.zst")
    link.symlink_to(made)
    Path(made).with_name("notes.txt").write_text("no bundle")
    folder = places.directory() / "folder"
    folder.symlink_to(Path(made).parent)
    wrong = ["", "/etc/passwd", f"{made}/../x", "x.tar.zst", str(link), str(folder / Path(made).name), f"{made}\0"]
    wrong.append(str(places.directory()))
    for what, method in (("/inspect", "GET"), ("/verify", "GET"), ("/download", "GET"), ("", "DELETE")):
        for path in wrong:
            assert (await of(world, what, path, method=method)).status_code == 400, (what, path)
        for none in (made.replace(".tar", "x.tar"), f"{made}x", str(Path(made).with_name("notes.txt"))):
            assert (await of(world, what, none, method=method)).status_code == 404, (what, none)
        assert (await of(world, what, made, world.manager, method)).status_code == 403
    async with world.client(world.outsider) as client:
        query = {"workspace_id": world.other.id, "path": made}
        assert (await client.get(f"{BACKUPS}/inspect", params=query)).status_code == 404
        assert (await client.get(BACKUPS, params={"workspace_id": world.other.id})).json() == {"data": []}
        assert (await client.delete(BACKUPS, params=query)).status_code == 404
    assert Path(made).exists()
    Path(made).with_name("notes.txt").unlink()
    link.unlink()
    folder.unlink()


async def test_one_backup_at_a_time(world: World) -> None:
    began = now()
    await world.database.execute(
        "INSERT INTO backup_locks (workspace_id, acquired_by, acquired_at, expires_at) VALUES ($1, $2, $3, $4)",
        world.workspace.id, world.owner.user_id, began, began + timedelta(hours=1),
    )  # fmt: skip
    status = (await world.rest(world.admin, "GET", f"{BACKUPS}/status")).json()
    assert (status["held"], status["acquired_by"]) == (True, world.owner.user_id)
    refused = await world.rest(world.admin, "POST", BACKUPS, CLEAR)
    assert (refused.status_code, "under way" in refused.text) == (409, True)
    assert (await world.rest(world.admin, "DELETE", f"{BACKUPS}/status")).status_code == 204
    assert (await world.rest(world.admin, "DELETE", f"{BACKUPS}/status")).status_code == 204
    status = (await world.rest(world.admin, "GET", f"{BACKUPS}/status")).json()
    assert status == {"held": False, "workspace_id": world.workspace.id}
    both = await asyncio.gather(*[world.rest(world.admin, "POST", BACKUPS, CLEAR) for _ in range(2)])
    assert sorted(answer.status_code for answer in both) in ([201, 409], [201, 201])
    expired = BackupLock(workspace_id=world.workspace.id, acquired_by="x", expires_at=began)
    await world.database.execute(
        "INSERT INTO backup_locks (workspace_id, acquired_by, expires_at) VALUES ($1, $2, $3)",
        expired.workspace_id, expired.acquired_by, expired.expires_at,
    )  # fmt: skip
    await created(world, no_encrypt=True)
    assert await world.database.fetchval("SELECT count(*) FROM backup_locks") == 0


async def test_bundles_are_rotated_by_number_and_age(world: World) -> None:
    made = [(await created(world, no_encrypt=True))["path"] for _ in range(3)]
    listed = [entry["path"] for entry in (await world.rest(world.admin, "GET", BACKUPS)).json()["data"]]
    assert set(made) <= set(listed)
    for body in ({}, {"keep_last": 0, "keep_days": 0}, {"keep_last": -1}, {"keep_days": -1}):
        assert (await world.rest(world.admin, "POST", f"{BACKUPS}/rotate", body)).status_code == 400
    asked = {"keep_last": 1, "dry_run": True}
    tried = (await world.rest(world.admin, "POST", f"{BACKUPS}/rotate", asked)).json()
    assert (sorted(tried["deleted"]), tried["dry_run"]) == (sorted(listed[1:]), True)
    assert all(Path(path).exists() for path in listed)
    done = (await world.rest(world.admin, "POST", f"{BACKUPS}/rotate", {"keep_last": 1})).json()
    assert sorted(done["deleted"]) == sorted(listed[1:])
    again = (await world.rest(world.admin, "POST", f"{BACKUPS}/rotate", {"keep_last": 1, "keep_days": 30})).json()
    assert again == {"deleted": None, "dry_run": False}


async def test_a_damaged_bundle_is_listed_and_replaces_no_other(world: World) -> None:
    for earlier in places.folder_of(world.workspace.id).iterdir():
        earlier.unlink()
    whole = Path((await created(world, no_encrypt=True))["path"])
    newer = f"crewship-workspace-{world.workspace.slug}-{now() + timedelta(days=1):%Y%m%dT%H%M%SZ}"
    cut, torn = whole.with_name(f"{newer}.tar.zst"), whole.with_name(f"{newer}-2.tar.zst")
    cut.write_bytes(whole.read_bytes()[:-1])
    torn.write_bytes(whole.read_bytes()[:100])
    places.directory().joinpath(torn.name).write_bytes(b"of another workspace, for all that is known")
    listed = (await world.rest(world.admin, "GET", BACKUPS)).json()["data"]
    told = {entry["file_name"]: entry.get("error") for entry in listed}
    assert told == {whole.name: None, cut.name: NOT_WHOLE, torn.name: NOT_WHOLE}
    assert listed[0]["file_name"] == torn.name
    assert (await world.rest(world.admin, "POST", f"{BACKUPS}/rotate", {"keep_last": 1})).json()["deleted"] is None
    assert whole.exists()
    for each in (cut, torn):
        assert (await of(world, "", str(each), method="DELETE")).status_code == 204
        assert not each.exists()
    assert (await of(world, "", str(places.directory() / torn.name), method="DELETE")).status_code == 404
    assert (places.directory() / torn.name).exists()


async def test_what_a_killed_process_left_is_removed(world: World) -> None:
    folder = places.folder_of(world.workspace.id)
    old, young = folder / ".xpayload.partial", folder / "crewship-x.tar.zst.partial"
    for each in (old, young):
        each.write_bytes(b"half")
    os.utime(old, (1, 1))
    await created(world, no_encrypt=True)
    assert (old.exists(), young.exists()) == (False, True)
    assert str(young) not in (await world.rest(world.admin, "GET", BACKUPS)).text
    young.unlink()


@each_of("mode", ["clear", "sealed"])
async def test_a_bundle_with_any_byte_changed_or_cut_is_not_valid(tmp_path: Path, mode: str) -> None:
    path, _ = small_bundle(tmp_path, sealed=mode == "sealed")
    whole = path.read_bytes()
    with Bundle(path) as bundle:
        assert bundle.fault() == ""
    changed = tmp_path / "changed.tar.zst"

    def is_valid(content: bytes) -> bool:
        changed.write_bytes(content)
        try:
            with Bundle(changed) as bundle:
                return not bundle.fault()
        except BundleError:
            return False

    for at in range(len(whole)):
        for flip in (0x01, 0x80, 0xFF):
            assert not is_valid(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :]), at
        assert not is_valid(whole[:at]), at
    assert not is_valid(whole + b"\0")
    assert is_valid(whole)
