"""Bundles in S3: sent, listed, read and deleted; and a server that fails half way, or lies."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from crewship.cli.main import app
from crewship.process import buckets
from crewship.process.database import StartError
from resolvers.instance.bundles.reading import NO_BUNDLE, NOT_WHOLE
from tests.oversight.backups.small import small_bundle

ADDRESS = "s3://vault/ship"


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as bundles need. `fault` says how it fails."""

    protocol_version = "HTTP/1.1"
    stored: ClassVar[dict[str, bytes]] = {}
    fault: ClassVar[str] = ""

    def log_message(self, *_: Any) -> None: ...

    def answer(self, status: int, content: bytes = b"", announced: int | None = None, **headers: str) -> None:
        self.send_response(status)
        size = len(content) if announced is None else announced
        given = {"Content-Length": str(size), "ETag": '"e"', "Last-Modified": "Tue, 01 Dec 2026 00:00:00 GMT"}
        for name, value in (given | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)
        if announced not in (None, len(content)):
            self.close_connection = True

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.fault == "refuses":
            return self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        self.stored[urlsplit(self.path).path] = content[: len(content) // 2] if self.fault == "cuts" else content
        self.answer(200)

    def do_HEAD(self) -> None:
        found = self.stored.get(urlsplit(self.path).path)
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Length", str(len(found or b"")))
        self.send_header("Last-Modified", "Tue, 01 Dec 2026 00:00:00 GMT")
        self.send_header("ETag", '"e"')
        self.end_headers()

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if "list-type" in place.query:
            each = "".join(
                f"<Contents><Key>{name.removeprefix('/vault/')}</Key><Size>{len(content)}</Size><ETag>e</ETag>"
                "<LastModified>2026-12-01T00:00:00.000Z</LastModified></Contents>"
                for name, content in self.stored.items()
            )
            return self.answer(200, f"<ListBucketResult><Name>vault</Name>{each}</ListBucketResult>".encode())
        found = self.stored.get(place.path)
        if found is None:
            return self.answer(404)
        if self.fault == "changes":
            found = found[:-1] + bytes([found[-1] ^ 1])
        if self.fault == "stops":
            return self.answer(200, found[: len(found) // 2], announced=len(found))
        if (wanted := self.headers.get("Range")) is not None:
            first, last = map(int, wanted.removeprefix("bytes=").split("-"))
            part = found[first : last + 1]
            whole = f"bytes {first}-{first + len(part) - 1}/{len(found)}"
            return self.answer(206, part, Content_Range=whole)
        self.answer(200, found)

    def do_POST(self) -> None:
        """Deletes the named ones."""
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        keys = re.findall("<Key>([^<]*)</Key>", asked)
        for key in keys:
            self.stored.pop(f"/vault/{key}", None)
        gone = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self.answer(200, f"<DeleteResult>{gone}</DeleteResult>".encode())


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    given = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    for name, value in (given | {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(buckets, "RETRIES", {"max_retries": 0})
    Bucket.stored.clear()
    Bucket.fault = ""
    yield Bucket
    server.shutdown()
    thread.join()
    server.server_close()


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
