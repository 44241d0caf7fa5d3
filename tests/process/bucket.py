"""A server that speaks as much of S3 as bundles need, and fails on demand."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

ADDRESS = "s3://vault/ship"
OTHER = "CREWSHIP_TEST_S3"
"""The address of another server with a bucket `vault`, for tests that ask for nothing but S3."""


class Bucket(BaseHTTPRequestHandler):
    """`fault` says how it fails."""

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
        if self.headers.get("If-None-Match") == "*" and urlsplit(self.path).path in self.stored:
            return self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
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
            asked = {name: values[0] for name, values in parse_qs(place.query).items()}
            return self.answer(200, listing(self.stored, asked.get("prefix", ""), asked.get("delimiter")))
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


def listing(stored: dict[str, bytes], prefix: str, delimiter: str | None) -> bytes:
    each, above = "", set[str]()
    for name, content in list(stored.items()):
        if not (key := name.removeprefix("/vault/")).startswith(prefix):
            continue
        rest = key.removeprefix(prefix)
        if delimiter is not None and delimiter in rest:
            above.add(prefix + rest.split(delimiter)[0] + delimiter)
            continue
        each += f"<Contents><Key>{key}</Key><Size>{len(content)}</Size><ETag>e</ETag>"
        each += f"<LastModified>{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}</LastModified></Contents>"
    each += "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in above)
    return f"<ListBucketResult><Name>vault</Name>{each}</ListBucketResult>".encode()


@contextmanager
def served_bucket() -> Iterator[dict[str, str]]:
    """The variables of a client."""
    given = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "1"}
    if (other := os.environ.get(OTHER)) is not None:
        yield given | {"AWS_ENDPOINT_URL": other}
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    Bucket.stored.clear()
    Bucket.fault = ""
    try:
        yield given | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
