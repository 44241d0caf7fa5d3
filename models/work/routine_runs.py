"""Runs of routines: the record of each step, and what runs wait for."""

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field

from models.base import (
    TenantTable,
    Timestamps,
    belongs_to,
    enum_field,
    json_field,
    new_id,
    stored_at,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import ERROR, ID, LINE, NOTES, PAYLOAD, PROMPT
from models.machines import Machine
from models.personal_data import CONFIGURATION, HIDDEN, MENTIONS, NOTHING, WORDS

LARGEST_OUTPUT: Final = 8 << 20
"""Characters of the output of a step, and of a run."""
LARGEST_INPUTS: Final = 4 << 20
"""Bytes of the inputs of a run: a delivery of 1 MiB is in them as a text, and as the value that it is."""
HASH: Final = 64
TOKEN: Final = 32
LONGEST_SIGNAL: Final = NOTES
"""Characters of the payload of a signal."""
NOTE: Final = 2_000
"""Characters of the comment of a decision."""


class RoutineRunStatus(StrEnum):
    """The status of a run; waiting for a person or an event, it costs no process."""

    queued = "queued"
    running = "running"
    waiting = "waiting"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"
    interrupted = "interrupted"
    dry_run = "dry_run"


class RoutineTrigger(StrEnum):
    """The cause of a run."""

    manual = "manual"
    schedule = "schedule"
    webhook = "webhook"
    call_pipeline = "call_pipeline"
    wake_check = "wake_check"
    automation = "automation"
    issue = "issue"


class RoutineStepState(StrEnum):
    """The state of a step within a run."""

    started = "started"
    retrying = "retrying"
    parked = "parked"
    completed = "completed"
    failed = "failed"
    skipped = "skipped"


class WaitpointStatus(StrEnum):
    """The status of an approval that a run waits for."""

    pending = "pending"
    approved = "approved"
    denied = "denied"
    timed_out = "timed_out"
    cancelled = "cancelled"


class SignalStatus(StrEnum):
    """The status of a run's wait for an event."""

    pending = "pending"
    delivered = "delivered"
    consumed = "consumed"


def new_run_id() -> str:
    """`run_` and a cuid (contract: routines.RunResult)."""
    return f"run_{new_id()}"


def new_batch_id() -> str:
    """`batch_` and a cuid (contract: routines.run_batch)."""
    return f"batch_{new_id()}"


def new_token() -> str:
    """32 hexadecimal digits: who knows them may decide (contract: waitpoints)."""
    return secrets.token_hex(TOKEN // 2)


class RoutineRun(TenantTable, Timestamps, table=True):
    """The definition is the version of the routine with `definition_hash`, whichever is the head. `state` and
    `overrides` are the routine's, as they were when the run began. `stopping_at`: when someone asked to cancel it.

    A queued run has not begun: it begins at `fire_at`, with the definition that the routine has then, and is cancelled
    if it has not begun at `expires_at`. `merges`: how often a later start with its `debounce_key` took its place.
    `schedule_id` and `webhook_id` name the trigger, and of a schedule its state, too. `restricted`: its inputs came
    from outside. `chain_depth`: how many runs led to it, each by a webhook or an agent of the one before.
    `reserved_usd`: the part of the routine's monthly budget that it may spend; 0 without a hard stop.
    `started_metadata`: the metadata that it executes with, if `run_metadata` was changed meanwhile.
    """

    __tablename__ = "routine_runs"
    __bookkeeping__: ClassVar = frozenset({"current_step_id", "cost_usd", "reserved_usd"})
    __table_args__ = (
        tenant_key(),
        belongs_to("routine_id", "routines", ondelete="CASCADE"),
        belongs_to("invoking_crew_id", "crews", ondelete="SET NULL (invoking_crew_id)"),
        belongs_to("invoking_agent_id", "agents", ondelete="SET NULL (invoking_agent_id)"),
        Index("routine_runs_list_idx", "workspace_id", "started_at", "id"),
        Index("routine_runs_status_idx", "workspace_id", "status", "started_at", "id"),
        Index("routine_runs_routine_id_idx", "workspace_id", "routine_id", "started_at", "id"),
        Index(
            "routine_runs_concurrency_key_idx",
            "workspace_id",
            "concurrency_key",
            postgresql_where=text("status = 'running' AND concurrency_key IS NOT NULL"),
        ),
        Index(
            "routine_runs_queued_idx",
            "workspace_id",
            "fire_at",
            "id",
            postgresql_where=text("status = 'queued'"),
        ),
        Index(
            "routine_runs_queued_key_idx",
            "workspace_id",
            "concurrency_key",
            text("priority DESC"),
            "fire_at",
            "id",
            postgresql_where=text("status = 'queued' AND concurrency_key IS NOT NULL"),
        ),
        Index(
            "routine_runs_debounce_idx",
            "workspace_id",
            "routine_id",
            "debounce_key",
            postgresql_where=text("status = 'queued' AND debounce_key IS NOT NULL"),
        ),
        Index(
            "routine_runs_batch_id_idx",
            "workspace_id",
            "batch_id",
            "fire_at",
            "id",
            postgresql_where=text("batch_id IS NOT NULL"),
        ),
        Index(
            "routine_runs_fingerprint_idx",
            "workspace_id",
            "error_fingerprint",
            "started_at",
            "id",
            postgresql_where=text("error_fingerprint IS NOT NULL"),
        ),
        Index("routine_runs_invoking_crew_id_idx", "workspace_id", "invoking_crew_id"),
        Index("routine_runs_invoking_agent_id_idx", "workspace_id", "invoking_agent_id"),
        Index("routine_runs_invoking_user_id_idx", "invoking_user_id"),
        belongs_to("schedule_id", "routine_schedules", ondelete="SET NULL (schedule_id)"),
        belongs_to("webhook_id", "routine_webhooks", ondelete="SET NULL (webhook_id)"),
        Index(
            "routine_runs_schedule_id_idx",
            "workspace_id",
            "schedule_id",
            "started_at",
            "id",
            postgresql_where=text("schedule_id IS NOT NULL"),
        ),
        Index(
            "routine_runs_webhook_id_idx",
            "workspace_id",
            "webhook_id",
            "started_at",
            "id",
            postgresql_where=text("webhook_id IS NOT NULL"),
        ),
        Index(
            "routine_runs_cost_idx",
            "workspace_id",
            "routine_id",
            "started_at",
            postgresql_include=["cost_usd"],
            postgresql_where=text("cost_usd > 0"),
        ),
        Index(
            "routine_runs_triggered_by_id_idx",
            "workspace_id",
            "triggered_by_id",
            postgresql_where=text("triggered_by_id IS NOT NULL"),
        ),
    )
    id: str = text_field(ID, default_factory=new_run_id, primary_key=True)
    routine_id: str
    definition_hash: str = text_field(HASH, holds=NOTHING)
    pinned: bool = False
    status: RoutineRunStatus = enum_field(RoutineRunStatus.running)
    current_step_id: str | None = text_field(LINE, default=None, holds=NOTHING)
    inputs: dict[str, Any] = json_field(LARGEST_INPUTS, default_factory=dict, holds=MENTIONS)
    run_metadata: dict[str, Any] = json_field(NOTES, default_factory=dict, holds=MENTIONS)
    state: dict[str, Any] = json_field(PAYLOAD, default_factory=dict, holds=MENTIONS)
    overrides: dict[str, Any] = json_field(
        PAYLOAD,
        default_factory=dict,
        holds=CONFIGURATION,
        sa_column_kwargs={"server_default": text("'{}'::jsonb")},
    )
    started_metadata: dict[str, Any] | None = json_field(NOTES, default=None, holds=MENTIONS)
    tags: list[str] = json_field(NOTES, default_factory=list, holds=NOTHING)
    concurrency_key: str | None = text_field(LINE, default=None, holds=MENTIONS)
    warnings: list[Any] = json_field(NOTES, default_factory=list, holds=MENTIONS)
    output: str | None = text_field(LARGEST_OUTPUT, default=None, holds=MENTIONS)
    error_message: str | None = text_field(ERROR, default=None, holds=MENTIONS)
    error_fingerprint: str | None = text_field(LINE, default=None, holds=NOTHING)
    failed_at_step: str | None = text_field(LINE, default=None, holds=NOTHING)
    cost_usd: float = 0
    reserved_usd: float = Field(default=0.0, sa_column_kwargs={"server_default": text("0")})
    started_at: datetime = stored_at()
    ended_at: datetime | None = time_field(default=None)
    stopping_at: datetime | None = time_field(default=None)
    triggered_via: RoutineTrigger = enum_field(RoutineTrigger.manual)
    triggered_by_id: str | None = text_field(ID, default=None, holds=NOTHING)
    schedule_id: str | None = None
    webhook_id: str | None = None
    restricted: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    chain_depth: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    invoking_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    invoking_crew_id: str | None = None
    invoking_agent_id: str | None = None
    replay_of: str | None = text_field(ID, default=None, holds=NOTHING)
    batch_id: str | None = text_field(ID, default=None, holds=NOTHING)
    fire_at: datetime | None = time_field(default=None)
    expires_at: datetime | None = time_field(default=None)
    priority: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    debounce_key: str | None = text_field(LINE, default=None, holds=MENTIONS)
    merges: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})


