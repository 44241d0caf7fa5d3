"""Files that go with the rows they belong to: a job removes them behind the commit, and a clock finds on disk what has
no row any more.

    <storage>/workspaces/<workspace>/crews/<crew>/output/<slug>/attachments/<chat>/
    <storage>/workspaces/<workspace>/agents/<agent>/coding/<chat, or run>/
    <storage>/workspaces/<workspace>/issue_files/<SHA-256 of the bytes>/
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Select, false, func, or_, select
from sqlmodel import col

from models.base import table_of
from models.oversight.backups import BackupLock
from models.people.workspaces import Workspace
from models.staff.agents import Agent
from models.staff.chats import Chat, ChatAttachment
from models.staff.crews import Crew
from models.staff.runs import Run, RunStatus
from models.work.issues import IssueAttachment
from resolvers.instance.confined import ATTACHMENTS
from resolvers.kernel import NOW, Context, Id, Input, clock, job

AT_ONCE: Final = 2  # a folder may be large, and disks are slow
CODING: Final = "coding"
ISSUE_FILES: Final = "issue_files"
CONTENT: Final = "content"
"""The name of the bytes in their folder."""
GRACE: Final = timedelta(days=7)
"""An owner can undo the deletion of a workspace for so long; then REMOVE_FILES removes its files."""


class FilesOfWorkspace(Input):
    workspace_id: Id


class FilesOfCrew(Input):
    crew_id: Id


class FilesOfAgent(Input):
    agent_id: Id


class FilesOfChat(Input):
    """An agent that spoke in the chat."""

    agent_id: Id
    chat_id: Id


class OfAttachments(Input):
    chat_id: Id


class BytesOfIssues(Input):
    """The bytes of files of issues, by their sum."""

    sha256: Id


REMOVE_FILES = clock("workspaces.remove_files", every=timedelta(hours=1))
WORKSPACE_GONE = job("workspaces.files_of_workspace", FilesOfWorkspace, of_instance=True, at_once=AT_ONCE)
CREW_GONE = job("workspaces.files_of_crew", FilesOfCrew, at_once=AT_ONCE)
AGENT_GONE = job("workspaces.files_of_agent", FilesOfAgent, at_once=AT_ONCE)
CHAT_GONE = job("workspaces.files_of_chat", FilesOfChat, at_once=AT_ONCE)
"""Removes the files that agents keep about a chat. If the chat still exists, its attached files remain."""
DETACHED = job("workspaces.files_detached", OfAttachments, at_once=AT_ONCE)
"""Removes the files of deleted attachments, and then their rows: a row without a file is harmless."""

UNUSED = job("workspaces.bytes_of_issues", BytesOfIssues, at_once=AT_ONCE)
"""Removes bytes that no issue of the workspace has any more."""


async def detach(ctx: Context, person: str) -> int:
    """Deletes what a person has attached to chats; the files go behind the commit."""
    kept = ctx.table(ChatAttachment).c
    for (chat_id,) in await ctx.report(select(kept.chat_id).where(kept.uploaded_by == person).distinct()):
        ctx.enqueue(DETACHED, chat_id=chat_id)
    theirs = col(ChatAttachment.uploaded_by) == person
    gone = await ctx.update_where(ChatAttachment, theirs, including_hidden=True, deleted_at=NOW, uploaded_by=None)
    return len(gone)


async def detach_from_issues(ctx: Context, person: str) -> int:
    """Deletes what a person has attached to issues; the bytes go behind the commit."""
    theirs = col(IssueAttachment.uploaded_by_user_id) == person
    await drop_bytes(ctx, theirs)
    return await ctx.delete_where(IssueAttachment, theirs, including_hidden=True)


async def drop_bytes(ctx: Context, *of_rows: Any) -> None:
    """Has the bytes of these rows removed behind the commit, as far as no other row has them then."""
    kept = ctx.table(IssueAttachment).c
    for (sha256,) in await ctx.report(select(kept.sha256).where(*of_rows).distinct()):
        ctx.enqueue(UNUSED, sha256=sha256)


def lock_of_bytes(workspace_id: str | None, sha256: str) -> str:
    """The name of a lock. Held by everyone who adds a row with these bytes, and while unused bytes are removed."""
    return f"bytes of {workspace_id}/{sha256}"


async def forget_attached(ctx: Context, agent_id: str) -> None:
    """Removes the rows of attachments in an agent's chats; their files are removed with the agent's."""
    chats = table_of(Chat).c
    of_agent = select(chats.id).where(chats.workspace_id == ctx.workspace_id, chats.agent_id == agent_id)
    await ctx.delete_where(ChatAttachment, col(ChatAttachment.chat_id).in_(of_agent), including_hidden=True)


def of_workspace(workspace_id: str) -> tuple[str, ...]:
    return ("workspaces", workspace_id)


def of_crew(workspace_id: str, crew_id: str) -> tuple[str, ...]:
    return (*of_workspace(workspace_id), "crews", crew_id)


def of_agent(workspace_id: str, agent_id: str) -> tuple[str, ...]:
    return (*of_workspace(workspace_id), "agents", agent_id)


def bytes_of_issues(workspace_id: str, sha256: str) -> tuple[str, ...]:
    return (*of_workspace(workspace_id), ISSUE_FILES, sha256)


def attached(workspace_id: str, crew_id: str, slug: str) -> tuple[str, ...]:
    return (*of_crew(workspace_id, crew_id), "output", slug, ATTACHMENTS)


def known_workspaces(ids: Collection[str]) -> Select[Any]:
    """With whether they were deleted so long ago that they cannot be restored. One without a row is another database's,
    and left alone.
    """
    workspaces = table_of(Workspace).c
    ended = func.coalesce(workspaces.deleted_at < func.now() - GRACE, false())
    return select(workspaces.id, ended).where(workspaces.id.in_(ids))


def restoring(workspace_id: str) -> Select[Any]:
    """The lock of who may restore a bundle into the workspace, if there is one."""
    locks = table_of(BackupLock).c
    return select(locks.workspace_id).where(locks.workspace_id == workspace_id, locks.expires_at > func.now())


def used_bytes(workspace_id: str, sums: Collection[str]) -> Select[Any]:
    """The sums that files of issues have."""
    files = table_of(IssueAttachment).c
    return select(files.sha256).where(files.workspace_id == workspace_id, files.sha256.in_(sums)).distinct()


def live_crews(workspace_id: str, ids: Collection[str]) -> Select[Any]:
    """A deleted one is live for its files as long as agents work in it."""
    crews, agents = table_of(Crew).c, table_of(Agent).c
    members = select(agents.id).where(
        agents.workspace_id == workspace_id, agents.crew_id == crews.id, agents.deleted_at.is_(None)
    )
    live = or_(crews.deleted_at.is_(None), members.exists())
    return select(crews.id).where(crews.workspace_id == workspace_id, crews.id.in_(ids), live)


def live_agents(workspace_id: str, ids: Collection[str]) -> Select[Any]:
    """A deleted one is live for its files until its runs have ended."""
    agents, runs = table_of(Agent).c, table_of(Run).c
    at_work = select(runs.id).where(
        runs.workspace_id == workspace_id, runs.agent_id == agents.id, runs.status == RunStatus.RUNNING
    )
    live = or_(agents.deleted_at.is_(None), at_work.exists())
    return select(agents.id).where(agents.workspace_id == workspace_id, agents.id.in_(ids), live)


def live_chats(workspace_id: str, ids: Collection[str]) -> Select[Any]:
    """The chats that exist and have an agent."""
    chats, agents = table_of(Chat).c, table_of(Agent).c
    there = select(agents.id).where(
        agents.workspace_id == workspace_id, agents.id == chats.agent_id, agents.deleted_at.is_(None)
    )
    return select(chats.id).where(chats.workspace_id == workspace_id, chats.id.in_(ids), there.exists())


def known_chats(workspace_id: str, ids: Collection[str]) -> Select[Any]:
    """Several agents remember of a chat."""
    chats = table_of(Chat).c
    return select(chats.id).where(chats.workspace_id == workspace_id, chats.id.in_(ids))


def live_runs(workspace_id: str, ids: Collection[str]) -> Select[Any]:
    """The live runs without a chat; each has a folder of its own name."""
    runs = table_of(Run).c
    live = (runs.id.in_(ids), runs.status == RunStatus.RUNNING)
    return select(runs.id).where(runs.workspace_id == workspace_id, *live)


def where_of(workspace_id: str, agent_id: str) -> Select[Any]:
    """The crew and the slug by which attachments of an agent are found."""
    agents = table_of(Agent).c
    return select(agents.crew_id, agents.slug).where(agents.workspace_id == workspace_id, agents.id == agent_id)


def speakers_in(workspace_id: str, chats: Any) -> Select[Any]:
    """Each agent and each of these chats in which it ran."""
    runs = table_of(Run).c
    ran = select(runs.agent_id, runs.chat_id).where(runs.workspace_id == workspace_id, runs.chat_id.in_(chats))
    return ran.distinct()
