"""Bundles in S3: sent, listed, read and deleted; and a server that fails half way, or lies."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from crewship.cli.main import app
from crewship.process import buckets
from crewship.process.database import StartError
from resolvers.instance.bundles.reading import NO_BUNDLE, NOT_WHOLE
from tests.oversight.backups.small import small_bundle
from tests.process.bucket import ADDRESS, OTHER, Bucket, served_bucket


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    monkeypatch.delenv(OTHER, raising=False)
    with served_bucket() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(buckets, "RETRIES", {"max_retries": 0})
        yield Bucket


def called(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["backup", *arguments])


def test_bundles_of_a_bucket_are_listed_read_and_deleted(tmp_path: Path, bucket: type[Bucket]) -> None:
    path, _ = small_bundle(tmp_path, contents={"workspace": {"id": "c0", "slug": "deck", "name": "Deck"}})
    address = buckets.send(path, ADDRESS)
    assert (address, bucket.stored["/vault/ship/small.tar.zst"]) == (f"{ADDRESS}/small.tar.zst", path.read_bytes())
    [entry] = json.loads(called("list", "--from", ADDRESS, "--json").stdout)
    assert (entry["path"], entry["workspace"], entry["sizeBytes"]) == (address, "deck", path.stat().st_size)
    assert called("verify", address, "--open").exit_code == 0
    assert called("rotate", "--from", ADDRESS, "--keep-days", "1").exit_code == 0
    assert not bucket.stored
    gone = called("verify", address)
    assert (gone.exit_code, gone.stderr) == (1, f"crewship: {address} does not exist\n")


def test_a_bucket_that_fails_or_lies_is_noticed(tmp_path: Path, bucket: type[Bucket]) -> None:
    path, _ = small_bundle(tmp_path, contents={"workspace": {"id": "c0", "slug": "deck", "name": "Deck"}})
    bucket.fault = "refuses"
    with pytest.raises(StartError, match="is not accessible"):
        buckets.send(path, ADDRESS)
    bucket.fault = "cuts"
    with pytest.raises(StartError, match="bytes, and is deleted again"):
        buckets.send(path, ADDRESS)
    assert not bucket.stored
    bucket.fault = ""
    address = buckets.send(path, ADDRESS)
    bucket.fault = "changes"
    changed = called("verify", address)
    assert (changed.exit_code, "changed or cut" in changed.stdout) == (1, True)
    bucket.fault = "stops"
    stopped = called("verify", address)
    assert (stopped.exit_code, stopped.stderr.startswith(f"crewship: {address} ")) == (1, True), stopped.output


def test_a_damaged_bundle_of_a_bucket_is_listed(tmp_path: Path, bucket: type[Bucket]) -> None:
    path, _ = small_bundle(tmp_path, scope="instance", contents={})
    names = [f"crewship-instance-2026010{day}T000000Z.tar.zst" for day in range(1, 4)]
    whole = path.read_bytes()
    for name, content in zip(names, (whole, whole[:-1], b""), strict=True):
        bucket.stored[f"/vault/ship/{name}"] = content
    bucket.stored["/vault/ship/blobs/0"] = b""
    found = json.loads(called("list", "--from", ADDRESS, "--json").stdout)
    told = {entry["path"].rpartition("/")[2]: entry["error"] for entry in found}
    assert told == {names[0]: None, names[1]: NOT_WHOLE, names[2]: NO_BUNDLE}
    tried = called("rehearse", "--from", ADDRESS, "--json")
    assert (tried.exit_code, json.loads(tried.stdout)["path"]) == (1, f"{ADDRESS}/{names[2]}")
    assert called("rotate", "--from", ADDRESS, "--keep-days", "1").exit_code == 0
    assert f"/vault/ship/{names[0]}" in bucket.stored
