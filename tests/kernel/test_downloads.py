"""Files over real sockets: what is given, which part of it, and under which name."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import pytest

from rest_compat.http.streams import disposition
from tests.every import each_of
from tests.kernel.shelf import Shelf, status

pytestmark = pytest.mark.anyio
TEXT = bytes(range(256)) * 40  # 10,240 bytes


@each_of(
    ("asked", "expected"),
    [
        ("bytes=0-0", (0, 1)), ("bytes=0-", (0, 10240)), ("bytes=100-199", (100, 200)), ("bytes=-1", (10239, 10240)),
        ("bytes=-99999", (0, 10240)),
        ("bytes=10239-", (10239, 10240)), ("bytes=10000-99999", (10000, 10240)), ("bytes=5-6", (5, 7)),
        ("bytes=10240-", 416), ("bytes=99999-", 416), ("bytes=-0", 416),
        ("bytes=5-4", 200), ("bytes=-", 200), ("bytes=a-b", 200), ("bytes=0-1,3-4", 200), ("lines=0-1", 200),
        ("bytes 0-1", 200), ("bytes=0x1-2", 200),
        ("bytes=" + "9" * 30 + "-", 200),
    ],
)  # fmt: skip
async def test_one_range_of_bytes(kept: Shelf, asked: str, expected: Any) -> None:
    await kept.ask("PUT", "ranges", TEXT)
    given = await kept.ask("GET", "ranges", range=asked)
    if expected == 416:
        assert (given.status_code, given.headers["content-range"]) == (416, "bytes */10240")
        assert given.json()["status"] == 416
    elif expected == 200:
        assert (given.status_code, given.content) == (200, TEXT)
        assert "content-range" not in given.headers
    else:
        start, end = expected
        assert (given.status_code, given.content) == (206, TEXT[start:end])
        assert given.headers["content-range"] == f"bytes {start}-{end - 1}/10240"
    assert given.headers["accept-ranges"] == "bytes"


async def test_an_empty_file_has_no_range(kept: Shelf) -> None:
    await kept.ask("PUT", "empty", b"")
    assert (await kept.ask("GET", "empty", range="bytes=0-")).status_code == 416
    assert (await kept.ask("GET", "empty", range="bytes=-5")).status_code == 416


async def test_a_tag_says_whether_it_is_the_same_file(kept: Shelf) -> None:
    await kept.ask("PUT", "tagged", TEXT)
    tag = (await kept.ask("GET", "tagged")).headers["etag"]
    assert (await kept.ask("GET", "tagged")).headers["etag"] == tag
    for given in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        known = await kept.ask("GET", "tagged", if_none_match=given, range="bytes=0-1")
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert (await kept.ask("GET", "tagged", if_none_match='"other"')).status_code == 200
    assert (await kept.ask("GET", "tagged", if_match=tag)).status_code == 200
    assert (await kept.ask("GET", "tagged", if_match=f"W/{tag}")).status_code == 412
    assert (await kept.ask("GET", "tagged", if_range=tag, range="bytes=0-1")).status_code == 206
    await kept.ask("PUT", "tagged", TEXT)
    other = await kept.ask("GET", "tagged", if_none_match=tag)
    assert (other.status_code, other.headers["etag"] != tag) == (200, True)
    assert (await kept.ask("GET", "tagged", if_match=tag)).status_code == 412
    assert (await kept.ask("GET", "tagged", if_range=tag, range="bytes=0-1")).content == TEXT
    assert (
        await kept.ask("GET", "tagged", if_range="Wed, 21 Oct 2015 07:28:00 GMT", range="bytes=0-1")
    ).content == TEXT


async def test_a_head_is_all_but_the_body(kept: Shelf) -> None:
    await kept.ask("PUT", "headed", TEXT)
    given, head = await kept.ask("GET", "headed"), await kept.ask("HEAD", "headed", range="bytes=0-1")
    assert (head.status_code, head.content) == (200, b"")
    volatile = {"date", "x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in volatile} == {
        k: v for k, v in given.headers.items() if k not in volatile
    }


async def test_requests_of_the_same_bytes_on_one_connection(kept: Shelf) -> None:
    """The second and third are known to the server before they are parsed; they are served all the same."""
    await kept.ask("PUT", "again", b"12345")
    async with kept.line("GET", "again") as (reader, writer):
        for turn in range(3):
            if turn:
                target = f"/api/v1/shelf/file?workspace_id={kept.world.workspace.id}&path=again"
                bearer = f"authorization: Bearer {kept.world.owner.token}"
                writer.write(f"GET {target} HTTP/1.1\r\nhost: crew\r\n{bearer}\r\n\r\n".encode())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(5) == b"12345"


def open_files(path: Path) -> int:
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found += os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(path))
    return found


async def test_who_leaves_early_leaves_no_file_open(kept: Shelf) -> None:
    file = kept.folder() / "large"
    await kept.ask("PUT", "large", b"x")
    with file.open("wb") as made:
        made.truncate(1 << 30)
    async with kept.line("GET", "large") as (reader, writer):
        assert await status(reader) == 200
        await reader.readexactly(1 << 20)
        assert open_files(file) == 1
        writer.transport.abort()
    async with asyncio.timeout(5):
        while open_files(file):
            await asyncio.sleep(0.02)


async def test_a_file_that_shrinks_ends_the_connection(kept: Shelf) -> None:
    file = kept.folder() / "shrinking"
    await kept.ask("PUT", "shrinking", b"x")
    with file.open("wb") as made:
        made.truncate(64 << 20)
    async with kept.line("GET", "shrinking") as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        os.truncate(file, 0)
        with contextlib.suppress(ConnectionResetError):
            received = 0
            while part := await asyncio.wait_for(reader.read(1 << 20), 10):
                received += len(part)
        assert received < 64 << 20
    assert open_files(file) == 0


NAMES = [
    ("ünï ☃.txt", "attachment; filename=\"_n_ _.txt\"; filename*=UTF-8''%C3%BCn%C3%AF%20%E2%98%83.txt"),
    ('quo"te\\d;x=.txt', 'attachment; filename="quo_te_d;x=.txt"'),
    ("line\r\nSet-Cookie: a=b", 'attachment; filename="line__Set-Cookie: a=b"'),
    ("cod\u202egpj.exe", 'attachment; filename="cod_gpj.exe"'),
    ("%41.txt", 'attachment; filename="%41.txt"'),
]


@each_of(("name", "expected"), NAMES)
async def test_a_name_is_told_so_that_it_means_nothing_else(kept: Shelf, name: str, expected: str) -> None:
    assert (await kept.ask("PUT", f"names/{name}", b"x")).status_code == 200
    given = await kept.ask("GET", f"names/{name}")
    assert given.headers["content-disposition"] == expected
    assert "set-cookie" not in given.headers
    assert disposition(" ") == b'attachment; filename="download"'
