"""Files and relations of issues for agents, over the internal API. Names and texts of files are marked as data."""

import asyncio
import base64
import secrets
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.actors import ActorType
from models.staff.agents import Agent
from models.work.issues import IssueAttachment, IssueRelation, RelationType
from models.work.missions import Mission
from resolvers.kernel import (
    Absent,
    Action,
    Actor,
    Auth,
    Code,
    Context,
    Id,
    Output,
    Refusal,
    Subject,
    Text,
    command,
    invalid,
    procedure,
)
from resolvers.kernel.writing.actors import actor_of
from resolvers.work.issues.attachments import NEWEST, arriving, attach, decoded, opened
from resolvers.work.issues.events import IssueUpdated
from resolvers.work.issues.graph import IS_ISSUE
from resolvers.work.issues.internal import WorkspaceId
from resolvers.work.issues.naming import ISSUE, ByIdentifier
from resolvers.work.issues.relations import EXISTS, room_for_one_more

MOST_TEXT: Final = 128 << 10
"""Bytes of a text that an agent is shown."""
MOST_BYTES: Final = 512 << 10
"""Bytes of any other file that an agent is shown."""
MOST_SENT: Final = 6 << 20
"""Bytes of a file that an agent sends."""
MOST_BODY: Final = (8 << 20) + (64 << 10)
"""Bytes of its request, whose content is in base64."""
TEXTS: Final = ("text/", "application/json", "application/yaml", "application/toml", "application/xml")
HIGHEST: Final = 1_000
"""Issues above an issue that are looked at, to find a circle."""
FILE: Final = Subject(IssueAttachment, "attachment_id", of=ISSUE, key="mission_id", called="Attachment")


class OfAgentAttachment(ByIdentifier):
    """A file of an issue."""

    attachment_id: Id


