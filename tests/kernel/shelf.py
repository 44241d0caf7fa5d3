"""A domain of files that only exists while a test looks at it: a table of what was stored, and routes that take and
give the bytes.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlmodel import SQLModel

from models import bounds
from models.base import TenantTable, Timestamps, table_of, tenant_key, text_field
from resolvers.kernel.command import command, procedure
from resolvers.kernel.context import Context
from resolvers.kernel.errors import Code
from resolvers.kernel.inputs import Input, Url
from resolvers.kernel.operation import OPERATIONS, REST_ONLY
from resolvers.kernel.outputs import Output, Success
from resolvers.kernel.policy import Action
from resolvers.kernel.store import Folder, Opened, names_of
from rest_compat.table import DELETE, GET, PUT, Download, Upload

MOST = 4 << 20


class OfPath(Input):
    path: Url


class Saved(Output):
    path: str
    size: int
    new: bool
    media_type: str


class Listed(Output):
    entries: list[tuple[str, str, int]]


@contextlib.contextmanager
def shelf() -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The model and the routes."""

    class Paper(TenantTable, Timestamps, table=True):
        __tablename__ = "papers"
        __table_args__ = (tenant_key(),)
        path: str = text_field(bounds.URL)
        size: int = 0

    before = set(OPERATIONS)
    try:
        yield Paper, routes_of(Paper)
    finally:
        for name in OPERATIONS.keys() - before:
            del OPERATIONS[name]
        SQLModel.metadata.remove(table_of(Paper))
        SQLModel._sa_registry._dispose_cls(Paper)
        type.__delattr__(Paper, "__table__")


def folder_of(ctx: Context) -> Folder:
    return ctx.outside.store.folder("workspaces", str(ctx.workspace_id), "shelf")


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
    )
