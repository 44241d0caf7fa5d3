"""The bodies of administration: an archive of a person's data, and the end of archives."""

import asyncio
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import IO, Any, Final

import orjson
from sqlalchemy import or_, select
from sqlmodel import SQLModel, col

from models.base import readable, table_of
from models.people.auth import User
from models.people.gdpr import GdprAction, GdprStatus
from models.people.workspaces import Membership
from models.personal_data import held_in
from models.staff.chats import ChatAttachment
from models.work.issues import IssueAttachment
from resolvers.errors import Code, Refusal
from resolvers.instance.confined import ATTACHMENTS
from resolvers.instance.running import instance
from resolvers.instance.store import Arriving, Folder
from resolvers.instance.telemetry import log
from resolvers.kernel.background.clocks import AcrossWorkspaces, clock
from resolvers.kernel.background.steps import Gone
from resolvers.kernel.ground.removed import REMOVED
from resolvers.kernel.store.changes import NOW
from resolvers.kernel.writing.context import Context
from resolvers.oversight.admin.archive import ARCHIVE, FAILED, FOLDER, KEPT, OfAction
from resolvers.oversight.admin.erasure import kept_with_workspaces, place_of, tenants
from resolvers.oversight.admin.memory_config import DEFAULT_DAYS, LONGEST_DAYS, RETENTION
from resolvers.people.workspaces.files import CONTENT, ISSUE_FILES, bytes_of_issues
from resolvers.rules.memory_versions import FOLDER as TEXTS
from resolvers.rules.memory_versions import STORED, texts_of
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks

PORTION: Final = 1_000
NAMED: Final = ("id", "full_name")
"""The columns of a person that every workspace sees; KNOWN after the person has accepted the membership."""
KNOWN: Final = ("email", "avatar_url")
PIECE: Final = 1 << 20  # bytes
MOST_BYTES: Final = 64 << 30
EXPIRE = clock("admin.expire_archives", every=timedelta(hours=1))
EXPIRED: Final = (
    "SELECT id, workspace_id FROM gdpr_actions WHERE expires_at < now() AND archive_bytes IS NOT NULL LIMIT $1"
)
FORGET = clock("admin.forget_versions", every=timedelta(hours=1))
# The newest version of a memory is what it is now: it does not expire.
OLD_VERSIONS: Final = """
    WITH kept AS MATERIALIZED (
        SELECT workspace_id, (document ->> $2)::numeric AS days FROM memory_configs
        WHERE jsonb_typeof(document -> $2) = 'number'
    )
    SELECT v.workspace_id, v.id FROM memory_versions v
    LEFT JOIN kept ON kept.workspace_id = v.workspace_id AND days = floor(days) AND days BETWEEN 1 AND $4
    WHERE v.written_at < date_trunc('day', now(), 'UTC') - interval '1 day'
        AND v.written_at < date_trunc('day', now(), 'UTC') - make_interval(days => coalesce(days::int, $3))
        AND EXISTS (
            SELECT FROM memory_versions n WHERE n.workspace_id = v.workspace_id AND n.path = v.path
                AND n.written_at >= v.written_at AND (n.written_at, n.id) > (v.written_at, v.id)
        )
    ORDER BY v.written_at LIMIT $1
"""
ALONE: Final = """
    SELECT DISTINCT sha256 FROM memory_versions v
    WHERE workspace_id = $1 AND id = ANY ($2::text[]) AND starts_with(payload_ref, $3) AND NOT EXISTS (
        SELECT FROM memory_versions o WHERE o.workspace_id = $1 AND o.sha256 = v.sha256 AND o.id <> ALL ($2::text[])
    )
"""
FORGOTTEN: Final = """
    WITH gone AS (DELETE FROM memory_versions WHERE workspace_id = $1 AND id = ANY ($2::text[]) RETURNING 1)
    SELECT count(*) FROM gone
"""
ENDED: Final = "UPDATE gdpr_actions SET archive_bytes = NULL WHERE id = ANY ($1)"
# These have no worker any more: it died and could not report.
LOST: Final = """
    UPDATE gdpr_actions SET status = 'failed', completed_at = now(), error = $1
    WHERE action = 'archive' AND status = 'in_progress' AND created_at < now() - interval '1 day'
"""


