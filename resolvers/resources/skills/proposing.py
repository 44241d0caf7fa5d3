"""Skills that agents have written: each waits until a user approves or rejects it.

The contract describes files below a crew's memory; here they are rows with the same names.
"""

from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlalchemy import select
from sqlmodel import col

from models import bounds
from models.attention.inbox import PROPOSED_SKILL, InboxKind, InboxPriority, SenderType
from models.oversight.journal import JournalActor, Severity
from models.people.workspaces import Role
from models.resources.skills import ScanStatus, Skill, SkillProposal, SkillSource
from models.staff.crews import Crew
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import put, settle
from resolvers.kernel import (
    EVERYONE,
    Action,
    Auth,
    Code,
    Context,
    Id,
    Input,
    Output,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Subject,
    command,
    extend,
    graph,
    many,
    one,
    query,
    written,
)
from resolvers.resources.skills.catalog import tell
from resolvers.resources.skills.events import SkillProposalApproved, SkillProposalRejected
from resolvers.resources.skills.importing import SkillText, understood
from resolvers.resources.skills.skill_md import SkillFile
from resolvers.resources.skills.storing import check_free, check_license, hold_catalog, known, store

MOST_PROPOSED: Final = 50
"""The most proposed skills of a crew, each of up to 512 KiB. Below the highest number that a file name may end with."""
FULL: Final = f"The crew already has {MOST_PROPOSED} proposed skills, the maximum"
UNSAFE: Final = "must be named skill-*.md, without /, \\ and .."
CREW = Subject(Crew, "crew_id")
PROPOSAL = Subject(SkillProposal, "file_name", by="file_name", of=CREW, called="Skill proposal")
BY_NAME = (col(SkillProposal.file_name), col(SkillProposal.id))


def _safe(name: str) -> str:
    if not (name.startswith("skill-") and name.endswith(".md")) or "/" in name or "\\" in name or ".." in name:
        raise PydanticCustomError("unsafe", UNSAFE)
    return name


CrewId = Annotated[Id, Field(min_length=1)]
FileName = Annotated[str, Field(strict=True, max_length=bounds.FILE_NAME), AfterValidator(_safe)]


class OfProposingCrew(Input):
    crew_id: CrewId


class DecideProposal(OfProposingCrew):
    """`file_name` is `skill-*.md`, as in the list."""

    file_name: FileName


class AuthorSkill(OfProposingCrew):
    """`content` is a whole SKILL.md."""

    content: Annotated[SkillText, Field(min_length=1)]


class SkillAuthored(Output):
    """The name of the proposal and the scan's result; `scan_reason` is empty without findings."""

    file_name: str
    slug: str
    scan_status: ScanStatus
    scan_reason: str


class ProposalApproved(Output):
    """`created` is false if an existing skill with this slug was updated."""

    skill_id: str
    slug: str
    created: bool
    file_name: str


class ProposalRejected(Output):
    """`removed` is false if the proposal no longer exists."""

    file_name: str
    removed: bool


extend(ProposalApproved, skill=written(Skill, "skill_id"))
graph(SkillProposal, gate=Action.CREATE, scope="skills:read", visible=EVERYONE, crew=one(Crew, "crew_id"))
extend(Crew, skill_proposals=many(SkillProposal, "crew_id", order_by=BY_NAME))


@query("skills.proposed.list", Action.CREATE, subject=CREW)
def list_proposals(scope: QueryScope, crew: Row[Crew], data: OfProposingCrew) -> Rows[SkillProposal]:
    """List skills that agents of a crew propose.

    Sorted by file name.
    """
    return scope.children(crew, SkillProposal, "crew_id").order_by(*BY_NAME)


@command(
    "skills.proposed.approve",
    Action.MANAGE,
    audit="skill_proposal.approved",
    emits=(InboxItemUpdated, SkillProposalApproved),
    errors=(Code.NOT_FOUND, Code.UNPROCESSABLE),
    late=True,
)
async def approve_proposal(ctx: Context, data: DecideProposal) -> ProposalApproved:
    """Approve a proposed skill.

    Imports it into the catalog as a skill of this workspace. If the import fails, it stays a proposal.
    """
    read: SkillProposal = await ctx.find(PROPOSAL)
    file = await understood(read.content, whole=True, refused=Code.UNPROCESSABLE)
    check_license(file, needed=False, refused=Code.UNPROCESSABLE)
    await ctx.begin()
    await hold_catalog(ctx)
    proposal = await ctx.seek(PROPOSAL, lock=True)
    if proposal is None or proposal.id != read.id:
        raise Refusal(Code.NOT_FOUND, PROPOSAL.missing)
    before = await known(ctx, file.slug)
    await check_free(ctx, file, before, Code.UNPROCESSABLE)
    skill = await store(ctx, file, before, source=SkillSource.GENERATED)
    await _remove(ctx, proposal, "approved")
    ctx.emit(SkillProposalApproved(crew_id=data.crew_id, skill_id=skill.id))
    tell(
        ctx,
        "memory.skill_approved",
        f"proposed skill approved: {skill.slug}",
        Severity.notice,
        crew_id=data.crew_id,
        skill_id=skill.id,
        slug=skill.slug,
        created=before is None,
    )
    return ProposalApproved(skill_id=skill.id, slug=skill.slug, created=before is None, file_name=proposal.file_name)


