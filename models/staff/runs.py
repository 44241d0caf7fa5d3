"""Runs of agents: the request, the progress, and every frame."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import Computed, Index, text
from sqlmodel import Field

from models.base import (
    TenantRow,
    TenantTable,
    belongs_to,
    enum_field,
    free_id,
    json_field,
    partitioned,
    stored_at,
    tenant_id,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import CONFIG, ERROR, ID, LINE, NAME, PAYLOAD, TURN
from models.expiry import ByDay, ByIndex, Expires, Kept
from models.machines import Machine
from models.personal_data import BY, MENTIONS, NOTHING, WORDS
from models.retention import RetentionKind
from models.staff.chats import new_message_id
from models.trace_context import calling

BY_USER: Final = "USER"
BY_WEBHOOK: Final = "WEBHOOK"
BY_SCHEDULE: Final = "SCHEDULED"
"""The trigger of runs that are asked for from outside."""


class RunStatus(StrEnum):
    """The status of a run; all but RUNNING are final. TIMEOUT: the run exceeded its time limit."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"


class RunState(StrEnum):
    """The state of a run. QUEUED: no worker has begun it. WAITING: it waits for an approval, and no worker holds it."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"


STATE_OF_RUN: Final = """CASE
    WHEN status IN ('COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT') THEN status
    WHEN waits_for IS NOT NULL AND waits_since IS NOT NULL THEN 'WAITING'
    WHEN started_at IS NULL THEN 'QUEUED'
    ELSE 'RUNNING'
END"""


class ChatEventType(StrEnum):
    """The content of a frame of a turn (contract: websocket.ChatEventType)."""

    status = "status"
    text = "text"
    thinking = "thinking"
    tool_call = "tool_call"
    tool_result = "tool_result"
    image = "image"
    system = "system"
    result = "result"
    done = "done"
    error = "error"
    user_message = "user_message"
    agent_busy = "agent_busy"
    crew_provisioning = "crew_provisioning"


class SystemEvent(StrEnum):
    """The subtype of a system frame: what our own pages show, each in its way."""

    init = "init"
    api_retry = "api_retry"
    approval_requested = "approval_requested"
    redacted = "redacted"
    tool_output = "tool_output"


NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)
"""The end of a lease that no worker takes over: of a run that is reported, or waits for a decision."""
MOST_ANCESTORS: Final = 16
"""Runs that caused one another: a trace begins at the highest of so many."""
OUTPUT = (
    ChatEventType.status, ChatEventType.text, ChatEventType.thinking, ChatEventType.tool_call,
    ChatEventType.tool_result, ChatEventType.image,
    ChatEventType.system, ChatEventType.result, ChatEventType.error,
)  # fmt: skip
"""The events of adapters (contract: chats.behaviour 14): without the user's words and a turn's begin and end."""


OLDEST_ENDED = """
    SELECT id, finished_at AS at FROM runs
    WHERE workspace_id = $1 AND finished_at < $2 AND ($3::timestamptz IS NULL OR finished_at >= $3)
    ORDER BY finished_at, id LIMIT $4
