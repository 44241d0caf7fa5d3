"""The trace of a run: what it did, and when."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import Index
from sqlmodel import Field

from models.base import (
    TenantRow,
    belongs_to,
    enum_field,
    json_field,
    partitioned,
    stored_at,
    tenant_id,
    text_field,
    time_field,
)
from models.bounds import ID, LINE, NOTES, PROMPT
from models.expiry import ByDay, Kept
from models.personal_data import MENTIONS, NOTHING
from models.retention import RetentionKind


class SpanKind(StrEnum):
    """The kind of a span. RUN: the run itself, from its first worker to its end; it has one. RETRY: a failed call of a
    model that is repeated. MESSAGE: text of the agent outside a call of a model. WAIT: the run waits for an approval.
    """

    RUN = "RUN"
    MODEL_CALL = "MODEL_CALL"
    TOOL_CALL = "TOOL_CALL"
    MESSAGE = "MESSAGE"
    RETRY = "RETRY"
    WAIT = "WAIT"


class SpanStatus(StrEnum):
    """The state of a span. CANCELLED: the run ended, or another worker took it over, before the span had a result."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class RunSpan(TenantRow, table=True):
    """One piece of a run, such as a tool call. Runs of every trigger have spans, with and without a chat.

    Spans are numbered in the order in which they begin; triggers of `runs` write 0, the run itself, and waits. `input`
    and `output` have passed the redactor, and are truncated. `changed` is the position of the last change in the order
    in which transactions end. `created_at` is the run's, so that the spans of a run expire together.
    """

    __tablename__ = "run_spans"
    __kept__: ClassVar = Kept(RetentionKind.frames, setting="frame_days", removal=ByDay())
    __table_args__ = (
        belongs_to("run_id", "runs", ondelete="CASCADE"),
        Index("run_spans_run_id_changed_idx", "run_id", "changed"),
        Index("run_spans_created_at_idx", "created_at", postgresql_using="brin"),
        partitioned("week", days="frame_days"),
    )
    workspace_id: str = tenant_id()
    run_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    parent_seq: int | None = None
    kind: SpanKind = enum_field(SpanKind)
    name: str = text_field(LINE, holds=MENTIONS)
    status: SpanStatus = enum_field(SpanStatus.RUNNING)
    started_at: datetime = time_field()
    finished_at: datetime | None = time_field(default=None)
    summary: str | None = text_field(LINE, default=None, holds=MENTIONS)
    input: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS)
    output: str | None = text_field(PROMPT, default=None, holds=MENTIONS)
    model_call_id: str | None = text_field(ID, default=None, holds=NOTHING)
    approval_id: str | None = text_field(ID, default=None, holds=NOTHING)
    changed: str = text_field(LINE, holds=NOTHING)
    created_at: datetime = stored_at("now()", primary_key=True)
