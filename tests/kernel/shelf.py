"""A domain of files that exists only in tests: a table of what was stored, and routes that take and give the bytes."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import httpx2
import orjson
from sqlmodel import SQLModel

from models import bounds
from models.base import TenantTable, Timestamps, table_of, tenant_key, text_field
from models.personal_data import NOTHING
from resolvers.errors import Code
from resolvers.instance.store import Folder, Opened, names_of
from resolvers.kernel.declarations.operation import OPERATIONS, REST_ONLY
from resolvers.kernel.declarations.outputs import Output, Success
from resolvers.kernel.declarations.query import QueryScope, query
from resolvers.kernel.ground.inputs import Input, Int, NoInput, Paging, Url
from resolvers.kernel.ground.policy import Action
from resolvers.kernel.ground.streamed import Streamed
from resolvers.kernel.reader import EVERYONE, GRAPHS, Page, Rows, graph
from resolvers.kernel.writing.command import command, procedure
from resolvers.kernel.writing.context import Context
from resolvers.kernel.writing.walking import pages
from rest_compat.http.table import DELETE, GET, PUT, ByKey, Download, From, Streaming, Upload, ValueOf, Wire
from tests.world import Person, World

MOST = 4 << 20
watched: list[str] = []
"""What became of those who watch."""


class OfPath(Input):
    path: Url


class OfSize(OfPath):
    size: Int


class Saved(Output):
    path: str
    size: int
    new: bool
    media_type: str


class ListPapers(Paging):
    """A page of what was stored."""

    page_maximum = 50


class Listed(Output):
    entries: list[tuple[str, str, int]]


@contextlib.contextmanager
def shelf() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The model and the routes."""

    class Paper(TenantTable, Timestamps, table=True):
        __tablename__ = "papers"
        __table_args__ = (tenant_key(),)
        path: str = text_field(bounds.URL, holds=NOTHING)
        size: int = 0

    before = set(OPERATIONS)
    try:
        yield Paper, routes_of(Paper)
    finally:
        for name in OPERATIONS.keys() - before:
            del OPERATIONS[name]
        GRAPHS.pop(Paper, None)
        SQLModel.metadata.remove(table_of(Paper))
        type.__delattr__(Paper, "__table__")


def folder_of(ctx: Context) -> Folder:
    return ctx.outside.store.folder("workspaces", str(ctx.workspace_id), "shelf")


def sizes_of(Paper: Any) -> tuple[Any, ...]:
    """Routes of an object by key, and of one of its values."""

    @query("test.sizes", surfaces=REST_ONLY)
    def sizes(scope: QueryScope, data: NoInput) -> Rows[Any]:
        """List the sizes of what was stored."""
        return scope.select(Paper).order_by(table_of(Paper).c.path)

    sizes.returns = Rows[Paper]

    @command("test.resize", Action.CREATE, surfaces=REST_ONLY, errors=(Code.CONFLICT,))
    async def resize(ctx: Context, data: OfSize) -> None:
        """Note a size."""
        await ctx.delete_where(Paper, table_of(Paper).c.path == data.path)
        await ctx.insert(Paper(path=data.path, size=data.size))

    class SizesJSON(ByKey, of=Paper):
        """Sizes in bytes, by path."""

        key: Annotated[str, From("path")]
        value: Annotated[int, From("size")]

    return (
        GET("/api/v1/shelf/sizes", sizes, SizesJSON),
        PUT("/api/v1/shelf/sizes/{path}", resize, status=204, body=ValueOf("size"), body_limit=100),
    )


def lists_of(Paper: Any) -> tuple[Any, ...]:
    """Routes whose answers go on."""
    graph(Paper, gate=Action.READ, scope="workspace:read", visible=EVERYONE)

    @query("test.papers", surfaces=REST_ONLY)
    def papers(scope: QueryScope, data: ListPapers) -> Page[Any]:
        """List what was stored."""
        return scope.select(Paper).order_by(table_of(Paper).c.path).page(data)

    papers.returns = Page[Paper]

    @procedure("test.export", surfaces=REST_ONLY, late=True)
    async def export(ctx: Context, data: NoInput) -> Streamed:
        """Export what was stored."""

        async def lines() -> AsyncGenerator[bytes, None]:
            async for rows, _ in pages(ctx, papers, {}):
                yield b"".join(orjson.dumps(row) + b"\n" for row in rows)

        return Streamed(lines(), "application/x-ndjson", name="papers.ndjson")

    @procedure("test.watch", surfaces=REST_ONLY, late=True)
    async def watch(ctx: Context, data: NoInput) -> Streamed:
        """Watch what is stored."""

        async def events() -> AsyncGenerator[bytes, None]:
            place = None
            try:
                while True:
                    async for rows, behind in pages(ctx, papers, {}, place):
                        place = behind
                        yield b"".join(b"data: %b\n\n" % orjson.dumps(row) for row in rows)
                    yield b":\n\n"
                    await asyncio.sleep(0.05)
            finally:
                watched.append("ended")

        return Streamed(events(), "text/event-stream", endless=True)

    class PaperJSON(Wire, of=Paper):
        path: str
        size: int

    return (
        *sizes_of(Paper),
        GET("/api/v1/shelf/export", export, list[PaperJSON], gives=Streaming("application/x-ndjson")),
        GET("/api/v1/shelf/watch", watch, list[PaperJSON], gives=Streaming("text/event-stream")),
    )


