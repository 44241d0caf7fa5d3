"""Invitations are mailed, and files go with the rows they belong to."""

import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Select
from sqlmodel import col

from models.staff.chats import Chat
from resolvers.instance.ports import Undeliverable
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.kernel import AcrossWorkspaces, Context
from resolvers.people.workspaces import files
from resolvers.people.workspaces.invitations import MAIL_INVITATION, OfInvitation, write_invitation
from runtime.coding.homes import bound
from runtime.engine.background import Work, carries
from runtime.engine.clocks import Tick, ticks
from runtime.staff.attachment_rows import AttachmentsPlace, compare_files, compare_rows

TIMEOUT = 60.0  # seconds
SHA256: Final = re.compile(r"[0-9a-f]{64}")


@carries(MAIL_INVITATION)
async def mail_invitation(work: Work, data: OfInvitation) -> None:
    """Done again it mails the same text, under the same key."""
    mailer = instance.mailer
    mail = await work.read(lambda ctx: write_invitation(ctx, data.invitation_id))
    if mail is None or mailer is None:
        return
    try:
        await work.call("mail", lambda key: mailer.send(mail, key), timeout=TIMEOUT)
    except Undeliverable as error:
        log.warning("an invitation could not be mailed", cause=str(error))


@carries(files.WORKSPACE_GONE)
async def files_of_workspace(work: Work, data: files.FilesOfWorkspace) -> None:
    await instance.store.discard(*files.of_workspace(data.workspace_id))


@carries(files.CREW_GONE)
async def files_of_crew(work: Work, data: files.FilesOfCrew) -> None:
    await instance.store.discard(*files.of_crew(work.workspace_id, data.crew_id))


@carries(files.AGENT_GONE)
async def files_of_agent(work: Work, data: files.FilesOfAgent) -> None:
    """Files that the agent made for its crew belong to the crew and stay."""
    here = work.workspace_id
    await instance.store.discard(*files.of_agent(here, data.agent_id))
    for crew_id, slug in await work.read(lambda ctx: ctx.report(files.where_of(here, data.agent_id))):
        if crew_id is not None:
            await _sweep(files.attached(here, crew_id, slug), partial(_of_work, work), [files.live_chats], here)


@carries(files.CHAT_GONE)
async def files_of_chat(work: Work, data: files.FilesOfChat) -> None:
    here = work.workspace_id
    await instance.store.discard(*files.of_agent(here, data.agent_id), files.CODING, data.chat_id)
    if await work.read(lambda ctx: ctx.select(Chat, col(Chat.id) == data.chat_id, including_hidden=True).exists()):
        return
    for crew_id, slug in await work.read(lambda ctx: ctx.report(files.where_of(here, data.agent_id))):
        if crew_id is not None:
            await instance.store.discard(*files.attached(here, crew_id, slug), data.chat_id)


@carries(files.UNUSED)
async def remove_unused_bytes(work: Work, data: files.BytesOfIssues) -> None:
    """No file with these bytes is added meanwhile. While a bundle is restored, its bytes are there before their rows;
    the clock looks again.
    """
    here = work.workspace_id

    async def remove(ctx: Context) -> None:
        await ctx.lock(files.lock_of_bytes(here, data.sha256))
        if await ctx.report(files.restoring(here)) or await ctx.report(files.used_bytes(here, [data.sha256])):
            return
        await instance.store.discard(*files.bytes_of_issues(here, data.sha256))

    await work.write("remove", remove)


Found = Callable[[Select[Any]], Awaitable[Sequence[Any]]]
"""The rows of a statement."""
Live = Callable[[str, Collection[str]], Select[Any]]


async def _of_work(work: Work, statement: Select[Any]) -> Sequence[Any]:
    return await work.read(lambda ctx: ctx.report(statement))


async def _of_tick(tick: Tick, statement: Select[Any]) -> Sequence[Any]:
    return await tick.write(lambda rows: rows.everywhere.report(statement))


async def _sweep(place: tuple[str, ...], found: Found, live: Sequence[Live], workspace_id: str) -> list[str]:
    """Removes the folders in here that none of these statements finds live. Returns the names of the others.

    While a bundle is restored into the workspace, its files are there before their rows, and nothing is removed.
    """
    kept: list[str] = []
    async for page in instance.store.pages(*place):
        names = set(page)
        if names and await found(files.restoring(workspace_id)):
            continue
        alive = {row[0] for each in live for row in await found(each(workspace_id, names))}
        for name in names - alive:
            if await instance.store.discard(*place, name):
                log.info("files of deleted objects were removed", place="/".join((*place, name)))
        kept += alive
    return kept


@ticks(files.REMOVE_FILES)
async def remove_files(tick: Tick) -> None:
    """Removes files that no job has removed: of rows that were deleted otherwise, and files written after a job."""
    await instance.store.clear()
    found = partial(_of_tick, tick)
    async for page in instance.store.pages("workspaces"):
        for workspace_id, ended in await found(files.known_workspaces(page)):
            if ended:
                await instance.store.discard(*files.of_workspace(workspace_id))
            else:
                await _sweep_workspace(workspace_id, tick)


async def _sweep_workspace(workspace_id: str, tick: Tick) -> None:
    found = partial(_of_tick, tick)
    place = files.of_workspace(workspace_id)
    for agent_id in await _sweep((*place, "agents"), found, [files.live_agents], workspace_id):
        remembered = (*files.of_agent(workspace_id, agent_id), files.CODING)
        chats = await _sweep(remembered, found, [files.known_chats, files.live_runs], workspace_id)
        await bound(tick, workspace_id, agent_id, chats)
    for crew_id in await _sweep((*place, "crews"), found, [files.live_crews], workspace_id):
        async for slugs in instance.store.pages(*files.of_crew(workspace_id, crew_id), "output"):
            for slug in slugs:
                attached = files.attached(workspace_id, crew_id, slug)
                chats = await _sweep(attached, found, [files.live_chats], workspace_id)
                await compare_files(tick, AttachmentsPlace(workspace_id, crew_id, slug), chats)
    await _sweep_bytes(workspace_id, tick)
    await compare_rows(tick, workspace_id)


async def _sweep_bytes(workspace_id: str, tick: Tick) -> None:
    """Bytes without a row may be a moment before their row: a job looks again, under their lock."""
    async for sums in instance.store.pages(*files.of_workspace(workspace_id), files.ISSUE_FILES):
        used = {row[0] for row in await _of_tick(tick, files.used_bytes(workspace_id, sums))}
        unused = sorted(sum_ for sum_ in set(sums) - used if SHA256.fullmatch(sum_))
        if unused:
            await tick.write(partial(_drop, workspace_id, unused))


async def _drop(workspace_id: str, sums: Sequence[str], rows: AcrossWorkspaces) -> None:
    for sha256 in sums:
        rows.enqueue(files.UNUSED, workspace_id, sha256=sha256)
