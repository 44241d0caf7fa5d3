"""The check of a workspace's audit log against its seals, portion by portion."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from resolvers.kernel import GRAPHQL_ONLY, Action, Context, Input, Int, Output, instance, procedure
from resolvers.oversight.audit.verification import verify_part
from resolvers.rules.times import Since


class VerifyAudit(Input):
    """`since` leaves out seals of older entries. `after_seal` continues after a portion: its `next_seal`."""

    since: Since = None
    after_seal: Annotated[Int, Field(ge=0)] = 0


class AuditVerdict(Output):
    """The result for one portion of the log. `next_seal` is null if it is the last one.

    `since` and `until` are the times of its first and last entry. `faults` name at most 100 changed, moved, removed or
    added entries; `fault_count` counts all in the portion. `rows` were compared; `expired` are gone by retention, and
    their seals remain. `seal` of `last_seal` shows the progress.
    """

    whole: bool
    faults: list[str]
    fault_count: int
    since: datetime | None
    until: datetime | None
    rows: int
    expired: int
    seals: int
    seal: int
    last_seal: int
    next_seal: int | None


@procedure("audit.verify", Action.MANAGE, surfaces=GRAPHQL_ONLY)
async def verify_audit(ctx: Context, data: VerifyAudit) -> AuditVerdict:
    """Check the audit log against its seals.

    One call checks a portion: at most 1,000 seals or about 20,000 entries, for two seconds at most. Repeat it with
    `after_seal` until `next_seal` is null. Entries are sealed within seconds; newer ones are not checked.
    """
    part = await verify_part(ctx.conn, instance.vault.signed, ctx.workspace_id or "", data.since, data.after_seal)
    return AuditVerdict(
        whole=not part.found.faults,
        faults=[fault.text for fault in part.faults],
        fault_count=part.found.faults,
        since=part.since,
        until=part.until,
        rows=part.found.rows,
        expired=part.found.dropped,
        seals=part.seals,
        seal=part.seal,
        last_seal=part.last,
        next_seal=part.seal if part.seal < part.last else None,
    )