@carries(ARCHIVE)
async def archive(work: Work, data: OfAction) -> None:
    try:
        await _put_together(work, data.action_id)
    except Gone:
        raise
    except Exception:
        if work.attempt >= ARCHIVE.attempts:
            await work.write("fail", partial(_fail, data.action_id))
        raise


async def _fail(action_id: str, ctx: Context) -> None:
    """Reports the failure to the waiting user."""
    begun = (col(GdprAction.id) == action_id, col(GdprAction.status) == GdprStatus.in_progress)
    await ctx.update_where(GdprAction, *begun, status=GdprStatus.failed, completed_at=NOW, error=FAILED)


async def _put_together(work: Work, action_id: str) -> None:
    action = await work.read(lambda ctx: ctx.get(GdprAction, action_id))
    folder = instance.store.folder("workspaces", work.workspace_id, FOLDER)
    if action.status is GdprStatus.in_progress:
        with tempfile.TemporaryFile() as file:
            counted = await _written_down(work, file, action.subject_id)
            size = file.tell()
            file.seek(0)
            async with instance.store.receive(Arriving(_content(file), MOST_BYTES)) as received:
                await folder.keep(received, f"{action.id}.zip")

        async def complete(ctx: Context) -> None:
            now = await ctx.now()
            ended: dict[str, Any] = {"status": GdprStatus.completed, "completed_at": now, "expires_at": now + KEPT}
            begun = (col(GdprAction.id) == action_id, col(GdprAction.status) == GdprStatus.in_progress)
            await ctx.update_where(GdprAction, *begun, scope=counted, archive_bytes=size, **ended)

        await work.write("complete", complete)
        action = await work.read(lambda ctx: ctx.get(GdprAction, action_id))
    if action.status is GdprStatus.failed:  # the person was erased meanwhile
        await _removed(folder, f"{action.id}.zip")


async def _written_down(work: Work, file: IO[bytes], person: str) -> dict[str, int]:
    """Rows by table."""
    counted = dict[str, int]()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        # rows of an account are the person's alone: sessions, tokens and what was done with it are in no archive
        models: list[type[SQLModel]] = [User, *tenants(), *kept_with_workspaces()]
        for model in models:
            await _add(work, made, model, person, counted)
        await _add_attached(work, made, person)
        await _add_files_of_issues(work, made, person)
    return counted


async def _add_attached(work: Work, made: zipfile.ZipFile, person: str) -> None:
    """The files that the person attached to chats, of which only pieces are in memory; a file that is gone is
    skipped.
    """
    after = ""
    while True:
        here = (col(ChatAttachment.uploaded_by) == person, col(ChatAttachment.id) > after)
        rows = await work.read(partial(_attached, here))
        for row in rows:
            folder = instance.store.folder("workspaces", work.workspace_id, "crews", row.crew_id, "output", agents=True)
            await _add_file(made, folder, (row.folder, ATTACHMENTS, row.chat_id, row.name))
            after = row.id
        if len(rows) < PORTION:
            break


async def _add_files_of_issues(work: Work, made: zipfile.ZipFile, person: str) -> None:
    """The files that the person attached to issues, by their sums, as `issue_attachments.ndjson` names them."""
    after = ""
    while True:
        rows = await work.read(partial(_of_issues, person, after))
        for (sha256,) in rows:
            place = bytes_of_issues(work.workspace_id, sha256)
            await _add_file(made, instance.store.folder(*place), (CONTENT,), (ISSUE_FILES, sha256))
            after = sha256
        if len(rows) < PORTION:
            break


