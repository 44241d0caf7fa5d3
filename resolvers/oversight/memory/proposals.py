"""Rules that wait for a decision: explained, compared with the memory they go into, approved or rejected."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

from models.attention.inbox import InboxKind
from models.oversight.journal import JournalActor, JournalEntry
from models.staff.memory import PROPOSAL_STATES, MemoryProposal, MemoryTier, ProposalStatus
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import settle
from resolvers.kernel import (
    Absent,
    Action,
    Code,
    Context,
    Description,
    Id,
    Input,
    Output,
    Refusal,
    command,
    procedure,
)
from resolvers.oversight.memory.owners import crew_named
from resolvers.oversight.memory.rules_found import LearnedRule, approval_of, block_of, merged, name_of
from resolvers.rules.memory_files import MemoryOwner
from resolvers.rules.memory_writing import MOST_APPENDED, MemoryWrite, output_of_crew, read_memory, write_memories

MISSING: Final = "Memory proposal not found"
DECIDED: Final = "The memory proposal has been decided already"
TOO_LARGE: Final = f"The file is larger than {MOST_APPENDED >> 20} MiB"
CONTEXT: Final = 3
HEADERS: Final = ("--- canonical (current)", "+++ canonical (post-merge)")


class OfProposal(Input):
    """A memory proposal of the workspace."""

    proposal_id: Id


class RejectProposal(OfProposal):
    """The reason is optional."""

    reason: Description = ""


class MemoryProposalView(Output):
    """Rules that a model proposes for the memory of a crew. `evidence`: the entries and rules; `scores`: by pattern."""

    proposal_id: str
    workspace_id: str
    crew_id: str
    status: ProposalStatus
    proposal_path: str
    rules_count: int
    entries_scanned: int
    created_at: datetime
    decided_at: Annotated[datetime | None, Absent()] = None
    decided_by_user_id: Annotated[str | None, Absent()] = None
    evidence: dict[str, Any]
    scores: dict[str, Any]


class DiffStats(Output):
    """The number of lines and rules that an approval adds."""

    additions: int
    deletions: int
    rules_appended: int


class MemoryProposalDiff(Output):
    """The change of the memory that an approval makes, as a unified diff."""

    proposal_id: str
    workspace_id: str
    crew_id: str
    status: ProposalStatus
    canonical_path: str
    canonical_exists: bool
    proposal_path: str
    rules_count: int
    diff: str
    stats: DiffStats


class MemoryProposalApproved(Output):
    """An approved proposal. `version_sha` is the digest of the new version of the memory."""

    proposal_id: str
    canonical_path: str
    rules_merged: int
    workspace_id: str
    crew_id: str
    decided_by: str
    version_sha: Annotated[str | None, Absent()] = None


class MemoryProposalRejected(Output):
    """A rejected proposal. `reason` is empty if none was sent."""

    proposal_id: str
    status: ProposalStatus
    decided_by: str
    reason: str


def path_of(owner: MemoryOwner, proposal_id: str) -> str:
    return owner.shown(f"topics/.proposed/proposal-{proposal_id}.md")


def rules_of(proposal: MemoryProposal) -> list[LearnedRule]:
    return [LearnedRule(**rule) for rule in proposal.rules]


async def _found(ctx: Context, id: str) -> tuple[MemoryProposal, MemoryOwner]:
    proposal = await ctx.get(MemoryProposal, id, missing=MISSING)
    try:
        crew = await crew_named(ctx, proposal.crew_id)
    except Refusal:
        raise Refusal(Code.NOT_FOUND, MISSING) from None
    return proposal, MemoryOwner(crew.id, crew.slug)


@procedure("consolidate.proposal_explain", Action.READ, errors=(Code.NOT_FOUND,))
async def explain_proposal(ctx: Context, data: OfProposal) -> MemoryProposalView:
    """Get a memory proposal.

    Returns the proposed rules, the journal entries that the model was shown, and the scores of the rules.
    """
    proposal, owner = await _found(ctx, data.proposal_id)
    same = ("crew_id", "status", "entries_scanned", "created_at", "decided_at", "decided_by_user_id", "scores")
    return MemoryProposalView(
        proposal_id=proposal.id,
        workspace_id=ctx.workspace_id or "",
        proposal_path=path_of(owner, proposal.id),
        rules_count=len(proposal.rules),
        evidence=proposal.evidence | {"rules": proposal.rules},
        **{name: getattr(proposal, name) for name in same},
    )


@procedure("consolidate.proposal_diff", Action.READ, late=True, errors=(Code.NOT_FOUND, Code.TOO_LARGE))
async def compare_proposal(ctx: Context, data: OfProposal) -> MemoryProposalDiff:
    """Compare a memory proposal with the memory.

    Returns the lines that an approval adds to the crew's rules of the day. TOO_LARGE if that file has more than 8 MiB.
    """
    proposal, owner = await _found(ctx, data.proposal_id)
    at = proposal.decided_at or await ctx.now()
    name, rules = name_of(at.astimezone(UTC)), rules_of(proposal)
    before = await _current(ctx, owner, name)
    after = merged(before or "", _block(proposal.id, rules, at))
    diff, additions = appended(before or "", after)
    return MemoryProposalDiff(
        proposal_id=proposal.id,
        workspace_id=ctx.workspace_id or "",
        crew_id=owner.crew_id,
        status=proposal.status,
        canonical_path=owner.shown(name),
        canonical_exists=before is not None,
        proposal_path=path_of(owner, proposal.id),
        rules_count=len(rules),
        diff=diff,
        stats=DiffStats(additions=additions, deletions=0, rules_appended=len(rules)),
    )


def _block(proposal_id: str, rules: Sequence[LearnedRule], at: datetime) -> str:
    return block_of(rules) + approval_of(proposal_id, at.astimezone(UTC))


async def _current(ctx: Context, owner: MemoryOwner, name: str) -> str | None:
    try:
        content = await read_memory(output_of_crew(ctx, owner.crew_id), owner.place(name), MOST_APPENDED)
    except Refusal as refusal:
        if refusal.code is not Code.NOT_FOUND:
            raise
        return None
    if content is None:
        raise Refusal(Code.TOO_LARGE, TOO_LARGE)
    return content.decode(errors="replace")


def appended(before: str, after: str) -> tuple[str, int]:
    """The unified diff of texts of which the second continues the first, in a time linear in both."""
    old, new = before.splitlines(), after.splitlines()
    added = new[len(old) :]
    shown = old[-CONTEXT:]
    first = len(old) - len(shown) + 1
    start = first if shown else 0
    head = f"@@ -{start},{len(shown)} +{first},{len(shown) + len(added)} @@"
    lines = [*HEADERS, head, *[f" {line}" for line in shown], *[f"+{line}" for line in added]]
    return "\n".join(lines) + "\n", len(added)


@command(
    "consolidate.proposal_approve",
    Action.MANAGE,
    audit="memory_proposal.approved",
    emits=InboxItemUpdated,
    errors=(Code.NOT_FOUND, Code.CONFLICT, Code.TOO_LARGE),
    late=True,
)
async def approve_proposal(ctx: Context, data: OfProposal) -> MemoryProposalApproved:
    """Approve a memory proposal.

    Appends the rules to the crew's rules of the day and adds a version. CONFLICT if the proposal has been decided.
    """
    proposal, owner = await _found(ctx, data.proposal_id)
    if proposal.status is not ProposalStatus.pending:
        raise Refusal(Code.CONFLICT, DECIDED)
    at, rules = await ctx.now(), rules_of(proposal)
    name, mark = name_of(at.astimezone(UTC)), f"(proposal {proposal.id})"

    def with_rules(before: bytes) -> bytes:
        return merged(before.decode(errors="replace"), _block(proposal.id, rules, at), mark).encode()

    write = MemoryWrite(owner, name, MemoryTier.learned, b"", appended=with_rules)
    decide = partial(_decide, ctx, proposal, ProposalStatus.approved)
    done = await write_memories(ctx, [write], written_by=ctx.user_id, first=decide)
    if write.path in done.failed:
        raise Refusal(Code.CONFLICT, done.failed[write.path])
    place, version = owner.shown(name), done.versions[write.path]
    ctx.audit("MEMORY_PROPOSAL", proposal.id, crew_id=owner.crew_id, path=place, rules=len(rules))
    tell_learned(ctx, owner, rules, {"proposal_id": proposal.id, "path": place, "version_sha": version.sha256})
    return MemoryProposalApproved(
        proposal_id=proposal.id,
        canonical_path=place,
        rules_merged=len(rules),
        workspace_id=ctx.workspace_id or "",
        crew_id=owner.crew_id,
        decided_by=ctx.user_id,
        version_sha=version.sha256,
    )


def tell_learned(ctx: Context, owner: MemoryOwner, rules: Sequence[LearnedRule], payload: dict[str, Any]) -> None:
    """The entry of the journal about rules that were written."""
    by_user = bool(ctx.user_id)
    ctx.record(
        JournalEntry(
            entry_type="memory.consolidated",
            actor_type=JournalActor.user if by_user else JournalActor.system,
            actor_id=ctx.user_id or "consolidator",
            crew_id=owner.crew_id,
            summary=f"{len(rules)} rules were added to the memory of the crew {owner.crew_slug}",
            payload={"rules_count": len(rules), "patterns": [rule.pattern for rule in rules], **payload},
        )
    )


async def _decide(ctx: Context, proposal: MemoryProposal, status: ProposalStatus, **more: Any) -> None:
    by: dict[str, Any] = {"decided_by_user_id": ctx.user_id or None}
    await ctx.move(PROPOSAL_STATES, proposal, status, **by, **more)
    await settle(ctx, InboxKind.memory_consolidation, proposal.id, status.value)


@command(
    "consolidate.proposal_reject",
    Action.MANAGE,
    audit="memory_proposal.rejected",
    emits=InboxItemUpdated,
    errors=(Code.NOT_FOUND, Code.CONFLICT),
)
async def reject_proposal(ctx: Context, data: RejectProposal) -> MemoryProposalRejected:
    """Reject a memory proposal.

    The proposal is kept, and its inbox item is resolved. CONFLICT if the proposal has been decided.
    """
    proposal, owner = await _found(ctx, data.proposal_id)
    if proposal.status is not ProposalStatus.pending:
        raise Refusal(Code.CONFLICT, DECIDED)
    await _decide(ctx, proposal, ProposalStatus.rejected, reason=data.reason)
    ctx.audit("MEMORY_PROPOSAL", proposal.id, crew_id=owner.crew_id, reason=data.reason)
    return MemoryProposalRejected(
        proposal_id=proposal.id, status=ProposalStatus.rejected, decided_by=ctx.user_id, reason=data.reason
    )
