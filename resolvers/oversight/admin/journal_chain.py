"""The check of the sealed entries of a workspace's journal, which are the rows of its audit log (see ADR 57)."""

from enum import StrEnum
from time import monotonic
from typing import Annotated, Final

from pydantic import Field

from resolvers.kernel import Absent, Action, Context, Input, Output, instance, procedure
from resolvers.oversight.audit.verification import Fault, verify_part

SECONDS: Final = 10.0  # of one answer
MOST_BREAKS: Final = 100


class BreakKind(StrEnum):
    """The kind of a break. `content`: the entry is not as it was sealed."""

    content = "content"


class ChainBreak(Output):
    """An entry that was changed, moved or added."""

    seq: int
    id: str
    kind: BreakKind
    reason: str


class ChainVerification(Output):
    """`ok`: no fault was found. `count` entries were compared, which `checkpoints` seals cover. `broken_seq`,
    `broken_id` and `reason` are of the first fault; without `broken_id`, a seal or an entry is missing there.

    `breaks` lists at most 100 of `break_count` entries. `next_seal`, if it is present, is where the next call continues
    (`after_seal`).
    """

    workspace_id: str
    ok: bool
    count: int
    checkpoints: Annotated[int | None, Absent()] = None
    broken_seq: Annotated[int | None, Absent()] = None
    broken_id: Annotated[str | None, Absent()] = None
    reason: Annotated[str | None, Absent()] = None
    breaks: Annotated[list[ChainBreak] | None, Absent()] = None
    break_count: Annotated[int | None, Absent()] = None
    breaks_truncated: Annotated[bool | None, Absent()] = None
    next_seal: Annotated[int | None, Absent()] = None


class VerifyJournal(Input):
    """`after_seal` continues after an earlier answer: its `next_seal`."""

    after_seal: Annotated[int, Field(ge=0, lt=2**31)] = 0


@procedure("admin.journal_verify", Action.MANAGE)
async def verify_journal(ctx: Context, data: VerifyJournal) -> ChainVerification:
    """Check the journal against its seals.

    Compares the entries of the audit log with the signed seals that cover them. Other entries are not sealed, and
    entries of the last seconds are not sealed yet. A call ends after about ten seconds at most; a longer log continues
    with `after_seal`.
    """
    workspace_id, place, ends = ctx.workspace_id or "", data.after_seal, monotonic() + SECONDS
    first: Fault | None = None
    broken, seals, rows = list[Fault](), 0, 0
    counted = 0
    while True:
        part = await verify_part(ctx.conn, instance.vault.signed, workspace_id, None, place)
        seals, rows = seals + part.seals, rows + part.found.rows
        first = first or next(iter(part.faults), None)
        named = [fault for fault in part.faults if fault.row is not None]
        broken += named[: MOST_BREAKS - len(broken)]
        counted += len(named) + part.found.faults - len(part.faults)
        place = part.seal
        if part.seal >= part.last or monotonic() > ends:
            break
    breaks = [ChainBreak(seq=each.seq, id=each.row or "", kind=BreakKind.content, reason=each.text) for each in broken]
    return ChainVerification(
        workspace_id=workspace_id,
        ok=first is None,
        count=rows,
        checkpoints=seals or None,
        broken_seq=first and first.seq,
        broken_id=first and first.row,
        reason=first and first.text,
        breaks=breaks or None,
        break_count=counted or None,
        breaks_truncated=True if counted > len(breaks) else None,
        next_seal=place if place < part.last else None,
    )
