"""Files over real sockets: what is taken, and from whom; and that nobody leaves their own folder."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from resolvers.instance import store
from resolvers.kernel.declarations.operation import OPERATIONS, REST_ONLY
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.ground.streamed import Streamed
from resolvers.kernel.store.database import database
from resolvers.kernel.writing.command import command, procedure
from resolvers.kernel.writing.context import Context
from rest_compat.http import openapi
from rest_compat.http.table import GET, PUT, Download, Streaming, Upload
from tests.every import each_of
from tests.kernel.shelf import MOST, OfPath, Shelf, status

pytestmark = pytest.mark.anyio


# ---- uploads ---------------------------------------------------------------------------------------------------------


async def test_a_file_is_stored_and_given_back(kept: Shelf) -> None:
    content = os.urandom(3 << 20)
    answer = await kept.ask("PUT", "a/b/file.bin", content, content_type="image/png")
    assert answer.status_code == 200
    assert answer.json() == {"path": "a/b/file.bin", "size": len(content), "new": True, "media_type": "image/png"}
    file = kept.folder() / "a/b/file.bin"
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o600
    given = await kept.ask("GET", "a/b/file.bin")
    assert (given.status_code, given.content) == (200, content)
    assert given.headers["content-type"] == "application/octet-stream"
    assert given.headers["content-disposition"] == 'attachment; filename="file.bin"'
    assert given.headers.get_list("x-content-type-options") == ["nosniff"]
    assert ("a/b/file.bin", len(content)) in await kept.papers()
    again = await kept.ask("PUT", "a/b/file.bin", b"other")
    assert again.json()["new"] is False
    assert file.read_bytes() == b"other"
    assert kept.incoming == []


@pytest.mark.parametrize("size", [0, 1, MOST])
async def test_sizes_up_to_the_most(kept: Shelf, size: int) -> None:
    assert (await kept.ask("PUT", f"size-{size}", b"x" * size)).status_code == 200
    given = await kept.ask("GET", f"size-{size}")
    assert given.content == b"x" * size
    assert given.headers["content-length"] == str(size)


async def test_a_body_that_says_it_is_too_large_is_not_read(kept: Shelf) -> None:
    for length in (MOST + 1, 2 << 30):
        async with kept.line("PUT", "huge", f"content-length: {length}", "expect: 100-continue") as (reader, _):
            assert await status(reader) == 413
    assert not (kept.folder() / "huge").exists()
    assert kept.incoming == []


async def test_a_body_of_no_length_ends_at_the_most(kept: Shelf) -> None:
    async def parts(size: int) -> AsyncIterator[bytes]:
        for _ in range(size >> 16):
            yield b"x" * (1 << 16)
        yield b"x" * (size & 0xFFFF)

    assert (await kept.ask("PUT", "chunked", parts(MOST))).json()["size"] == MOST
    async with kept.line("PUT", "beyond", "transfer-encoding: chunked") as (reader, writer):
        for _ in range((MOST >> 16) + 1):
            writer.write(b"10000\r\n" + b"x" * (1 << 16) + b"\r\n")
            await writer.drain()
        assert await status(reader) == 413
    await kept.gone()
    assert not (kept.folder() / "beyond").exists()


async def test_nothing_is_read_for_who_may_not_send(kept: Shelf) -> None:
    papers = await kept.papers()
    for who, expected in ((kept.world.viewer, 403), (kept.world.outsider, 403)):
        async with kept.line("PUT", "denied", "content-length: 1000000", "expect: 100-continue", who=who) as (
            reader,
            _,
        ):
            assert await status(reader) == expected
    client = kept.world.client(kept.world.viewer)
    for _ in range(2):  # whoever sends it all the same is told, on a connection that goes on
        query = {"workspace_id": kept.world.workspace.id, "path": "denied"}
        assert (await client.put("/api/v1/shelf/file", params=query, content=b"x" * (3 << 20))).status_code == 403
    async with kept.line("PUT", "../denied", "content-length: 1000000", "expect: 100-continue") as (reader, _):
        assert await status(reader) == 400
    async with kept.line("PUT", "welcome", "content-length: 2", "expect: 100-continue") as (reader, writer):
        assert await status(reader) == 100
        await reader.readline()
        writer.write(b"ok")
        assert await status(reader) == 200
    assert await kept.papers() == [*papers, ("welcome", 2)]
    assert not (kept.folder() / "denied").exists()


@pytest.mark.slow
async def test_a_slow_upload_is_on_the_disk_and_holds_no_connection(
    kept: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = store.LocalReceived.write
    monkeypatch.setattr(
        store.LocalReceived, "write", lambda self, content: (written.append(len(content)), write(self, content))[1]
    )
    async with kept.line("PUT", "slow", f"content-length: {3 << 20}") as (reader, writer):
        for _ in range(5):
            writer.write(b"x" * (1 << 19))
            await writer.drain()
            await asyncio.sleep(0.1)
            await kept.begun()
            assert database.connections().busy == 0
            assert not (kept.folder() / "slow").exists()
        writer.write(b"x" * (1 << 19))
        assert await status(reader) == 200
    assert sum(written) == 3 << 20
    assert max(written) < store.WRITTEN + (1 << 17)
    assert kept.incoming == []


@pytest.mark.parametrize("chunked", [False, True])
async def test_an_upload_that_breaks_off_leaves_nothing(kept: Shelf, chunked: bool) -> None:
    await kept.ask("PUT", "broken", b"before")
    papers = await kept.papers()
    async with kept.line("PUT", "broken", "transfer-encoding: chunked" if chunked else f"content-length: {MOST}") as (
        _,
        writer,
    ):
        body = b"x" * (1 << 20)
        writer.write(b"100000\r\n" + body + b"\r\n" if chunked else body)
        await writer.drain()
        await kept.begun()
    await kept.gone()
    assert (kept.folder() / "broken").read_bytes() == b"before"
    assert await kept.papers() == papers


async def test_what_is_refused_within_the_transaction_leaves_nothing(kept: Shelf) -> None:
    await kept.ask("PUT", "folder/file", b"x")
    papers = await kept.papers()
    for path in ("folder", "folder/file/below"):
        assert (await kept.ask("PUT", path, b"y")).status_code == 409
    assert kept.incoming == []
    assert await kept.papers() == papers


async def test_a_repeated_upload_is_no_replay(kept: Shelf) -> None:
    answer = await kept.ask("PUT", "keyed", b"x", idempotency_key="k")
    assert answer.status_code == 400
    assert not (kept.folder() / "keyed").exists()


# ---- confinement -----------------------------------------------------------------------------------------------------


PATHS = [
    "",
    "..",
    "../x",
    "a/../x",
    "a/..",
    "/etc/passwd",
    "a\0b",
    "a%2fb",
    "%2E%2E/x",
    "..%5Cx",
    "x" * 256,
    "ü" * 128,
    "/".join("abcdefgh" * 5),
]


@each_of("path", PATHS, ids=range(len(PATHS)))
async def test_a_path_that_could_lead_elsewhere_is_refused(kept: Shelf, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert (await kept.ask(method, path, b"x" if method == "PUT" else None)).status_code == 400
    assert kept.incoming == []


async def test_no_link_is_followed(kept: Shelf, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    await kept.ask("PUT", "links/own", b"own")
    here = kept.folder() / "links"
    (here / "file").symlink_to(secret)
    (here / "directory").symlink_to(tmp_path)
    (here / "inside").symlink_to("own")
    os.mkfifo(here / "pipe")
    with (
        socket.socket(socket.AF_UNIX) as listening,
        contextlib.chdir(here),
    ):  # the whole path is longer than a socket's may be
        listening.bind("socket")
    for path in ("file", "directory", "directory/secret", "inside", "pipe", "socket", "own/below", "nothing", "."):
        given = await kept.ask("GET", f"links/{path}")
        assert (given.status_code, given.json()["detail"]) == (404, "File not found")
    for path, expected in (
        ("file", 400),
        ("inside", 400),
        ("directory/secret", 409),
        ("directory/new", 409),
        ("pipe", 409),
    ):
        assert (await kept.ask("PUT", f"links/{path}", b"changed")).status_code == expected, path
    assert secret.read_bytes() == b"secret"
    assert sorted(os.listdir(tmp_path)) == ["secret"]
    assert (here / "own").read_bytes() == b"own"
    assert (await kept.ask("DELETE", "links/file")).status_code == 200
    assert secret.exists()
    assert (await kept.ask("DELETE", "links/directory/secret")).status_code == 404
    query = {"workspace_id": kept.world.workspace.id, "path": "links"}
    listed = (await kept.world.client(kept.world.owner).get("/api/v1/shelf", params=query)).json()["entries"]
    assert [(path, kind) for path, kind, _ in listed] == [
        ("links/directory", "link"), ("links/inside", "link"), ("links/own", "file"), ("links/pipe", "other"),
        ("links/socket", "other"),
    ]  # fmt: skip


async def test_two_workspaces_share_no_path(kept: Shelf) -> None:
    world = kept.world
    await kept.ask("PUT", "shared/name", b"ours")
    await kept.ask("PUT", "shared/name", b"theirs", who=world.outsider, workspace=world.other.id)
    assert (await kept.ask("GET", "shared/name")).content == b"ours"
    assert (await kept.ask("GET", "shared/name", who=world.outsider, workspace=world.other.id)).content == b"theirs"
    assert (await kept.ask("GET", "shared/name", who=world.outsider)).status_code == 403
    assert (await kept.ask("GET", "shared/name", workspace=world.other.id)).status_code == 403
    assert (await kept.ask("DELETE", "shared/name", who=world.outsider, workspace=world.other.id)).status_code == 200
    assert (kept.folder() / "shared/name").read_bytes() == b"ours"
    assert not (kept.folder(world.other.id) / "shared/name").exists()


# ---- declarations ----------------------------------------------------------------------------------------------------


async def endless(ctx: Context, data: OfPath) -> Streamed:
    raise AssertionError


async def test_what_takes_a_file_is_late_and_rests_alone(kept: Shelf) -> None:
    async def save(ctx: Context, data: OfPath) -> None: ...

    for name, options, fault in (
        ("test.early", {"surfaces": REST_ONLY}, "late"),
        ("test.both", {"late": True}, "only REST takes"),
    ):
        made = command(name, Action.CREATE, **options)(save)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=fault):
            PUT("/api/v1/early", made, body=Upload(1))
        del OPERATIONS[name]
    for route in kept.routes[:2]:
        with pytest.raises(TypeError, match="Download"):
            GET("/api/v1/other", route.operation, gives=None if route.gives else Download())
    for name, options, gives, fault in (
        ("test.waits", {}, Streaming("text/plain"), "would hold a connection"),
        ("test.plain", {"late": True}, None, "a Streaming where"),
    ):
        going_on = procedure(name, surfaces=REST_ONLY, **options)(endless)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=fault):
            GET("/api/v1/other", going_on, gives=gives)
        del OPERATIONS[name]


async def test_the_document_says_what_is_taken_and_given(kept: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi, "ROUTES", kept.routes)
    paths = openapi.document()["paths"]["/api/v1/shelf/file"]
    assert paths["put"]["requestBody"]["content"] == {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary", "maxLength": MOST}}
    }
    assert "path" in [parameter["name"] for parameter in paths["put"]["parameters"]]
    assert {"200", "206", "304", "416", "404"} <= paths["get"]["responses"].keys()
    assert "application/octet-stream" in paths["get"]["responses"]["206"]["content"]
