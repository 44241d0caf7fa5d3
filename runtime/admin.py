"""The bodies of administration: an archive of a person's data, and the end of archives."""

import tempfile
import zipfile
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import IO, Any, Final

import orjson
from sqlalchemy import or_, select
from sqlmodel import SQLModel, col

from models.auth import User
from models.base import TenantRow, readable, table_of
from models.gdpr import GdprAction, GdprStatus
from models.personal_data import held_in
from resolvers.admin.archive import ARCHIVE, FOLDER, KEPT, OfAction
from resolvers.admin.erasure import of_accounts, tenants
from resolvers.errors import Code, Refusal
from resolvers.instance.running import instance
from resolvers.instance.store import Arriving
from resolvers.kernel.clocks import AcrossWorkspaces, clock
from resolvers.kernel.context import Context
from resolvers.kernel.persons import belongs_elsewhere
from runtime.background import Work, carries
from runtime.clocks import Tick, ticks

PORTION: Final = 1_000
MOST_BYTES: Final = 64 << 30
EXPIRE = clock("admin.expire_archives", every=timedelta(hours=1))
EXPIRED: Final = (
    "SELECT id, workspace_id FROM gdpr_actions WHERE expires_at < now() AND archive_bytes IS NOT NULL LIMIT $1"
)
ENDED: Final = "UPDATE gdpr_actions SET archive_bytes = NULL WHERE id = ANY ($1)"


@carries(ARCHIVE)
async def archive(work: Work, data: OfAction) -> None:
    action = await work.read(lambda ctx: ctx.get(GdprAction, data.action_id))
    if action.status is not GdprStatus.in_progress:
        return
    with tempfile.TemporaryFile() as file:
        counted = dict[str, int]()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            models: list[type[SQLModel]] = [User, *tenants()]
            if not await work.read(lambda ctx: belongs_elsewhere(ctx, action.subject_id)):
                models += of_accounts()  # else they are not this workspace's to give away
            for model in models:
                await _add(work, made, model, action.subject_id, counted)
        size = file.tell()
        file.seek(0)
        folder = instance.store.folder("workspaces", work.workspace_id, FOLDER)
        async with instance.store.receive(Arriving(_content(file), MOST_BYTES)) as received:
            await folder.keep(received, f"{action.id}.zip")

    async def complete(ctx: Context) -> None:
        now = await ctx.now()
        ended: dict[str, Any] = {"status": GdprStatus.completed, "completed_at": now, "expires_at": now + KEPT}
        named = col(GdprAction.id) == data.action_id
        await ctx.update_where(GdprAction, named, scope=counted, archive_bytes=size, **ended)

    await work.write("complete", complete)


async def _content(file: IO[bytes]) -> AsyncIterator[bytes]:
    while part := file.read(1 << 20):
        yield part


async def _add(work: Work, made: zipfile.ZipFile, model: type[SQLModel], person: str, counted: dict[str, int]) -> None:
    """The rows of a table that are the person's, or by the person: a line each."""
    kept, name = held_in(table_of(model)), f"{table_of(model).name}"
    keys = (*kept.whose, *kept.by)
    if not keys:
        return
    columns = [column for column in readable(model) if column not in kept.hidden]
    order = [column.name for column in table_of(model).primary_key.columns]
    with made.open(f"{name}.ndjson", "w") as lines:
        number = 0
        while True:

            async def look(ctx: Context, start: int = number) -> list[Any]:
                rows = table_of(model).c  # whoever may see them: they are the person's
                here = [rows["workspace_id"] == ctx.workspace_id] if issubclass(model, TenantRow) else []
                own = or_(*[rows[key] == person for key in keys])
                found = select(*[rows[column] for column in columns]).where(own, *here)
                return await ctx.report(found.order_by(*[rows[key] for key in order]).offset(start).limit(PORTION))

            rows = await work.read(look)
            for row in rows:
                lines.write(orjson.dumps(dict(row), default=_written, option=orjson.OPT_APPEND_NEWLINE))
            number += len(rows)
            if len(rows) < PORTION:
                break
    if number:
        counted[name] = number


def _written(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


@ticks(EXPIRE)
async def expire(tick: Tick) -> None:
    """Files go before their rows forget them: what is cut off is done again."""
    rows = await tick.write(lambda rows: rows.fetch(EXPIRED, PORTION))
    for row in rows:
        try:
            await instance.store.folder("workspaces", row["workspace_id"], FOLDER).remove(f"{row['id']}.zip")
        except Refusal as refusal:
            if refusal.code is not Code.NOT_FOUND:
                raise

    async def forget(across: AcrossWorkspaces) -> None:
        await across.fetch(ENDED, [row["id"] for row in rows])

    await tick.write(forget)
