"""Answers that go on, over real sockets: whole or visibly cut, for as long as there is a right to them."""

import asyncio
import contextlib
import json
from types import SimpleNamespace
from typing import Any

import pytest

from resolvers.kernel.ground import streamed
from resolvers.kernel.store.database import database
from tests.kernel import shelf as shelves
from tests.kernel.shelf import Shelf, status

pytestmark = pytest.mark.anyio


async def stored(kept: Shelf, number: int, prefix: str) -> list[str]:
    """Paths of that many rows, written past the routes."""
    await kept.world.database.execute(
        "INSERT INTO papers (id, workspace_id, path, size, created_at, updated_at) SELECT 'c' || md5($2 || n), $1,"
        " $2 || lpad(n::text, 5, '0'), n, now(), now() FROM generate_series(1, $3) n",
        kept.world.workspace.id,
        prefix,
        number,
    )
    return [f"{prefix}{n:05}" for n in range(1, number + 1)]


@contextlib.asynccontextmanager
async def line(kept: Shelf, what: str, who: Any = None) -> Any:
    at = kept.world.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(at[0], int(at[1].strip("/")))
    writer.write(
        f"GET /api/v1/shelf/{what}?workspace_id={kept.world.workspace.id} HTTP/1.1\r\nhost: crew\r\n"
        f"authorization: Bearer {(who or kept.world.owner).token}\r\n\r\n".encode()
    )
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await asyncio.wait_for(reader.read(), 10)
    return b""


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_every_row_once_and_in_order(kept: Shelf) -> None:
    paths = await stored(kept, 175, "all-")
    given = await kept.world.client(kept.world.viewer).get(
        "/api/v1/shelf/export", params={"workspace_id": kept.world.workspace.id}
    )
    assert (given.status_code, given.headers["content-type"]) == (200, "application/x-ndjson")
    assert given.headers["content-disposition"] == 'attachment; filename="papers.ndjson"'
    assert given.headers["cache-control"] == "private, no-store"
    found = [json.loads(row) for row in given.text.splitlines()]
    assert [row["path"] for row in found if row["path"].startswith("all-")] == paths
    assert len({row["path"] for row in found}) == len(found)
    await until(lambda: not streamed._open)


async def test_who_may_not_is_told_before_it_begins(kept: Shelf) -> None:
    for who, expected in ((kept.world.outsider, 403), (None, 401)):
        client = kept.world.client(who)
        for what in ("export", "watch"):
            given = await client.get(f"/api/v1/shelf/{what}", params={"workspace_id": kept.world.workspace.id})
            assert (given.status_code, "error" in given.json()) == (expected, True)


async def test_head_is_the_head_alone(kept: Shelf) -> None:
    client = kept.world.client(kept.world.owner)
    for what, kind in (("export", "application/x-ndjson"), ("watch", "text/event-stream")):
        given = await client.head(f"/api/v1/shelf/{what}", params={"workspace_id": kept.world.workspace.id})
        assert (given.status_code, given.headers["content-type"], given.content) == (200, kind, b"")
    await until(lambda: not streamed._open)


async def test_a_right_that_ends_cuts_the_answer(kept: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    await stored(kept, 120, "cut-")
    viewer, workspace, database = kept.world.viewer, kept.world.workspace, kept.world.database
    walk, role = shelves.pages, "UPDATE memberships SET user_id = $1 WHERE id = $2"

    async def until_removed(*given: Any) -> Any:
        async for page in walk(*given):
            yield page
            await database.execute(role, kept.world.outsider.user_id, viewer.membership_id)

    monkeypatch.setattr(shelves, "pages", until_removed)
    try:
        async with line(kept, "export", viewer) as (reader, _):
            assert await status(reader) == 200
            text = await rest_of(reader)
    finally:
        await database.execute(role, viewer.user_id, viewer.membership_id)
    assert text.count(b'"path"') == 50  # one page
    assert not text.endswith(b"0\r\n\r\n")  # the last chunk: without it the answer is incomplete
    assert workspace.id not in text.decode()


async def test_one_without_an_end_tells_what_comes(kept: Shelf) -> None:
    before = len(shelves.watched)
    async with line(kept, "watch") as (reader, _):
        assert await status(reader) == 200
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"cache-control: no-cache" in head
        assert b"x-accel-buffering: no" in head
        await reader.readuntil(b":\n\n")
        assert database.connections().busy == 0
        await stored(kept, 1, "zz-new-")
        assert b"zz-new-00001" in await asyncio.wait_for(reader.readuntil(b"zz-new-00001"), 5)
        assert sum(streamed._open.values()) == 1
    await until(lambda: len(shelves.watched) > before)  # who leaves is not written for
    await until(lambda: not streamed._open)


async def test_there_are_so_many_of_a_user(kept: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "instance", SimpleNamespace(settings=SimpleNamespace(max_sockets=2)))
    async with contextlib.AsyncExitStack() as stack:
        for expected in (200, 200, 429):
            reader, _ = await stack.enter_async_context(line(kept, "watch"))
            assert await status(reader) == expected
        other, _ = await stack.enter_async_context(line(kept, "watch", kept.world.viewer))
        assert await status(other) == 200
    await until(lambda: not streamed._open)