def routes_of(Paper: Any) -> tuple[Any, ...]:
    errors = (Code.NOT_FOUND, Code.CONFLICT, Code.TOO_LARGE)

    @command("test.save", Action.CREATE, surfaces=REST_ONLY, late=True, errors=errors)
    async def save(ctx: Context, data: OfPath) -> Saved:
        """Store a file."""
        names_of(data.path)
        assert ctx.request.upload is not None
        folder = folder_of(ctx)
        async with ctx.outside.store.receive(ctx.request.upload) as received:
            await ctx.begin()
            new = await folder.keep(received, data.path)
            await ctx.insert(Paper(path=data.path, size=received.size))
        return Saved(path=data.path, size=received.size, new=new, media_type=ctx.request.upload.media_type)

    @procedure("test.download", surfaces=REST_ONLY, errors=errors)
    async def download(ctx: Context, data: OfPath) -> Opened:
        """Read a file."""
        return await folder_of(ctx).open(data.path)

    @procedure("test.listed", surfaces=REST_ONLY, errors=errors)
    async def listed(ctx: Context, data: OfPath) -> Listed:
        entries = await folder_of(ctx).list(data.path.strip("."))
        return Listed(entries=[(entry.path, entry.kind, entry.size) for entry in entries])

    @command("test.remove", Action.MANAGE, surfaces=REST_ONLY, late=True, errors=errors)
    async def remove(ctx: Context, data: OfPath) -> Success:
        await folder_of(ctx).remove(data.path)
        return Success()

    return (
        PUT("/api/v1/shelf/file", save, Saved, body=Upload(most=MOST)),
        GET("/api/v1/shelf/file", download, gives=Download()),
        DELETE("/api/v1/shelf/file", remove, Success),
        GET("/api/v1/shelf", listed, Listed),
        *lists_of(Paper),
    )


@dataclass
class Shelf:
    world: World
    routes: tuple[Any, ...]

    @property
    def root(self) -> Path:
        return self.world.settings.storage_path

    def folder(self, workspace: str = "") -> Path:
        return self.root / "workspaces" / (workspace or self.world.workspace.id) / "shelf"

    @property
    def incoming(self) -> list[str]:
        return os.listdir(self.root / "incoming") if (self.root / "incoming").exists() else []

    async def papers(self) -> list[tuple[str, int]]:
        return [
            tuple(row)
            for row in await self.world.database.fetch("SELECT path, size FROM papers ORDER BY created_at, id")
        ]

    async def ask(
        self,
        method: str,
        path: str,
        content: Any = None,
        *,
        who: Person | None = None,
        workspace: str = "",
        **headers: str,
    ) -> httpx2.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        query = {"workspace_id": workspace or self.world.workspace.id, "path": path}
        return await self.world.client(who or self.world.owner).request(
            method, "/api/v1/shelf/file", params=query, content=content, headers=given
        )

    @contextlib.asynccontextmanager
    async def line(
        self, method: str, path: str, *headers: str, who: Person | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A socket on which a request's head was sent."""
        at = urlsplit(self.world.url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        target = f"/api/v1/shelf/file?workspace_id={self.world.workspace.id}&path={quote(path)}"
        lines = [
            f"{method} {target} HTTP/1.1",
            "host: crew",
            f"authorization: Bearer {(who or self.world.owner).token}",
            *headers,
            "",
            "",
        ]
        writer.write("\r\n".join(lines).encode())
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def begun(self) -> None:
        """Until one upload is on its way."""
        async with asyncio.timeout(5):
            while len(self.incoming) != 1:
                await asyncio.sleep(0.01)

    async def gone(self) -> None:
        """Until nothing is on its way."""
        async with asyncio.timeout(5):
            while self.incoming:
                await asyncio.sleep(0.02)


async def status(reader: asyncio.StreamReader) -> int:
    return int((await asyncio.wait_for(reader.readline(), 10)).split()[1])