async def _of_issues(person: str, after: str, ctx: Context) -> list[Any]:
    files = ctx.table(IssueAttachment).c
    found = select(files.sha256).where(files.uploaded_by_user_id == person, files.sha256 > after)
    return await ctx.report(found.distinct().order_by(files.sha256).limit(PORTION))


async def _attached(conditions: tuple[Any, ...], ctx: Context) -> list[ChatAttachment]:
    rows = ctx.select(ChatAttachment, *conditions, including_hidden=True).order_by(col(ChatAttachment.id))
    return await rows.limit(PORTION).all()


async def _add_file(made: zipfile.ZipFile, folder: Folder, names: tuple[str, ...], shown: tuple[str, ...] = ()) -> None:
    """Below its path in the crew's folder, or as `shown`."""
    try:
        opened = await folder.open("/".join(names))
    except Refusal as refusal:
        if refusal.code is not Code.NOT_FOUND:
            raise
        return
    try:
        with made.open("/".join(("files", *(shown or names))), "w", force_zip64=True) as file:
            at = 0
            while at < opened.size and (content := await opened.read(at, PIECE)):
                await asyncio.to_thread(file.write, content)
                at += len(content)
    finally:
        opened.close()


async def _removed(folder: Folder, name: str) -> None:
    try:
        await folder.remove(name)
    except Refusal as refusal:
        if refusal.code is not Code.NOT_FOUND:
            raise


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
    if model is User:
        columns = [*NAMED, *(KNOWN if await work.read(partial(_is_known, person)) else ())]
    order = [column.name for column in table_of(model).primary_key.columns]
    with made.open(f"{name}.ndjson", "w") as lines:
        number = 0
        while True:

            async def look(ctx: Context, start: int = number) -> list[Any]:
                rows = table_of(model).c  # regardless of visibility, because they are the person's
                place = place_of(model)
                here = [] if place is None else [rows[place] == ctx.workspace_id]
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


async def _is_known(person: str, ctx: Context) -> bool:
    own = (col(Membership.user_id) == person, col(Membership.accepted_at).is_not(None))
    return await ctx.select(Membership, *own, including_hidden=True).exists()


def _written(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


@ticks(EXPIRE)
async def expire(tick: Tick) -> None:
    """Files go before their rows forget them: what is cut off is done again."""
    rows = await tick.write(lambda rows: rows.fetch(EXPIRED, PORTION))
    for row in rows:
        await _removed(instance.store.folder("workspaces", row["workspace_id"], FOLDER), f"{row['id']}.zip")

    async def forget(across: AcrossWorkspaces) -> None:
        await across.fetch(ENDED, [row["id"] for row in rows])
        await across.fetch(LOST, FAILED)

    await tick.write(forget)


@ticks(FORGET)
async def forget(tick: Tick) -> None:
    """Versions of memories that their workspaces do not keep any more, with their texts."""
    removed = 0
    while found := await tick.write(
        lambda rows: rows.fetch(OLD_VERSIONS, PORTION, RETENTION, DEFAULT_DAYS, LONGEST_DAYS)
    ):
        here = defaultdict[str, list[str]](list)
        for row in found:
            here[row["workspace_id"]].append(row["id"])
        for workspace_id, ids in here.items():
            await tick.write(partial(_forget, workspace_id, ids))
        removed += len(found)
    if removed:
        REMOVED.labels("memory_versions", "workspace").inc(removed)
        log.info("expired versions of memories were removed", rows=removed)


async def _forget(workspace_id: str, ids: list[str], rows: AcrossWorkspaces) -> None:
    """No version of the same text may be added meanwhile. Files are removed first: an interrupted removal is
    repeated.
    """
    await rows.fetchval("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", texts_of(workspace_id))
    folder = instance.store.folder("workspaces", workspace_id, TEXTS)
    for row in await rows.fetch(ALONE, workspace_id, ids, STORED):
        await _removed(folder, row["sha256"])
    await rows.fetchval(FORGOTTEN, workspace_id, ids)
