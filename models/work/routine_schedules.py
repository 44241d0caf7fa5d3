"""Schedules of routines: cron expressions that start runs."""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field

from models.base import (
    SoftDelete,
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    json_field,
    new_id,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import ERROR, ID, LABEL, NAME, PAYLOAD
from models.personal_data import MENTIONS, NOTHING
from models.work.recurring_issues import LONGEST_CRON


class CatchupPolicy(StrEnum):
    """The effect of missed occurrences: none, one run, or a run for each."""

    skip = "skip"
    once = "once"
    all = "all"


class ScheduleOutcome(StrEnum):
    """The outcome of the last occurrence of a schedule."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    WAITING = "WAITING"
    DEDUPED = "DEDUPED"


class WakeOutcome(StrEnum):
    """The outcome of the last wake check: ERROR lets the run happen, HELD does not."""

    WOKE = "WOKE"
    SKIPPED = "SKIPPED"
    ERROR = "ERROR"
    HELD = "HELD"


class ScheduleDisabledReason(StrEnum):
    """The reason for which the service disabled a schedule."""

    circuit_breaker = "circuit_breaker"


def new_schedule_id() -> str:
    """`psched_` and a cuid (contract: routine-schedules.Schedule)."""
    return f"psched_{new_id()}"


class RoutineSchedule(TenantTable, SoftDelete, Versioned, Timestamps, table=True):
    """An enabled one is due when `next_run_at` has come. `cron_expr` is read in `timezone`.

    `run_as_id`: the member whose rights each occurrence needs; one that an agent made (`by_agent`) needs the level of
    its crew. `current_run_id` is the run of the last occurrence, `wake_run_id` the run of the wake check that is under
    way. `catchup_left`: missed occurrences that are still to run. `last_error`: why the last occurrence failed.
    """

    __tablename__ = "routine_schedules"
    __kinds__: ClassVar = frozenset({"routine_schedule"})
    __bookkeeping__: ClassVar = frozenset(
        {
            "next_run_at", "last_run_at", "last_status", "last_run_id", "last_error", "last_missed_count",
            "consecutive_failures", "wake_check_count", "wake_fire_count", "last_wake_at", "last_wake_status",
            "current_run_id", "wake_run_id", "catchup_left",
        }
    )  # fmt: skip
    __table_args__ = (
        tenant_key(),
        belongs_to("routine_id", "routines", ondelete="CASCADE"),
        belongs_to("wake_routine_id", "routines", ondelete="SET NULL (wake_routine_id)"),
        belongs_to("crew_id", "crews", ondelete="SET NULL (crew_id)"),
        CheckConstraint("max_consecutive_failures >= 1 AND jitter_seconds >= 0", name="counted"),
        Index(
            "routine_schedules_list_idx",
            "workspace_id",
            "next_run_at",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index("routine_schedules_due_idx", "next_run_at", "id", postgresql_where=text("enabled")),
        Index("routine_schedules_routine_id_idx", "workspace_id", "routine_id", "next_run_at", "id"),
        Index("routine_schedules_wake_routine_id_idx", "workspace_id", "wake_routine_id"),
        Index("routine_schedules_crew_id_idx", "workspace_id", "crew_id"),
        Index("routine_schedules_run_as_id_idx", "run_as_id"),
    )
    id: str = text_field(ID, default_factory=new_schedule_id, primary_key=True)
    routine_id: str
    routine_version: int | None = None
    name: str = text_field(LABEL, holds=MENTIONS)
    cron_expr: str = text_field(LONGEST_CRON, holds=NOTHING)
    timezone: str = text_field(NAME, default="UTC", holds=NOTHING)
    inputs: dict[str, Any] = json_field(PAYLOAD, default_factory=dict, holds=MENTIONS)
    enabled: bool = True
    jitter_seconds: int = 0
    catchup_policy: CatchupPolicy = enum_field(CatchupPolicy.once)
    catchup_left: int = 0
    wake_routine_id: str | None = None
    wake_inputs: dict[str, Any] | None = json_field(PAYLOAD, default=None, holds=MENTIONS)
    wake_fail_closed: bool = False
    wake_check_count: int = 0
    wake_fire_count: int = 0
    last_wake_at: datetime | None = time_field(default=None)
    last_wake_status: WakeOutcome | None = enum_field(WakeOutcome, default=None)
    wake_run_id: str | None = text_field(ID, default=None, holds=NOTHING)
    next_run_at: datetime = time_field()
    current_run_id: str | None = text_field(ID, default=None, holds=NOTHING)
    last_run_at: datetime | None = time_field(default=None)
    last_status: ScheduleOutcome | None = enum_field(ScheduleOutcome, default=None)
    last_run_id: str | None = text_field(ID, default=None, holds=NOTHING)
    last_error: str | None = text_field(ERROR, default=None, holds=MENTIONS)
    last_missed_count: int = 0
    consecutive_failures: int = 0
    max_consecutive_failures: int = 5
    disabled_reason: ScheduleDisabledReason | None = enum_field(ScheduleDisabledReason, default=None)
    by_agent: bool = False
    crew_id: str | None = None
    run_as_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
