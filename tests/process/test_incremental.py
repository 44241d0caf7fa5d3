"""Incremental bundles: each content is sent once, is sealed, and stays for as long as a bundle needs it."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyrage
import pytest
from typer.testing import CliRunner

from crewship.cli.main import app
from crewship.process import incremental
from crewship.process.blob_stores import FolderPlace
from crewship.process.database import StartError
from crewship.process.incremental import (
    GRACE,
    KEY,
    LEAST,
    MARK,
    Apart,
    BesideBundles,
    key_of,
    mark,
    missing_beside,
    sizes,
    sweep,
)
from resolvers.instance.bundles.beside import CHANGED, MISSING
from resolvers.instance.bundles.files import Counted, add_files
from resolvers.instance.bundles.reading import Bundle
from resolvers.instance.bundles.sealing import Sealing
from resolvers.instance.bundles.writing import Payload, write_bundle
from tests.process.bucket import ADDRESS, OTHER, Bucket, served_bucket

pytestmark = pytest.mark.thorough

IDENTITY = pyrage.x25519.Identity.generate()
SEAL = Sealing(str(IDENTITY.to_public()))
LARGE = {name: name.encode() * LEAST for name in ("one", "two", "six")}


def files_of(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for each in folder.iterdir():
        each.unlink()
    for name in names:
        (folder / name).write_bytes(LARGE.get(name, name.encode()))
    return folder


def made(folder: Path, files: Path, day: int, seal: Sealing = SEAL) -> tuple[Path, Apart]:
    """A bundle of an instance, without a database."""
    apart = Apart(FolderPlace(folder), seal, "a secret of the instance", folder)
    payload, counted = Payload(folder, seal), Counted()
    base = os.open(files, os.O_RDONLY)
    list(add_files(payload, base, frozenset(), counted, apart))
    os.close(base)
    blobs = apart.finish()
    _, digest = payload.finish()
    manifest: dict[str, Any] = {
        "format_version": 3,
        "scope": "instance",
        "contents": {"rows": {}, "files": counted.files, "file_bytes": counted.bytes, **apart.counted},
        "encryption": {"enabled": True},
        "created_at": f"2026-01-{day:02}T00:00:00Z",
        "created_by": {"user_id": "", "email": "", "role": "OPERATOR"},
        "crewship_version_at_backup": "0.1.0",
        "schema_migration_versions": [2026120100],
        "compatible_targets": ["any-instance"],
        "source_instance": {"hostname": "here", "platform": "linux/x86_64"},
        "checksums": {"payload_sha256": f"sha256:{digest}", "content_bytes": payload.content},
    }
    path = folder / f"crewship-instance-202601{day:02}T000000Z.tar.zst"
    write_bundle(path, orjson.dumps(manifest), "How to restore it", seal.key, payload, blobs or None)
    payload.close()
    return path, apart


def called(*arguments: str, **given: Any) -> Any:
    return CliRunner().invoke(app, ["backup", *arguments], **given)


def is_whole(path: Path) -> bool:
    identity = path.parent / "identity"
    identity.write_text(str(IDENTITY))
    done = called("verify", str(path), "--open", "--identity-file", str(identity))
    assert done.exit_code in (0, 1), done.output
    return bool(done.exit_code == 0)


def contents(folder: Path) -> list[Path]:
    return sorted(each for each in (folder / "blobs").glob("*/*") if each.is_file())


def grow_old(folder: Path) -> None:
    then = time.time() - GRACE - 60
    for each in folder.rglob("*"):
        os.utime(each, (then, then))


def test_a_content_is_sent_once_and_sealed(tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    folder.mkdir()
    files = tmp_path / "files"
    first, sent = made(folder, files_of(files, "one", "two", "small"), 1)
    (folder / "blobs" / "copy.tar.zst").write_bytes(b"no bundle")  # nothing among the contents is listed
    assert len(json.loads(called("list", "--from", str(folder), "--json").stdout)) == 1
    assert (sent.sent, len(contents(folder)), is_whole(first)) == (2, 2, True)
    second, sent = made(folder, files_of(files, "two", "six", "small"), 2)
    assert (sent.sent, sent.counted["blobs"], len(contents(folder)), is_whole(second)) == (1, 2, 3, True)
    third, sent = made(folder, files_of(files, "one", "two", "six"), 3)
    assert (sent.sent, sent.counted["blobs"], is_whole(third)) == (0, 3, True)
    for path in contents(folder):
        assert b"one" * 9 not in path.read_bytes()
        assert path.stat().st_mode & 0o777 == 0o600
    other = Sealing(str(pyrage.x25519.Identity.generate().to_public()))
    _, sent = made(folder, files, 4, other)
    assert sent.sent == 3
    names = [path.name for path in contents(folder)]
    assert len(set(names)) == len(names) == 6  # equal contents under two keys have different names


def test_a_changed_or_missing_content_is_noticed_and_sent_again(tmp_path: Path) -> None:
    folder, files = tmp_path, tmp_path / "files"
    path, _ = made(folder, files_of(files, "one", "two"), 1)
    [first, second] = contents(folder)
    sealed = bytearray(first.read_bytes())
    sealed[len(sealed) // 2] ^= 1
    first.write_bytes(sealed)
    shown = called("verify", str(path), "--json")
    assert (shown.exit_code, "was changed or cut" in json.loads(shown.stdout)["error"]) == (1, True)
    second.unlink()
    shown = called("verify", str(path))
    assert (shown.exit_code, "The bundle needs" in shown.stdout) == (1, True)
    later, sent = made(folder, files, 2)
    assert sent.sent == 1  # the one that is missing; only `verify` notices a changed one
    first.write_bytes(bytes(sealed[:-1]))
    later, sent = made(folder, files, 3)
    assert (sent.sent, is_whole(later)) == (1, True)


def test_a_bundle_without_its_contents_is_damaged_in_a_folder_and_in_a_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, files = tmp_path / "vault", tmp_path / "files"
    folder.mkdir()
    old, _ = made(folder, files_of(files, "one"), 1)
    new, _ = made(folder, files_of(files, "one", "two"), 2)
    [own] = contents_of(new) - contents_of(old)
    stored = {
        f"/vault/ship/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    monkeypatch.delenv(OTHER, raising=False)
    with served_bucket() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for place in (str(folder), ADDRESS):
            for size, said in ((None, MISSING), (-1, CHANGED), (0, None)):
                Bucket.stored.clear()
                Bucket.stored.update(stored)
                content = stored[f"/vault/ship/blobs/{own}"]
                if size is None:
                    (folder / "blobs" / own).unlink()
                    del Bucket.stored[f"/vault/ship/blobs/{own}"]
                else:
                    (folder / "blobs" / own).write_bytes(content[: len(content) + size])
                    Bucket.stored[f"/vault/ship/blobs/{own}"] = content[: len(content) + size]
                listed = json.loads(called("list", "--from", place, "--json").stdout)
                fault = said and said.format(own)
                assert [(entry["path"], entry["error"]) for entry in listed] == [
                    (f"{place}/{new.name}", fault),
                    (f"{place}/{old.name}", None),
                ]
                # the oldest stays for as long as it alone is whole
                gone = {"--keep-last": [] if fault else [old], "--keep-days": [new] if fault else [new, old]}
                for limit, names in gone.items():
                    done = json.loads(called("rotate", "--from", place, limit, "1", "--dry-run", "--json").stdout)
                    assert done["deleted"] == [f"{place}/{path.name}" for path in names], (place, said, limit)
                    assert done["damaged"] == ([f"{place}/{new.name}"] if fault and not names else [])


def contents_of(path: Path) -> set[str]:
    with Bundle(path) as bundle:
        return {blob.path for blob in bundle.blobs()}


def test_a_list_of_contents_beyond_the_head_is_read(tmp_path: Path) -> None:
    """The head that a bucket has sent ends before the list does."""
    path, _ = made(tmp_path, files_of(tmp_path / "files", "one"), 1)
    head = tmp_path / "head"
    place = FolderPlace(tmp_path)
    head.write_bytes(path.read_bytes()[:200])
    there = sizes(place)
    assert missing_beside(place, path.name, head, path.stat().st_size, there) == ""
    assert "is not beside it" in missing_beside(place, path.name, head, path.stat().st_size, {})


def test_a_rotation_keeps_what_a_bundle_needs(tmp_path: Path) -> None:
    folder, files = tmp_path / "vault", tmp_path / "files"
    folder.mkdir()
    old, _ = made(folder, files_of(files, "one", "two"), 1)
    new, _ = made(folder, files_of(files, "two", "six"), 2)
    rotate = ("rotate", "--from", str(folder), "--keep-last", "1", "--json")
    grow_old(folder)
    assert json.loads(called(*rotate).stdout)["deleted"] == [str(old)]
    assert [entry["path"] for entry in json.loads(called("list", "--from", str(folder), "--json").stdout)] == [str(new)]
    assert (len(contents(folder)), is_whole(old)) == (3, True)  # a bundle that is made now can rely on them
    begun = Apart(FolderPlace(folder), SEAL, "a secret of the instance", folder)
    assert len(begun._known) == 2  # contents that only a marked bundle has are sent again
    assert called(*rotate).exit_code == 0
    assert len(contents(folder)) == 3
    grow_old(folder)
    assert json.loads(called(*rotate).stdout)["deleted"] == []
    assert (old.exists(), len(contents(folder)), is_whole(new)) == (False, 2, True)
    assert not list(folder.glob("*" + MARK))


def test_nothing_is_deleted_beside_a_bundle_that_cannot_be_read(tmp_path: Path) -> None:
    folder, files = tmp_path, tmp_path / "files"
    path, _ = made(folder, files_of(files, "one", "two"), 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:300])
    made(folder, files_of(files, "six"), 2)
    grow_old(folder)
    done = called("rotate", "--from", str(folder), "--keep-last", "9")
    assert (done.exit_code, f"{path} cannot be read, and may need them" in done.stderr) == (0, True)
    path.write_bytes(whole)
    assert is_whole(path)


def test_a_sweep_that_ends_anywhere_is_continued(tmp_path: Path) -> None:
    files = tmp_path / "files"
    steps = 0
    while True:
        folder = tmp_path / f"vault-{steps}"
        folder.mkdir()
        old, _ = made(folder, files_of(files, "one", "two"), 1)
        new, _ = made(folder, files_of(files, "two", "six"), 2)
        place = FolderPlace(folder)
        mark(place, old.name)
        (folder / "blobs" / "20260101T000000Z-00000000").mkdir()
        (folder / "blobs" / "20260101T000000Z-00000000" / ("0" * 64)).write_bytes(b"of a bundle that never came")
        grow_old(folder)
        ended = interrupted(place, steps)
        assert is_whole(new)
        sweep(FolderPlace(folder))
        assert (old.exists(), len(contents(folder)), is_whole(new)) == (False, 2, True)
        if not ended:
            break
        steps += 1
    assert steps == 4


def interrupted(place: FolderPlace, after: int) -> bool:
    """Ends a sweep after so many deletions; False if there were not as many."""
    delete: Callable[[str], None] = place.delete
    done = list[str]()

    def limited(path: str) -> None:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(path)
        delete(path)

    place.delete = limited  # type: ignore[method-assign]
    try:
        sweep(place)
    except KeyboardInterrupt:
        return True
    return False


def test_a_bundle_relies_on_nothing_that_could_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, files = tmp_path, tmp_path / "files"
    made(folder, files_of(files, "one"), 1)
    apart = Apart(FolderPlace(folder), SEAL, "a secret of the instance", folder)
    with open(files / "one", "rb") as content:
        [known] = contents(folder)
        assert apart(bundle_sha(files / "one"), 3 * LEAST, content) == f"{known.parent.name}/{known.name}"
    known.unlink()
    with pytest.raises(StartError, match="deleted meanwhile"):
        apart.finish()
    monkeypatch.setattr(incremental, "LONGEST", -1.0)
    with pytest.raises(StartError, match="longer than a day"):
        apart.finish()


def bundle_sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.anyio
async def test_a_place_has_one_passphrase(tmp_path: Path) -> None:
    place = FolderPlace(tmp_path)
    first = await key_of(place, "the first passphrase")
    assert (tmp_path / KEY).read_bytes() == first.key
    assert await key_of(place, "the first passphrase") == first
    with pytest.raises(StartError, match="sealed with another passphrase"):
        await key_of(place, "the second passphrase")


def test_each_content_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, read = files_of(tmp_path / "files", "one", "two"), list[str]()
    (files / "again").write_bytes(LARGE["one"])
    path, _ = made(tmp_path, files, 1)
    opened = BesideBundles.opened

    def counted(self: BesideBundles, path: str) -> Any:
        read.append(path)
        return opened(self, path)

    monkeypatch.setattr(BesideBundles, "opened", counted)
    assert is_whole(path)
    assert sorted(read) == sorted(contents_of(path))
    assert called("verify", str(path)).exit_code == 0
    assert len(read) == 4
    for change in (lambda sealed: sealed + b"x", lambda sealed: sealed[:-1], lambda sealed: b"x" + sealed[1:]):
        [first, *_] = contents(tmp_path)
        whole = first.read_bytes()
        first.write_bytes(change(whole))
        assert not is_whole(path)
        first.write_bytes(whole)
    assert is_whole(path)


def test_a_content_that_no_file_has_is_compared_too(tmp_path: Path) -> None:
    path, _ = made(tmp_path, files_of(tmp_path / "files", "one"), 1)
    with Bundle(path) as bundle:
        manifest = dict(bundle.manifest)
        [blob] = bundle.blobs()
    other, content = f"20260101T000000Z-00000000/{'0' * 64}", b"of no file"
    line = f"{other} {hashlib.sha256(content).hexdigest()} {len(content)}\n".encode()
    payload = Payload(tmp_path, SEAL)
    _, digest = payload.finish()
    manifest |= {"checksums": {"payload_sha256": f"sha256:{digest}", "content_bytes": 0}}
    manifest["contents"] = {**manifest["contents"], "blobs": 2}
    second = tmp_path / "second.tar.zst"
    write_bundle(second, orjson.dumps(manifest), "", None, payload, line + blob.line)
    payload.close()
    assert not is_whole(second)
    (tmp_path / "blobs" / other).parent.mkdir()
    (tmp_path / "blobs" / other).write_bytes(content)
    assert is_whole(second)
    (tmp_path / "blobs" / other).write_bytes(content[::-1])
    assert not is_whole(second)


def test_a_list_of_contents_leads_nowhere_else(tmp_path: Path) -> None:
    path, _ = made(tmp_path, files_of(tmp_path / "files", "one"), 1)
    with Bundle(path) as bundle:
        [blob] = bundle.blobs()
    for line in (b"../../etc/passwd 0 1\n", blob.line.replace(b"/", b"/../"), blob.line[:-1], b"x" * 10_000):
        payload = Payload(tmp_path, SEAL)
        _, digest = payload.finish()
        with Bundle(path) as bundle:
            manifest = bundle.manifest | {"checksums": {"payload_sha256": f"sha256:{digest}", "content_bytes": 0}}
        other = tmp_path / "other.tar.zst"
        write_bundle(other, orjson.dumps(manifest), "", None, payload, line)
        payload.close()
        shown = called("verify", str(other))
        assert (shown.exit_code, "list of contents" in shown.stdout) == (1, True), line