class AgentAttachment(Output):
    """A file of an issue. The name is between marks: it is data of others."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime
    uploaded_by: Literal["user", "agent"]
    already_attached: Annotated[bool | None, Absent()] = None


class AgentAttachmentContent(Output):
    """A file with its content. A text is between marks; `truncated`: the file is longer."""

    id: str
    filename: str
    content_type: str
    size_bytes: int
    sha256: str
    created_at: datetime
    uploaded_by: Literal["user", "agent"]
    encoding: Literal["text", "base64"]
    content: str
    truncated: bool


class AttachAsAgent(ByIdentifier):
    """`agent_id` is the sender; an unknown one is ignored. `content_base64`: at most 6 MiB of content."""

    workspace_id: WorkspaceId
    agent_id: Id | None = None
    filename: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.URL)]
    content_base64: Annotated[str, Field(strict=True, min_length=1, max_length=MOST_BODY)]


class RelateAsAgent(ByIdentifier):
    """`sub_issue_of` makes the target the parent. `agent_id` is the acting agent; an unknown one is ignored."""

    workspace_id: WorkspaceId
    target_identifier: Annotated[Text, Field(min_length=1)]
    relation_type: Literal["blocks", "blocked_by", "relates_to", "duplicate_of", "sub_issue_of"]
    agent_id: Id | None = None


class RelatedByAgent(Output):
    """`id` is the new relation; for `sub_issue_of` there is the `parent_id` instead."""

    id: Annotated[str | None, Absent()] = None
    status: str = "ok"
    relation_type: str
    parent_id: Annotated[str | None, Absent()] = None


def marked(text: str) -> str:
    """A text of others, between marks that no sender can know."""
    mark = f"untrusted-{secrets.token_hex(8)}"
    return f"<{mark}>{text}</{mark}>"


def _shown(file: IssueAttachment, *, known: bool = False) -> AgentAttachment:
    return AgentAttachment(
        id=file.id,
        filename=marked(file.filename),
        content_type=file.content_type,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        created_at=file.created_at,
        uploaded_by="agent" if file.uploaded_by_agent_id is not None else "user",
        already_attached=known or None,
    )


@procedure("internal.issues.attachments_list", Action.NONE, auth=Auth.INTERNAL, subject=ISSUE)
async def list_agent_attachments(ctx: Context, issue: Mission, data: ByIdentifier) -> list[AgentAttachment]:
    """List files of an issue (for agents).

    Newest first.
    """
    found = ctx.select(IssueAttachment, col(IssueAttachment.mission_id) == issue.id)
    return [_shown(file) for file in await found.order_by(*NEWEST).all()]


@procedure("internal.issues.attachments_get", Action.NONE, auth=Auth.INTERNAL, subject=FILE, late=True)
async def get_agent_attachment(ctx: Context, file: IssueAttachment, data: OfAgentAttachment) -> AgentAttachmentContent:
    """Get a file of an issue (for agents).

    Texts are returned as text, up to 128 KiB; other files in base64, up to 512 KiB.
    """
    is_text = file.content_type.startswith(TEXTS)
    source = await opened(ctx, file)
    try:
        content = await source.read(0, MOST_TEXT if is_text else MOST_BYTES)
    finally:
        source.close()
    text = content.decode(errors="replace").replace("\0", "\ufffd") if is_text else ""
    return AgentAttachmentContent(
        **_shown(file).model_dump(exclude={"already_attached"}),
        encoding="text" if is_text else "base64",
        content=marked(text) if is_text else base64.b64encode(content).decode(),
        truncated=len(content) < source.size,
    )


@command(
    "internal.issues.attachments_create",
    Action.NONE,
    auth=Auth.INTERNAL,
    subject=ISSUE,
    audit="issue_attachment.created",
    emits=IssueUpdated,
    errors=(Code.CONFLICT, Code.TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE),
    late=True,
)
async def attach_as_agent(ctx: Context, issue: Mission, data: AttachAsAgent) -> AgentAttachment:
    """Add a file to an issue (for agents).

    The end of the name determines the type. The same bytes under the same name are the same file of the issue.
    """
    content = await asyncio.to_thread(decoded, data.content_base64)
    if len(content) > MOST_SENT:
        raise Refusal(Code.TOO_LARGE, f"A file of an agent has at most {MOST_SENT >> 20} MiB")
    row, known = await attach(ctx, issue, data.filename, arriving(content), await _by(ctx, data.agent_id))
    if not known:
        ctx.emit(IssueUpdated(id=issue.id, identifier=issue.identifier or ""))
    return _shown(row, known=known)


async def _by(ctx: Context, agent_id: str | None) -> Actor:
    """The agent, if there is one; otherwise the system."""
    if agent_id is not None and await ctx.select(Agent, col(Agent.id) == agent_id).exists():
        return Actor(ActorType.agent, agent_id)
    return actor_of(ctx)


@command(
    "internal.issues.relations_create",
    Action.NONE,
    auth=Auth.INTERNAL,
    audit="issue_relation.created",
    emits=IssueUpdated,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
)
async def relate_as_agent(ctx: Context, data: RelateAsAgent) -> RelatedByAgent:
    """Create a relation between issues (for agents).

    `sub_issue_of` sets the parent of the issue. An issue has at most 1,000 relations, in both directions.
    """
    issue: Mission = await ctx.find(ISSUE)
    target = await ctx.select(Mission, col(Mission.identifier) == data.target_identifier, *IS_ISSUE).one(
        "Target issue not found"
    )
    if target.id == issue.id:
        raise Refusal(Code.BAD_REQUEST, "An issue cannot be related to itself")
    told = IssueUpdated(id=issue.id, identifier=issue.identifier or "")
    if data.relation_type == "sub_issue_of":
        await _below(ctx, issue, target)
        ctx.emit(told)
        return RelatedByAgent(relation_type=data.relation_type, parent_id=target.id)
    await room_for_one_more(ctx, issue.id, target.id)
    kind, ends = RelationType(data.relation_type), (issue.id, target.id)
    if kind is RelationType.blocked_by:
        kind, ends = RelationType.blocks, (target.id, issue.id)
    relation = await ctx.insert(
        IssueRelation(source_id=ends[0], target_id=ends[1], relation_type=kind), conflict=EXISTS
    )
    ctx.emit(told)
    return RelatedByAgent(id=relation.id, relation_type=kind)


async def _below(ctx: Context, issue: Mission, parent: Mission) -> None:
    """Makes one issue the parent of another. Parents of a workspace change one after the other, so that two changes
    cannot make a circle together.
    """
    await ctx.lock(f"parents of {ctx.workspace_id}")
    above: Mission | None = parent
    for _ in range(HIGHEST):
        if above is None or above.parent_issue_id is None:
            break
        if above.parent_issue_id == issue.id:
            raise invalid("target_identifier", "is below the issue")
        above = await ctx.select(Mission, col(Mission.id) == above.parent_issue_id, including_hidden=True).first()
    if issue.parent_issue_id == parent.id:
        raise Refusal(Code.CONFLICT, "The issue is already below the target")
    await ctx.edit(issue, parent_issue_id=parent.id)
    ctx.audit("ISSUE", issue.id, parent_issue_id=parent.id)