ROUTINE_RUN_STATES = Machine(
    RoutineRun,
    "status",
    {
        RoutineRunStatus.queued: frozenset(
            {RoutineRunStatus.running, RoutineRunStatus.failed, RoutineRunStatus.cancelled}
        ),
        RoutineRunStatus.running: frozenset(
            {
                RoutineRunStatus.waiting,
                RoutineRunStatus.completed,
                RoutineRunStatus.failed,
                RoutineRunStatus.cancelled,
                RoutineRunStatus.interrupted,
            }
        ),
        RoutineRunStatus.waiting: frozenset(
            {RoutineRunStatus.running, RoutineRunStatus.cancelled, RoutineRunStatus.interrupted}
        ),
        RoutineRunStatus.completed: frozenset(),
        RoutineRunStatus.failed: frozenset(),
        RoutineRunStatus.cancelled: frozenset(),
        RoutineRunStatus.interrupted: frozenset(),
    },
    stamps={
        "ended_at": frozenset(
            {
                RoutineRunStatus.completed,
                RoutineRunStatus.failed,
                RoutineRunStatus.cancelled,
                RoutineRunStatus.interrupted,
            }
        )
    },
    called="Run",
)
"""contract: routines-dsl.states.Run, and of a queued run PendingRun"""


class RoutineRunStep(TenantTable, table=True):
    """A step of a run by its path: its id, and `each[3].get` for a step of a loop. `due_at`: when the next attempt
    begins, or a wait ends.
    """

    __tablename__ = "routine_run_steps"
    __table_args__ = (
        belongs_to("routine_run_id", "routine_runs", ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "routine_run_id", "path"),
    )
    routine_run_id: str
    path: str = text_field(ID, collation="C", holds=NOTHING)
    step_type: str = text_field(LINE, holds=NOTHING)
    state: RoutineStepState = enum_field(RoutineStepState.started)
    attempt: int = 1
    output: str | None = text_field(LARGEST_OUTPUT, default=None, holds=MENTIONS)
    error: str | None = text_field(ERROR, default=None, holds=MENTIONS)
    cost_usd: float = 0
    started_at: datetime = stored_at()
    ended_at: datetime | None = time_field(default=None)
    due_at: datetime | None = time_field(default=None)


