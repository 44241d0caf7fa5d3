"""Verification of the audit log against its seals: names the rows that were changed, removed, moved or added."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import SequenceMatcher
from time import monotonic
from typing import Any

from models.oversight.audit import DIGEST
from resolvers.kernel.writing.persons import LEFT_DIGEST, is_as_erased
from resolvers.oversight.audit.seals import DIGESTED, EMPTY, PLACE, chained, rows_dropped

AT_ONCE = 200  # seals
PART_AT_ONCE = 50  # of which each may hold 32 KiB
MOST_SEALS, MOST_ROWS, MOST_FAULTS, SECONDS = 1_000, 20_000, 100, 2.0
"""The limits of a portion, which the first of them ends."""
Signed = Callable[[bytes, bytes], bool]
"""Returns true if this instance has signed the content."""
SEALS = """
    SELECT * FROM audit_seals WHERE (workspace_id, number) > ($1, $2) AND ($3::text IS NULL OR workspace_id = $3)
    ORDER BY workspace_id, number LIMIT $4
"""
ROWS = f"""
    SELECT id, seq, {DIGESTED} AS digest, {LEFT_DIGEST} AS rest, erased, erased_signature FROM audit_logs
    WHERE workspace_id = $1 AND seq > $2 AND seq <= $3
        AND NOT coalesce(created_at < $5 AND tableoid <> to_regclass('audit_logs_earlier'), false)
    ORDER BY seq LIMIT $4
"""
"""The rows without expired ones whose month has yet to be dropped."""
STRAYS = """
    WITH ends AS MATERIALIZED (SELECT workspace_id, max(last_seq) AS last_seq FROM audit_seals GROUP BY workspace_id)
    SELECT l.workspace_id, l.id, l.seq FROM audit_logs l LEFT JOIN ends USING (workspace_id)
    WHERE l.seq <= $1 AND ($2::text IS NULL OR l.workspace_id = $2) AND l.seq > coalesce(ends.last_seq, 0)
        AND EXISTS (SELECT FROM workspaces WHERE workspaces.id = l.workspace_id)
    ORDER BY l.seq LIMIT 100
"""


STRAYS_OF_ONE = """
    SELECT workspace_id, id, seq FROM audit_logs WHERE workspace_id = $1 AND seq <= $2
        AND seq > coalesce((SELECT last_seq FROM audit_seals WHERE workspace_id = $1 ORDER BY number DESC LIMIT 1), 0)
    ORDER BY seq LIMIT $3
"""
LAST_SEAL = "SELECT coalesce((SELECT max(number) FROM audit_seals WHERE workspace_id = $1), 0)"
SEAL_BEFORE = """
    SELECT number, hash, last_seq FROM audit_seals WHERE workspace_id = $1 AND number <= $2
    ORDER BY number DESC LIMIT 1
"""
FIRST_SINCE = """
    SELECT number - 1 FROM audit_seals WHERE workspace_id = $1 AND last_at >= $2 ORDER BY number LIMIT 1
"""
SAME_SEAL = "SELECT * FROM audit_seals WHERE workspace_id = $1 AND number = $2"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was sealed. `seq` is its place in the log, and `row` the entry there; without one,
    a seal or the order of entries is broken.
    """

    workspace_id: str
    text: str
    seq: int
    row: str | None = None


@dataclass
class Verified:
    """The progress of a verification."""

    workspaces: int = 0
    seals: int = 0
    rows: int = 0
    dropped: int = 0  # rows that have expired, with their seal still there
    faults: int = 0


async def verify(conn: Any, signed: Signed, workspace_id: str | None, found: Verified) -> AsyncIterator[Fault]:
    """Walks the chains of all workspaces, or of one, seal by seal: memory does not grow with the log.

    `conn` sees the rows of all workspaces.
    """
    place, before, last_seq = ("", 0), EMPTY, 0
    while seals := await conn.fetch(SEALS, *place, workspace_id, AT_ONCE):
        for seal in seals:
            if seal["workspace_id"] != place[0]:
                place, before, last_seq = (seal["workspace_id"], 0), EMPTY, 0
                found.workspaces += 1
            for fault in await _faults_of(conn, signed, seal, place[1], before, last_seq, found):
                found.faults += 1
                yield fault
            place, before, last_seq = (seal["workspace_id"], seal["number"]), seal["hash"], seal["last_seq"]
            found.seals += 1
    for row in await conn.fetch(STRAYS, await conn.fetchval(PLACE), workspace_id):
        found.faults += 1
        yield _stray(row)


def _stray(row: Any) -> Fault:
    text = f"row {row['id']} was added after the last seal, or that seal was removed"
    return Fault(row["workspace_id"], text, row["seq"], row["id"])


@dataclass
class VerifiedPart:
    """The result for one portion of a workspace's chain."""

    last: int  # the number of the newest seal
    seal: int  # the number of the last seal that was checked
    seals: int = 0
    since: datetime | None = None
    until: datetime | None = None
    faults: list[Fault] = field(default_factory=list)
    found: Verified = field(default_factory=Verified)


