"""Questions between agents, and escalations to people."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlmodel import Field

from models.base import (
    TenantTable,
    belongs_to,
    enum_field,
    secret_field,
    stored_at,
    tenant_key,
    text_field,
    time_field,
)
from models.bounds import CONFIG, ERROR, ID, LINE
from models.machines import Machine
from models.personal_data import BY, MENTIONS, NOTHING, WORDS
from models.sealed import Sealed


class PeerConversationStatus(StrEnum):
    """The status of a question between agents."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


HANDED_OVER = "[credential submitted]"
"""The text that readers see in place of a credential that was handed over."""


class EscalationType(StrEnum):
    """The kind of question: an answer in words, a credential, or a visit to a link."""

    TEXT = "TEXT"
    CREDENTIAL = "CREDENTIAL"
    LINK = "LINK"


class EscalationStatus(StrEnum):
    """The state of an escalation: waiting for an answer, answered, not answered in time, or withdrawn."""

    PENDING = "PENDING"
    RESOLVED = "RESOLVED"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


class EscalationAction(StrEnum):
    """The answer to an agent: continue, stop, or do something else."""

    approve = "approve"
    reject = "reject"
    redirect = "redirect"


class PeerConversation(TenantTable, table=True):
    """A question of one agent to another, and its answer. `escalated`: it went on to a person."""

    __tablename__ = "peer_conversations"
    __table_args__ = (
        tenant_key(),
        belongs_to("chat_id", "chats", ondelete="SET NULL (chat_id)"),
        belongs_to("from_agent_id", "agents"),
        belongs_to("to_agent_id", "agents"),
        CheckConstraint("from_agent_id <> to_agent_id", name="ends"),
        Index("peer_conversations_list_idx", "workspace_id", "created_at", "id"),
        *[
            Index(f"peer_conversations_{end}_idx", "workspace_id", end, "created_at", "id")
            for end in ("from_agent_id", "to_agent_id")
        ],
        Index(
            "peer_conversations_chat_id_idx", "workspace_id", "chat_id", postgresql_where=text("chat_id IS NOT NULL")
        ),
    )
    chat_id: str | None = None
    from_agent_id: str
    to_agent_id: str
    question: str = text_field(CONFIG, holds=MENTIONS)
    response: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    error_message: str | None = text_field(ERROR, default=None, holds=MENTIONS)
    status: PeerConversationStatus = enum_field(PeerConversationStatus.RUNNING)
    duration_ms: int | None = Field(default=None, sa_type=BigInteger)
    escalated: bool = False
    created_at: datetime = stored_at()
    finished_at: datetime | None = time_field(default=None)


class Escalation(TenantTable, table=True):
    """A decision that an agent asks people for. A credential that was handed over is sealed; `resolution` holds it in
    no case.

    The agent waits until `deadline_at`, and people may answer until `answer_deadline_at`; without deadlines no
    agent waits, and the question does not expire. `agent_gave_up_at`: the agent continued without an answer.
    """

    __tablename__ = "escalations"
    __table_args__ = (
        tenant_key(),
        belongs_to("crew_id", "crews"),
        belongs_to("chat_id", "chats", ondelete="SET NULL (chat_id)"),
        belongs_to("from_agent_id", "agents"),
        belongs_to("peer_conversation_id", "peer_conversations", ondelete="SET NULL (peer_conversation_id)"),
        belongs_to("credential_id", "credentials", ondelete="SET NULL (credential_id)"),
        CheckConstraint("type <> 'CREDENTIAL' OR status <> 'RESOLVED' OR resolution IS NULL", name="kept"),
        CheckConstraint(
            "(status IN ('RESOLVED', 'EXPIRED', 'CANCELLED')) = (resolved_at IS NOT NULL)", name="resolved"
        ),
        Index("escalations_due_idx", "answer_deadline_at", postgresql_where=text("status = 'PENDING'")),
        Index("escalations_open_idx", "workspace_id", "created_at", "id", postgresql_where=text("status = 'PENDING'")),
        Index("escalations_list_idx", "workspace_id", "created_at", "id"),
        *[
            Index(f"escalations_{key}_idx", "workspace_id", key, "created_at", "id")
            for key in ("crew_id", "from_agent_id")
        ],
        Index("escalations_status_idx", "workspace_id", "crew_id", "status", "created_at", "id"),
        Index(
            "escalations_pending_idx",
            "workspace_id",
            "crew_id",
            "from_agent_id",
            postgresql_where=text("status = 'PENDING'"),
        ),
        *[
            Index(f"escalations_{key}_idx", "workspace_id", key, postgresql_where=text(f"{key} IS NOT NULL"))
            for key in ("chat_id", "peer_conversation_id", "credential_id")
        ],
    )
    crew_id: str
    chat_id: str | None = None
    from_agent_id: str
    peer_conversation_id: str | None = None
    credential_id: str | None = None
    type: EscalationType = enum_field(EscalationType.TEXT)
    reason: str = text_field(CONFIG, holds=MENTIONS)
    context: str | None = text_field(CONFIG, default=None, holds=MENTIONS)
    data: str | None = text_field(CONFIG, default=None, holds=MENTIONS)  # "metadata" on the wire
    status: EscalationStatus = enum_field(EscalationStatus.PENDING)
    resolution: str | None = text_field(CONFIG, default=None, holds=WORDS)
    handed_over: Sealed | None = secret_field(CONFIG, default=None)
    action: EscalationAction = enum_field(EscalationAction.approve)
    redirect_to: str | None = text_field(LINE, default=None, holds=NOTHING)
    resolved_by: str | None = text_field(ID, default=None, holds=BY)
    resolved_at: datetime | None = time_field(default=None)
    created_at: datetime = stored_at()
    deadline_at: datetime | None = time_field(default=None)
    answer_deadline_at: datetime | None = time_field(default=None)
    agent_gave_up_at: datetime | None = time_field(default=None)


_P = PeerConversationStatus
PEER_CONVERSATION_STATES = Machine(
    PeerConversation,
    "status",
    {_P.RUNNING: frozenset({_P.COMPLETED, _P.FAILED}), _P.COMPLETED: frozenset(), _P.FAILED: frozenset()},
    stamps={"finished_at": frozenset({_P.COMPLETED, _P.FAILED})},
)
"""contract: crews.states.PeerConversation"""
_E = EscalationStatus
_ENDED = frozenset({_E.RESOLVED, _E.EXPIRED, _E.CANCELLED})
ESCALATION_STATES = Machine(
    Escalation,
    "status",
    {_E.PENDING: _ENDED, **dict.fromkeys(_ENDED, frozenset())},
    stamps={"resolved_at": _ENDED},
)
"""contract: escalations.states.Escalation"""
