"""Runners: programs on people's own machines that execute the tools of agents, and the calls that they are sent."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from models.base import (
    TenantTable,
    Timestamps,
    Versioned,
    belongs_to,
    enum_field,
    secret_field,
    stored_at,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import ID, LINE, NAME, PROMPT
from models.expiry import Expires
from models.personal_data import AUTHOR, HIDDEN, MENTIONS, NOTHING
from models.sealed import Sealed

MOST_REQUEST: Final = 2_200_000
"""Characters of a call: the longest is that which writes a file."""
MOST_PIECE: Final = 16_000
"""Characters of a piece of output."""
MOST_PIECES: Final = 1_000
MOST_SHOWN: Final = 64 << 10
"""Characters of a call's output that are shown while it runs; the result has what a result may have."""
MOST_STORED: Final = MOST_SHOWN + MOST_PIECE
"""Characters of all pieces of a call: the last line may go beyond what is shown, and a line says so."""


class Runner(TenantTable, Versioned, Timestamps, table=True):
    """A machine that executes the tools of one crew's agents, or of one agent.

    `generation` rises with each process that connects; a process whose number is lower writes nothing any more.
    `instance` is the hash of the connected process's own secret, which holds the runner until `connected_until`.
    `refused_at`: when another process was last refused because of it.
    """

    __tablename__ = "runners"
    __table_args__ = (
        tenant_key(),
        UniqueConstraint("workspace_id", "name"),
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        belongs_to("agent_id", "agents", ondelete="CASCADE"),
        CheckConstraint("(crew_id IS NULL) <> (agent_id IS NULL)", name="whose"),
        Index(
            "runners_crew_id_key",
            "workspace_id",
            "crew_id",
            unique=True,
            postgresql_where=text("in_use AND crew_id IS NOT NULL"),
        ),
        Index(
            "runners_agent_id_key",
            "workspace_id",
            "agent_id",
            unique=True,
            postgresql_where=text("in_use AND agent_id IS NOT NULL"),
        ),
    )
    __bookkeeping__: ClassVar = frozenset(
        {"generation", "instance", "connected_until", "seen_at", "refused_at", "platform"}
    )
    name: str = text_field(NAME, holds=MENTIONS)
    crew_id: str | None = None
    agent_id: str | None = None
    in_use: bool = True
    token_hash: str = text_field(LINE, unique=True, holds=HIDDEN)
    created_by: str | None = text_field(ID, default=None, holds=AUTHOR)
    platform: str = text_field(LINE, default="", holds=NOTHING)
    generation: int = 0
    instance: str | None = text_field(LINE, default=None, holds=HIDDEN)
    connected_until: datetime | None = time_field(default=None)
    seen_at: datetime | None = time_field(default=None)
    refused_at: datetime | None = time_field(default=None)


class RunnerCallState(StrEnum):
    """The state of a call. TAKEN: a runner has received it and not begun. LOST: the runner stopped answering while it
    executed the call.
    """

    QUEUED = "QUEUED"
    TAKEN = "TAKEN"
    RUNNING = "RUNNING"
    ENDED = "ENDED"
    LOST = "LOST"


class RunnerCall(TenantTable, table=True):
    """One call of a tool, for one runner. Its id follows from run and step, so that a call is sent once.

    `seq` counts the pieces of output that the runner has sent and `shown_size` their characters, `shown` is the last of
    them, and `taken` the last that the run has shown: the runner sends the next one then. `generation` and
    `leased_until` are the lease of the process that executes it. Request, output and result are sealed, because they
    may hold what a run redacts.
    """

    __tablename__ = "runner_calls"
    __private__: ClassVar = True
    __expires__: ClassVar = Expires("created_at", timedelta(days=1))
    __table_args__ = (
        belongs_to("runner_id", "runners", ondelete="CASCADE"),
        belongs_to("run_id", "runs", ondelete="CASCADE"),
        Index("runner_calls_queue_idx", "workspace_id", "runner_id", "created_at", "id"),
        Index("runner_calls_run_id_idx", "workspace_id", "run_id"),
        Index("runner_calls_created_at_idx", "created_at"),
    )
    runner_id: str
    run_id: str
    agent_id: str = text_field(ID, holds=NOTHING)
    state: RunnerCallState = enum_field(RunnerCallState.QUEUED)
    request: Sealed = secret_field(MOST_REQUEST)
    shown: Sealed | None = secret_field(PROMPT, default=None)
    outcome: Sealed | None = secret_field(2 * PROMPT, default=None)
    seq: int = 0
    shown_size: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    taken: int = 0
    generation: int = 0
    leased_until: datetime | None = time_field(default=None)
    created_at: datetime = stored_at()
