"""Files of issues. Their bytes are kept once in a workspace, by their SHA-256; the row has the name."""

import base64
import binascii
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Final

from pydantic import Field, PrivateAttr
from sqlalchemy import func, select
from sqlmodel import col

from models import bounds
from models.actors import ActorType
from models.base import alias_of
from models.people.auth import User
from models.people.workspaces import Membership
from models.staff.agents import Agent
from models.work.issues import ActivityAction, IssueAttachment
from models.work.missions import Mission
from resolvers.instance.forms import file_in
from resolvers.instance.store import Arriving, Opened, names_of
from resolvers.kernel import (
    EVERYONE,
    REST_ONLY,
    Absent,
    Action,
    Actor,
    Code,
    Context,
    Id,
    Output,
    Paging,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Subject,
    command,
    derived,
    extend,
    forbidden,
    graph,
    invalid,
    many,
    one,
    procedure,
    query,
    written,
)
from resolvers.kernel.ground.policy import MEMBERS, lowest
from resolvers.kernel.writing.actors import actor_of
from resolvers.people.workspaces.files import CONTENT, UNUSED, bytes_of_issues, lock_of_bytes
from resolvers.staff.chats.quota import FileRoom, most, refusal, summed, used
from resolvers.work.issues.events import IssueUpdated
from resolvers.work.issues.graph import ISSUE_ROWS
from resolvers.work.issues.naming import ISSUE_OF_CREW, OfCrew
from resolvers.work.missions.moving import record

FIELD: Final = "file"
MOST: Final = 25 << 20
"""Bytes of a form. More is TOO_LARGE (contract: issues.attachments_create)."""
MOST_SENT: Final = 32 << 20
"""Bytes of a body that are looked at; more of them are TOO_LARGE before the caller is known."""
MOST_FILES: Final = 100
"""The most files of an issue (contract: none)."""
MOST_IN_TEXT: Final = 1 << 20
"""Characters of a file that GraphQL takes: its requests are no longer."""
GONE: Final = "The content of the file is gone"
UTF_8: Final = "; charset=utf-8"
TYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys((".txt", ".log"), f"text/plain{UTF_8}"),
    ".md": f"text/markdown{UTF_8}",
    ".csv": f"text/csv{UTF_8}",
    ".tsv": f"text/tab-separated-values{UTF_8}",
    ".json": "application/json",
    **dict.fromkeys((".yaml", ".yml"), "application/yaml"),
    ".toml": "application/toml",
    ".xml": "application/xml",
    **dict.fromkeys((".diff", ".patch"), f"text/x-diff{UTF_8}"),
    ".png": "image/png",
    **dict.fromkeys((".jpg", ".jpeg"), "image/jpeg"),
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".pdf": "application/pdf",
    ".zip": "application/zip",
    **dict.fromkeys((".gz", ".tgz"), "application/gzip"),
}
"""Types by the end of a name. No browser executes any of them."""
NOT_ACCEPTED: Final = f"Files of this kind are not accepted. Accepted names end with {', '.join(TYPES)}"
ATTACHMENT: Final = Subject(IssueAttachment, "attachment_id", of=ISSUE_OF_CREW, key="mission_id", called="Attachment")


class AttachToIssue(OfCrew):
    """`filename` has precedence over the name in a form. `content_base64` is the content; over REST, a form has it."""

    filename: Annotated[str, Field(strict=True, max_length=bounds.URL)] = ""
    content_base64: Annotated[str, Field(strict=True, max_length=MOST_IN_TEXT)] = ""


class OfAttachment(OfCrew):
    """A file of an issue."""

    attachment_id: Id


class AttachedToIssue(Output):
    """A file of an issue. `already_attached` is true if the issue had the same file, and null or absent otherwise."""

    id: str
    workspace_id: str
    owner_type: str = "issue"
    owner_id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    uploaded_by_user_id: str | None
    uploaded_by_agent_id: str | None
    uploaded_by_name: str | None
    created_at: datetime
    already_attached: Annotated[bool | None, Absent()] = None


class AttachmentDeleted(Output):
    """The file was deleted."""

    status: str = "ok"
    _id: str = PrivateAttr("")

    @property
    def attachment_id(self) -> str:
        return self._id


class PageOfIssueFiles(Paging):
    """A page of files, newest first: 50 by default."""