async def verify_part(
    conn: Any, signed: Signed, workspace_id: str, since: datetime | None, after_seal: int
) -> VerifiedPart:
    """Checks the next seals of one workspace: at least one, then until a limit of seals, rows, faults or time is met.

    `conn` sees the rows of the workspace.
    """
    if since is not None:
        first = await conn.fetchval(FIRST_SINCE, workspace_id, since)
        after_seal = max(after_seal, await conn.fetchval(LAST_SEAL, workspace_id) if first is None else first)
    previous = await conn.fetchrow(SEAL_BEFORE, workspace_id, after_seal)
    number, before, last_seq = (0, EMPTY, 0) if previous is None else tuple(previous)
    part = VerifiedPart(await conn.fetchval(LAST_SEAL, workspace_id), number)
    ends = monotonic() + SECONDS
    while seals := await conn.fetch(SEALS, workspace_id, part.seal, workspace_id, PART_AT_ONCE):
        for seal in seals:
            part.faults += await _settled_faults(conn, signed, seal, number, before, last_seq, part.found)
            number, before, last_seq = seal["number"], seal["hash"], seal["last_seq"]
            part.seal, part.seals = number, part.seals + 1
            part.since, part.until = part.since or seal["first_at"], seal["last_at"]
            full = part.seals >= MOST_SEALS or part.found.rows >= MOST_ROWS or len(part.faults) >= MOST_FAULTS
            if full or monotonic() > ends:
                return _shortened(part)
    strays = await conn.fetch(STRAYS_OF_ONE, workspace_id, await conn.fetchval(PLACE), MOST_FAULTS)
    part.faults += [_stray(row) for row in strays]
    part.last = part.seal
    return _shortened(part)


def _shortened(part: VerifiedPart) -> VerifiedPart:
    part.found.faults = len(part.faults)
    part.faults = part.faults[:MOST_FAULTS]
    return part


async def _settled_faults(
    conn: Any, signed: Signed, seal: Any, number: int, before: bytes, last_seq: int, found: Verified
) -> list[Fault]:
    """The faults of a seal that did not change meanwhile: rows may expire between the reading of a seal and of its
    rows.
    """
    while True:
        seen = Verified()
        faults = await _faults_of(conn, signed, seal, number, before, last_seq, seen)
        again = await conn.fetchrow(SAME_SEAL, seal["workspace_id"], seal["number"]) if faults else seal
        if again is None or again["dropped_at"] == seal["dropped_at"]:
            found.rows, found.dropped = found.rows + seen.rows, found.dropped + seen.dropped
            return faults
        seal = again


async def _faults_of(
    conn: Any, signed: Signed, seal: Any, number: int, before: bytes, last_seq: int, found: Verified
) -> list[Fault]:
    named = f"seal {seal['number']}"

    def broken(text: str) -> list[Fault]:
        return [Fault(seal["workspace_id"], text, seal["first_seq"])]

    if seal["number"] != number + 1:
        lost = seal["number"] - number - 1
        return broken(f"{named} follows seal {number}: {lost} seals between them are missing")
    if not signed(seal["hash"], seal["signature"]):
        return broken(f"{named} is not signed by this instance")
    digests, until = seal["digests"] or b"", seal["dropped_until"]
    left = len(digests) // DIGEST
    if seal["dropped_at"] is not None:
        gone = seal["rows"] - left
        said = rows_dropped(seal["hash"], seal["dropped_at"], until, digests)
        if not signed(said, seal["dropped_signature"] or b""):
            return broken(f"{named} records {gone} expired rows, which this instance has not removed")
        found.dropped += gone
    elif seal["digests"] is None or chained(before, seal) != seal["hash"]:
        return broken(f"{named} or the previous seal was changed")
    # one row more than there were: an added one shows, and no number of them is too many
    rows = await conn.fetch(ROWS, seal["workspace_id"], last_seq, seal["last_seq"], left + 1, until)

    def of(row: Any, text: str) -> Fault:
        return Fault(seal["workspace_id"], f"row {row['id']} {text}", row["seq"], row["id"])

    if not left:
        return [of(row, f"is in the range of {named}, whose rows have expired") for row in rows]
    found.rows += len(rows)
    faults = [
        of(row, "records an erasure that this instance did not perform")
        for row in rows
        if row["erased"] is not None and not is_as_erased(signed, row)
    ]
    if b"".join([row["digest"] for row in rows]) == digests:
        return faults
    sealed = [digests[at : at + DIGEST] for at in range(0, len(digests), DIGEST)]
    return faults + _differences(seal, sealed, rows)


def _differences(seal: Any, sealed: list[bytes], rows: Sequence[Any]) -> list[Fault]:
    """The differences between a seal and its rows, in their order."""
    named = f"seal {seal['number']}"
    stored = [row["digest"] for row in rows]
    moved = set(sealed) & set(stored)
    found: list[Fault] = []

    def add(changed: Sequence[Any], text: str) -> None:
        texts = [(f"row {row['id']} was {text} {named}", row["seq"], row["id"]) for row in changed]
        found.extend([Fault(seal["workspace_id"], *each) for each in texts])

    for kind, a, b, c, d in SequenceMatcher(None, sealed, stored, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        gone = [digest for digest in sealed[a:b] if digest not in moved]
        new = [row for row in rows[c:d] if row["digest"] not in moved]
        add([row for row in rows[c:d] if row["digest"] in moved], "moved within")
        add(new[: len(gone)], "changed since")
        add(new[len(gone) :], "added since")
        if len(gone) > len(new):
            missing = len(gone) - len(new)
            before = f"row {rows[d - 1]['id']}" if d else f"the beginning of {named}"
            after = f"row {rows[d]['id']}" if d < len(rows) else f"the end of {named}"
            lost = f"{missing} {'row is' if missing == 1 else 'rows are'} missing between {before} and {after}"
            place = rows[d]["seq"] if d < len(rows) else seal["last_seq"]
            found.append(Fault(seal["workspace_id"], lost, place))
    return found