class Waitpoint(TenantTable, table=True):
    """An approval that a run waits for; `token` decides it without a session. `grant_id`: the standing approval that
    decided it.
    """

    __tablename__ = "routine_waitpoints"
    __table_args__ = (
        belongs_to("routine_run_id", "routine_runs", ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "routine_run_id", "path"),
        UniqueConstraint("token"),
        Index(
            "routine_waitpoints_pending_idx",
            "workspace_id",
            "created_at",
            "id",
            postgresql_where=text("status = 'pending'"),
        ),
        Index("routine_waitpoints_decided_by_user_id_idx", "decided_by_user_id"),
    )
    routine_run_id: str
    path: str = text_field(ID, collation="C", holds=NOTHING)
    token: str | None = text_field(TOKEN, default_factory=new_token, holds=HIDDEN)
    prompt: str = text_field(PROMPT, default="", holds=MENTIONS)
    status: WaitpointStatus = enum_field(WaitpointStatus.pending)
    timeout_at: datetime = time_field()
    created_at: datetime = stored_at()
    decided_at: datetime | None = time_field(default=None)
    decided_by_user_id: str | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL")
    comment: str | None = text_field(NOTE, default=None, holds=WORDS)
    grant_id: str | None = text_field(ID, default=None, holds=NOTHING)


WAITPOINT_STATES = Machine(
    Waitpoint,
    "status",
    {
        WaitpointStatus.pending: frozenset(
            {
                WaitpointStatus.approved,
                WaitpointStatus.denied,
                WaitpointStatus.timed_out,
                WaitpointStatus.cancelled,
            }
        ),
        WaitpointStatus.approved: frozenset(),
        WaitpointStatus.denied: frozenset(),
        WaitpointStatus.timed_out: frozenset(),
        WaitpointStatus.cancelled: frozenset(),
    },
    stamps={
        "decided_at": frozenset(
            {
                WaitpointStatus.approved,
                WaitpointStatus.denied,
                WaitpointStatus.timed_out,
                WaitpointStatus.cancelled,
            }
        )
    },
)
"""contract: routines-dsl.states.Waitpoint"""


class SignalWait(TenantTable, table=True):
    """A run's wait for an event. The oldest one of an event takes a signal."""

    __tablename__ = "routine_signal_waits"
    __table_args__ = (
        belongs_to("routine_run_id", "routine_runs", ondelete="CASCADE"),
        UniqueConstraint("workspace_id", "routine_run_id", "path"),
        Index(
            "routine_signal_waits_pending_idx",
            "workspace_id",
            "event_type",
            "created_at",
            "id",
            postgresql_where=text("status = 'pending'"),
        ),
    )
    routine_run_id: str
    path: str = text_field(ID, collation="C", holds=NOTHING)
    event_type: str = text_field(LINE, holds=NOTHING)
    status: SignalStatus = enum_field(SignalStatus.pending)
    payload: str | None = text_field(LONGEST_SIGNAL, default=None, holds=MENTIONS)
    created_at: datetime = stored_at()


SIGNAL_STATES = Machine(
    SignalWait,
    "status",
    {
        SignalStatus.pending: frozenset({SignalStatus.delivered}),
        SignalStatus.delivered: frozenset({SignalStatus.consumed}),
        SignalStatus.consumed: frozenset(),
    },
)
"""contract: routines-dsl.states.SignalWait"""