def _uploader(row: Any, scope: Any) -> Any:
    """The name of the person, or of an agent that may be deleted."""
    user = alias_of(User)
    agent, own = scope.beside(Agent, row, including_deleted=True)
    users = scope.scalar(select(user.c.full_name).where(user.c.id == row.uploaded_by_user_id))
    agents = scope.scalar(select(agent.c.name).where(agent.c.id == row.uploaded_by_agent_id, *own))
    return func.coalesce(users, agents)


NEWEST: Final = (col(IssueAttachment.created_at).desc(), col(IssueAttachment.id).desc())
graph(
    IssueAttachment,
    gate=Action.READ,
    scope="issues:read",
    visible=EVERYONE,
    issue=one(ISSUE_ROWS, "mission_id"),
    uploader=one(User, "uploaded_by_user_id"),
    agent=one(Agent, "uploaded_by_agent_id"),
    uploaded_by_name=derived(str | None, _uploader),
)
extend(Mission, attachments=many(IssueAttachment, "mission_id", order_by=NEWEST, input=PageOfIssueFiles))
extend(AttachedToIssue, attachment=written(IssueAttachment, "id"))


@query("issues.attachments_list", Action.READ, subject=ISSUE_OF_CREW)
def list_attachments(scope: QueryScope, issue: Row[Mission], data: OfCrew) -> Rows[IssueAttachment]:
    """List files of an issue.

    Newest first; an issue has at most 100.
    """
    return scope.children(issue, IssueAttachment, "mission_id").order_by(*NEWEST)


@procedure("issues.attachments_get", Action.READ, subject=ATTACHMENT, surfaces=REST_ONLY, late=True)
async def get_attachment(ctx: Context, attachment: IssueAttachment, data: OfAttachment) -> Opened:
    """Get a file of an issue.

    Supports ranges and conditional requests. Browsers save it; they do not show it.
    """
    return await opened(ctx, attachment)


@command(
    "issues.attachments_create",
    Action.CREATE,
    subject=ISSUE_OF_CREW,
    audit="issue_attachment.created",
    emits=IssueUpdated,
    errors=(Code.CONFLICT, Code.TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE),
    late=True,
)
async def attach_to_issue(ctx: Context, issue: Mission, data: AttachToIssue) -> AttachedToIssue:
    """Add a file to an issue.

    Over REST a form with the part `file`, of at most 25 MB; otherwise the content in base64. The end of the name
    determines the type. The same bytes under the same name are the same file of the issue. An issue has at most 100
    files; files of all issues and chats of the workspace share a quota.
    """
    if ctx.request.upload is None:
        name, content = data.filename, arriving(decoded(data.content_base64))
    else:
        if (ctx.request.upload.announced or 0) > MOST:
            raise Refusal(Code.TOO_LARGE, "The form is too large")
        given, content = await file_in(ctx.request.upload, FIELD, MOST, excess=Code.TOO_LARGE)
        name = data.filename or given
    row, known = await attach(ctx, issue, name, content, actor_of(ctx))
    if not known:
        ctx.emit(IssueUpdated(id=issue.id))
    return AttachedToIssue(
        **row.model_dump(exclude={"mission_id", "workspace_id"}),
        workspace_id=issue.workspace_id,
        owner_id=issue.id,
        uploaded_by_name=await _name_of(ctx, row),
        already_attached=known or None,
    )


@command(
    "issues.attachments_delete",
    Action.CREATE,
    subject=ATTACHMENT,
    audit="issue_attachment.deleted",
    emits=IssueUpdated,
)
async def delete_attachment(ctx: Context, attachment: IssueAttachment, data: OfAttachment) -> AttachmentDeleted:
    """Delete a file of an issue.

    Its bytes are removed unless another issue has them.
    """
    await ctx.delete(IssueAttachment, attachment.id, missing=ATTACHMENT.missing)
    ctx.enqueue(UNUSED, sha256=attachment.sha256)
    record(ctx, attachment.mission_id, actor_of(ctx), ActivityAction.attachment_removed, described(attachment))
    ctx.emit(IssueUpdated(id=attachment.mission_id))
    deleted = AttachmentDeleted()
    deleted._id = attachment.id
    return deleted


def described(file: IssueAttachment) -> str:
    """The line of the timeline."""
    return f"{file.filename} ({file.content_type}, {file.size_bytes} bytes)"