"""
GONE = "gone AS (DELETE FROM runs r USING old WHERE r.id = old.id AND r.workspace_id = $1 RETURNING 1)"


class Run(TenantTable, table=True):
    """One piece of work of an agent. RUNNING without `started_at` waits for a worker.

    A worker holds a run by a lease: `lease` rises by one with every claim, and every write for the run names its
    number, so that a worker that lost its lease can change nothing. `frames` counts the written frames: a batch names
    how many came before it, so that one sent twice is stored once. A chat has one live run, except the chat of an
    agent's webhooks, where each delivery has its own. No worker holds a run that waits for an approval (`waits_for`),
    and its lease has no end, until a user decides: `waited` are the seconds that it has waited, which no time limit
    counts, and `parks` how often. `message_seq` is the number of the message that requested it. `began_at` is a column,
    because row-level security keeps conditions on expressions such as COALESCE out of indexes.
    """

    __tablename__ = "runs"
    # a run takes its output along, which is many rows
    __kept__: ClassVar = Kept(RetentionKind.runs, removal=ByIndex(OLDEST_ENDED, GONE, portion=200))
    __table_args__ = (
        tenant_key(),
        belongs_to("agent_id", "agents"),
        belongs_to("assignment_id", "assignments", ondelete="SET NULL (assignment_id)"),
        Index(
            "runs_assignment_id_idx",
            "workspace_id",
            "assignment_id",
            postgresql_where=text("assignment_id IS NOT NULL"),
        ),
        Index(
            "runs_chat_id_running_key",
            "workspace_id",
            "chat_id",
            unique=True,
            postgresql_where=text("status = 'RUNNING' AND trigger_type <> 'WEBHOOK'"),
        ),
        Index("runs_chat_id_live_idx", "workspace_id", "chat_id", postgresql_where=text("status = 'RUNNING'")),
        Index("runs_list_idx", "workspace_id", text("began_at DESC"), text("id DESC")),
        Index("runs_status_list_idx", "workspace_id", "status", text("began_at DESC"), text("id DESC")),
        *[
            Index(f"runs_{key}_list_idx", "workspace_id", key, text("began_at DESC"), text("id DESC"))
            for key in ("state", "model", "crew_id", "mission_id")
        ],
        Index("runs_trigger_type_list_idx", "workspace_id", "trigger_type", text("began_at DESC"), text("id DESC")),
        Index("runs_agent_id_list_idx", "workspace_id", "agent_id", text("began_at DESC"), text("id DESC")),
        Index(
            "runs_gone_wrong_idx",
            "workspace_id",
            "finished_at",
            postgresql_where=text("status IN ('FAILED', 'TIMEOUT')"),
        ),
        Index(
            "runs_ended_list_idx",
            "workspace_id",
            text("finished_at DESC"),
            text("id DESC"),
            postgresql_where=text("finished_at IS NOT NULL"),
        ),
        Index("runs_chat_id_list_idx", "workspace_id", "chat_id", text("began_at DESC"), text("id DESC")),
        Index(
            "runs_parent_id_list_idx",
            "workspace_id",
            "parent_id",
            text("began_at DESC"),
            text("id DESC"),
            postgresql_where=text("parent_id IS NOT NULL"),
        ),
        Index("runs_waits_for_idx", "workspace_id", "waits_for", postgresql_where=text("waits_for IS NOT NULL")),
        Index("runs_stuck_idx", "leased_until", postgresql_where=text("stuck_at IS NOT NULL AND status = 'RUNNING'")),
        Index("runs_unfinished_idx", "leased_until", "created_at", postgresql_where=text("status = 'RUNNING'")),
    )
    id: str = free_id(new_message_id)
    agent_id: str
    chat_id: str | None = text_field(ID, default=None, holds=NOTHING)  # no foreign key: a run outlives its chat
    message_seq: int | None = None
    assignment_id: str | None = None
    parent_id: str | None = text_field(ID, default=None, holds=NOTHING)  # the run that asked for this one
    retry_of: str | None = text_field(ID, default=None, holds=NOTHING)
    traceparent: str | None = text_field(LINE, default_factory=calling.get, holds=NOTHING)  # of the caller's trace
    triggered_by: str | None = text_field(LINE, default=None, holds=BY)  # or the name of what started it
    trigger_type: str = text_field(NAME, default=BY_USER, holds=NOTHING)
    # external content, or a restricted run, has begun it: its network is restricted, regardless of the crew's mode
    restricted: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    status: RunStatus = enum_field(RunStatus.RUNNING)
    prompt: str = text_field(CONFIG, default="", holds=WORDS)
    max_turns: int | None = None
    model: str | None = text_field(LINE, default=None, holds=NOTHING)
    exit_code: int | None = None
    error_message: str | None = text_field(ERROR, default=None, holds=WORDS)
    data: dict[str, Any] | None = json_field(PAYLOAD, default=None, holds=WORDS)  # "metadata" on the wire
    started_at: datetime | None = time_field(default=None)
    finished_at: datetime | None = time_field(default=None)
    created_at: datetime = stored_at()
    began_at: datetime = time_field(
        default=None, nullable=False, sa_column_args=(Computed("COALESCE(started_at, created_at)", persisted=True),)
    )
    # a column, because no index serves conditions on an expression; a trigger stores crew and mission
    state: RunState = enum_field(
        RunState, default=None, nullable=False, sa_column_args=(Computed(STATE_OF_RUN, persisted=True),)
    )
    crew_id: str | None = text_field(ID, default=None, holds=NOTHING)
    mission_id: str | None = text_field(ID, default=None, holds=NOTHING)
    worker: str | None = text_field(LINE, default=None, holds=NOTHING)
    lease: int = 0
    leased_until: datetime | None = time_field(default=None)
    cancel_requested_at: datetime | None = time_field(default=None)
    stuck_at: datetime | None = time_field(default=None)  # since when it is known that no worker executes it
    waits_for: str | None = text_field(ID, default=None, holds=NOTHING)
    waits_since: datetime | None = time_field(default=None)
    waited: float = 0.0
    parks: int = 0
    frames: int = 0


RUN_STATES = Machine(
    Run,
    "status",
    {
        RunStatus.RUNNING: frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMEOUT}),
        RunStatus.COMPLETED: frozenset(),
        RunStatus.FAILED: frozenset(),
        RunStatus.CANCELLED: frozenset(),
        RunStatus.TIMEOUT: frozenset(),
    },
    stamps={"finished_at": frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.TIMEOUT})},
)


class RunFrame(TenantRow, table=True):
    """One frame of a chat as clients get it; the worker writes a run's frames in batches. Also the agent's log.

    Frames of a chat are numbered across runs. Messages in a group that address no agent belong to no run. `agent_id` is
    set on output of adapters (see OUTPUT), and names the agent whose log has the entry.
    """

    __tablename__ = "run_frames"
    __kept__: ClassVar = Kept(RetentionKind.frames, setting="frame_days", removal=ByDay())
    __table_args__ = (
        belongs_to("chat_id", "chats", ondelete="CASCADE"),
        belongs_to("run_id", "runs", ondelete="CASCADE"),
        Index("run_frames_run_id_seq_idx", "run_id", "seq"),
        Index(
            "run_frames_log_idx",
            "workspace_id",
            "agent_id",
            "created_at",
            "chat_id",
            "seq",
            postgresql_where=text("agent_id IS NOT NULL"),
        ),
        Index("run_frames_created_at_idx", "created_at", postgresql_using="brin"),
        partitioned("week", days="frame_days"),
    )
    workspace_id: str = tenant_id()
    chat_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    run_id: str | None = None
    # no foreign key: agents are not removed, and frames are written often
    agent_id: str | None = text_field(ID, default=None, holds=NOTHING)
    type: str = text_field(LINE, holds=NOTHING)  # run_begin or chat_event
    payload: dict[str, Any] = json_field(TURN, holds=MENTIONS)
    created_at: datetime = stored_at("clock_timestamp()", primary_key=True)


class RunTag(TenantRow, table=True):
    """One tag of a run's metadata; tags over 200 characters are left out. There is no foreign key to runs, because only
    their trigger writes here.

    Tags have rows, because row-level security keeps conditions with leaky operators, such as on JSON, out of indexes.
    `began_at` is the run's, so that the runs of a tag are in the order of their list.
    """

    __tablename__ = "run_tags"
    workspace_id: str = tenant_id()
    tag: str = text_field(LINE, primary_key=True, holds=NOTHING)
    began_at: datetime = time_field(primary_key=True)
    run_id: str = text_field(ID, primary_key=True, holds=NOTHING)


# Steps are for a worker that takes a run over; a run that has ended is not taken over.
OF_ENDED_RUNS = """
    SELECT s.ctid FROM run_steps s JOIN runs r ON r.id = s.run_id
    WHERE r.status <> 'RUNNING' AND r.finished_at < now() - interval '1 day' LIMIT $1
"""


class RunStep(TenantRow, table=True):
    """A run's step: announced before it shows or does anything irreversible; its outcome is there once `finished_at` is
    set.

    A worker that takes the run over gets the outcome of a finished step, and does not repeat one that was only
    announced. `said`: the events of a finished step of a run without a chat, which has no frames.
    """

    __tablename__ = "run_steps"
    __expires__: ClassVar = Expires(found=OF_ENDED_RUNS)
    __table_args__ = (belongs_to("run_id", "runs", ondelete="CASCADE"),)
    run_id: str = Field(primary_key=True)
    name: str = text_field(LINE * 2, primary_key=True, holds=NOTHING)
    lease: int
    created_at: datetime = stored_at()
    finished_at: datetime | None = time_field(default=None)
    outcome: Any = json_field(TURN, default=None, nullable=True, holds=MENTIONS)
    said: list[dict[str, Any]] | None = json_field(TURN, default=None, holds=MENTIONS)