@command(
    "skills.proposed.reject",
    Action.MANAGE,
    audit="skill_proposal.rejected",
    emits=(InboxItemUpdated, SkillProposalRejected),
    errors=(Code.NOT_FOUND,),
)
async def reject_proposal(ctx: Context, data: DecideProposal) -> ProposalRejected:
    """Reject a proposed skill.

    Deletes the proposal. Idempotent.
    """
    await ctx.find(CREW)
    proposal: SkillProposal | None = await ctx.seek(PROPOSAL, lock=True)
    if proposal is not None:
        await _remove(ctx, proposal, "rejected")
        ctx.emit(SkillProposalRejected(crew_id=data.crew_id))
        tell(
            ctx,
            "memory.skill_rejected",
            f"proposed skill rejected: {proposal.file_name}",
            crew_id=data.crew_id,
            file_name=proposal.file_name,
            removed_on_fs=True,
        )
    return ProposalRejected(file_name=data.file_name, removed=proposal is not None)


@command(
    "internal.skills.author",
    Action.NONE,
    audit="skill_proposal.created",
    auth=Auth.INTERNAL,
    emits=InboxItemUpdated,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
    late=True,
)
async def author_skill(ctx: Context, data: AuthorSkill) -> SkillAuthored:
    """Propose a skill (for agents).

    Administrators approve or reject it. A crew has 50 proposals at most.
    """
    file = await understood(data.content, whole=True)
    await ctx.begin()
    crew: Crew = await ctx.find(CREW)
    name = await _free_name(ctx, crew, file.slug)
    await ctx.insert(
        SkillProposal(
            crew_id=crew.id,
            file_name=name,
            name=file.slug,
            description=file.description,
            description_quality=bounds.cut(file.description_quality or "", bounds.DESCRIPTION),
            category=file.category,
            scan_status=file.scan_status,
            content=data.content,
        )
    )
    authored = SkillAuthored(
        file_name=name, slug=file.slug, scan_status=file.scan_status, scan_reason=file.scan_reason or ""
    )
    tell(
        ctx,
        "memory.skill_proposed",
        f"skill proposed for review: {file.slug}",
        Severity.notice,
        crew_id=crew.id,
        by=JournalActor.agent,
        **authored.model_dump(),
    )
    await _ask(ctx, crew, file, authored)
    return authored


async def _free_name(ctx: Context, crew: Crew, slug: str) -> str:
    """`skill-<slug>.md`, or with the first number that is free. The crew is held until the proposal is there."""
    await ctx.lock(f"skill proposals of {crew.id}")
    rows = ctx.table(SkillProposal)
    taken = {row[0] for row in await ctx.report(select(rows.c.file_name).where(rows.c.crew_id == crew.id))}
    if len(taken) >= MOST_PROPOSED:
        raise Refusal(Code.CONFLICT, FULL)
    names = (f"skill-{slug}{'' if number == 1 else f'-{number}'}.md" for number in range(1, MOST_PROPOSED + 2))
    return next(name for name in names if name not in taken)


async def _ask(ctx: Context, crew: Crew, file: SkillFile, authored: SkillAuthored) -> None:
    told = {"file_name": authored.file_name, "slug": authored.slug, "scan_status": authored.scan_status}
    remark = file.description_quality
    await put(
        ctx,
        InboxKind.escalation,
        _source(crew.id, authored.file_name),
        subject=crew,
        anew=True,
        target_role=Role.MANAGER,
        title=bounds.cut(f"Skill proposed for review: {file.slug}", bounds.LINE * 3),
        body_md=bounds.cut("\n\n".join(filter(None, (file.description, remark))), bounds.DESCRIPTION) or None,
        sender_type=SenderType.crew,
        sender_id=crew.id,
        sender_name=bounds.cut(crew.name, bounds.LINE),
        priority=InboxPriority.high,
        blocking=True,
        payload={"kind": "skill_proposal", "crew_id": crew.id} | told,
    )


async def _remove(ctx: Context, proposal: SkillProposal, action: str) -> None:
    await ctx.delete(SkillProposal, proposal.id)
    await settle(ctx, InboxKind.escalation, _source(proposal.crew_id, proposal.file_name), action)


def _source(crew_id: str, file_name: str) -> str:
    return f"{PROPOSED_SKILL}{crew_id}:{file_name}"
