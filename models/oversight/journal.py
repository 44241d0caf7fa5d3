"""The journal: entries without another row, and a line for every entry.

A line contains time, actor, subject, and the place of the details; of the content it has only the words for the search.
Triggers write it in the transaction of the row. Lines make a page cost the same at any depth, and find a rare word
among millions: see ADR 61.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import BigInteger, Column, Index, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlmodel import Field

from models.base import Row, TenantTable, enum_field, json_field, stored_at, text_field, time_field
from models.bounds import CONFIG, ID, NAME, NOTES
from models.expiry import ByIndex, Kept
from models.personal_data import AUTHOR, MENTIONS, NOTHING, holding
from models.retention import RetentionKind


class Severity(StrEnum):
    """The severity of a journal entry."""

    info = "info"
    notice = "notice"
    warn = "warn"
    error = "error"


class Priority(StrEnum):
    """The priority of a journal entry; `pin` and `permanent` entries are exempt from retention."""

    normal = "normal"
    high = "high"
    pin = "pin"
    permanent = "permanent"


class JournalActor(StrEnum):
    """The actor of a journal entry."""

    agent = "agent"
    user = "user"
    system = "system"
    keeper = "keeper"
    sidecar = "sidecar"
    orchestrator = "orchestrator"


class JournalEntry(TenantTable, table=True):
    """An entry without another row. Its ids do not reference rows, because entries outlive them."""

    __tablename__ = "journal_entries"
    __table_args__ = (
        Index("journal_entries_workspace_id_idx", "workspace_id"),
        Index(
            "journal_entries_skill_idx",
            "workspace_id",
            text("(payload ->> 'skill_id')"),
            "created_at",
            postgresql_where=text("entry_type = 'skill.invoked'"),
        ),
    )
    entry_type: str = text_field(NAME, holds=NOTHING)
    severity: Severity = enum_field(Severity.info)
    actor_type: JournalActor = enum_field(JournalActor.system)
    actor_id: str | None = text_field(ID, default=None, holds=AUTHOR)
    crew_id: str | None = text_field(ID, default=None, holds=NOTHING)
    agent_id: str | None = text_field(ID, default=None, holds=NOTHING)
    mission_id: str | None = text_field(ID, default=None, holds=NOTHING)
    trace_id: str | None = text_field(ID, default=None, holds=NOTHING)
    summary: str = text_field(CONFIG, holds=MENTIONS)
    payload: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS)
    refs: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS)
    created_at: datetime = stored_at("clock_timestamp()")


OLDEST = """
    SELECT id, at FROM journal WHERE place = $1 AND at < $2 AND ($3::timestamptz IS NULL OR at >= $3)
        AND priority NOT IN ('pin', 'permanent')
    ORDER BY at, id LIMIT $4
"""
# Each entry that goes looks for its line.
GONE = """
    gone AS (
        DELETE FROM journal j USING old WHERE j.place = $1 AND j.at = old.at AND j.id = old.id
        RETURNING j.kind, j.row_id
    ),
    entries AS (
        DELETE FROM journal_entries e USING gone
        WHERE gone.kind = 'je' AND e.id = gone.row_id AND e.workspace_id = $1
    )
"""


class JournalLine(Row, table=True):
    """The line of an entry: `kind` and `row_id` name the row with the details. The id begins with the time, so lines
    have one order, and one is found by its id.

    `place` is the workspace. There is no row-level security, because it would keep the words out of an index. Only the
    functions of the journal read lines; they compare the place with the session's workspace.
    """

    __tablename__ = "journal"
    __kept__: ClassVar = Kept(RetentionKind.journal, removal=ByIndex(OLDEST, GONE, portion=1_000))
    __table_args__ = (
        *[
            Index(f"journal_{key}_idx", "place", key, "at", "id", postgresql_where=text(f"{key} IS NOT NULL"))
            for key in ("agent_id", "crew_id", "mission_id", "trace_id")
        ],
        *[Index(f"journal_{key}_idx", "place", key, "at", "id") for key in ("entry_type", "severity", "actor_type")],
        Index(
            "journal_terms_idx",
            text(
                "journal_terms(place, at, agent_id, crew_id, mission_id, trace_id, entry_type, severity, actor_type,"
                " words)"
            ),
            postgresql_using="gin",
            postgresql_with={"gin_pending_list_limit": "512"},
        ),
        Index("journal_priority_idx", "place", "at", "id", postgresql_where=text("priority <> 'normal'")),
        Index("journal_seen_idx", "place", "xid", "id"),
    )
    place: str = text_field(ID, primary_key=True, holds=NOTHING)
    at: datetime = time_field(primary_key=True)
    id: str = text_field(NAME, primary_key=True)
    kind: str = text_field(NAME, holds=NOTHING)
    row_id: str = text_field(ID, holds=NOTHING)
    entry_type: str = text_field(NAME, holds=NOTHING)
    severity: Severity = enum_field(Severity.info)
    priority: Priority = enum_field(Priority.normal)
    actor_type: JournalActor = enum_field(JournalActor)
    actor_id: str | None = text_field(ID, default=None, holds=NOTHING)
    crew_id: str | None = text_field(ID, default=None, holds=NOTHING)
    agent_id: str | None = text_field(ID, default=None, holds=NOTHING)
    mission_id: str | None = text_field(ID, default=None, holds=NOTHING)
    trace_id: str | None = text_field(ID, default=None, holds=NOTHING)
    words: str = Field(default="", sa_column=Column(TSVECTOR, nullable=False, **holding(NOTHING)))
    xid: int = Field(
        default=None,
        sa_column=Column(BigInteger, nullable=False, server_default=text("pg_current_xact_id()::text::bigint")),
    )