async def opened(ctx: Context, attachment: IssueAttachment) -> Opened:
    folder = ctx.outside.store.folder(*bytes_of_issues(attachment.workspace_id, attachment.sha256))
    try:
        file: Opened = await folder.open(CONTENT)
    except Refusal as missing:
        if missing.code is Code.NOT_FOUND:
            raise Refusal(Code.NOT_FOUND, GONE) from None
        raise
    return replace(file, name=attachment.filename, media_type=attachment.content_type)


def kept_name(given: str) -> str:
    """The last part of a client's file name, for paths of any operating system."""
    name = given.replace("\\", "/").rpartition("/")[2]
    if not name.isprintable() or name in (".", "..") or not names_of(name):
        raise Refusal(Code.BAD_REQUEST, "Invalid file name")
    return name


def type_of(name: str) -> str:
    """The type of a file, by the end of its name alone."""
    found = TYPES.get(PurePosixPath(name).suffix.lower())
    if found is None:
        raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, NOT_ACCEPTED)
    return found


def decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("content_base64", "is not in base64") from None


def arriving(content: bytes) -> Arriving:
    async def at_once() -> AsyncIterator[bytes]:
        yield content

    return Arriving(at_once(), max(len(content), 1))


async def attach(
    ctx: Context, issue: Mission, given: str, content: Arriving, by: Actor
) -> tuple[IssueAttachment, bool]:
    """Adds a file to an issue, in the transaction that this begins. Returns its row, and whether the issue had it.

    The bytes get their name before the commit, under a lock that keeps the removal of unused bytes away: what is cut
    off leaves at most bytes without a row, which a clock removes.
    """
    digest, room = hashlib.sha256(), FileRoom(most() - await used(ctx))
    async with ctx.outside.store.receive(summed(room.hold(content), digest)) as received:
        name = kept_name(given)
        content_type, sha256 = type_of(name), digest.hexdigest()
        folder = ctx.outside.store.folder(*bytes_of_issues(issue.workspace_id, sha256))
        await ctx.begin()
        await _still_member(ctx)
        await ctx.get(Mission, issue.id, lock=True, missing=ISSUE_OF_CREW.missing)
        await ctx.lock(lock_of_bytes(issue.workspace_id, sha256))
        here = col(IssueAttachment.mission_id) == issue.id
        same = (here, col(IssueAttachment.sha256) == sha256, col(IssueAttachment.filename) == name)
        row, known = await ctx.select(IssueAttachment, *same).first(), True
        if row is None:
            if await ctx.select(IssueAttachment, here).count() >= MOST_FILES:
                raise Refusal(Code.CONFLICT, f"An issue has at most {MOST_FILES} files")
            row, known = await _added(ctx, issue.id, name, content_type, received.size, sha256, by), False
        await folder.keep(received, CONTENT)
    return row, known


async def _added(
    ctx: Context, issue_id: str, name: str, content_type: str, size: int, sha256: str, by: Actor
) -> IssueAttachment:
    row = IssueAttachment(
        mission_id=issue_id, filename=name, content_type=content_type, size_bytes=size, sha256=sha256,
        uploaded_by_user_id=by.id if by.type is ActorType.user else None,
        uploaded_by_agent_id=by.id if by.type is ActorType.agent else None,
        created_at=await ctx.now(),
    )  # fmt: skip
    record(ctx, issue_id, by, ActivityAction.attachment_added, described(row))
    row = await ctx.insert(row)
    await ctx.flush()
    if await used(ctx) > most():
        raise refusal()
    return row


async def _still_member(ctx: Context) -> None:
    """A concurrent erasure of the person waits, or has removed the person before."""
    if ctx.user_id:
        mine = ctx.select(Membership, col(Membership.user_id) == ctx.user_id, including_hidden=True)
        if await mine.locked().first() is None:
            raise forbidden(role=lowest(MEMBERS))


async def _name_of(ctx: Context, row: IssueAttachment) -> str | None:
    user = alias_of(User)
    found = await ctx.report(select(user.c.full_name).where(user.c.id == row.uploaded_by_user_id))
    if not found and row.uploaded_by_agent_id is not None:
        agent = ctx.table(Agent, including_deleted=True).c
        found = await ctx.report(select(agent.name).where(agent.id == row.uploaded_by_agent_id))
    return found[0][0] if found else None
