"""Hooks: calls and commands at events in the work of agents."""

import secrets
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Index, text
from sqlmodel import Field

from models.base import (
    TenantTable,
    Timestamps,
    belongs_to,
    enum_field,
    json_field,
    secret_field,
    tenant_key,
    text_field,
)
from models.bounds import ID, LINE
from models.personal_data import AUTHOR, MENTIONS, holding
from models.sealed import Sealed

CONFIGURED: Final = 16 << 10
"""Bytes of a handler's configuration, and of a matcher."""


class HookEvent(StrEnum):
    """An event at which hooks run. Events that begin with `pre_` can be blocked."""

    pre_task_delegation = "pre_task_delegation"
    post_task_delegation = "post_task_delegation"
    pre_agent_start = "pre_agent_start"
    post_agent_stop = "post_agent_stop"
    pre_tool_call = "pre_tool_call"
    post_tool_call = "post_tool_call"
    pre_llm_call = "pre_llm_call"
    post_llm_call = "post_llm_call"
    pre_memory_write = "pre_memory_write"
    post_memory_write = "post_memory_write"
    pre_peer_conversation = "pre_peer_conversation"
    post_peer_conversation = "post_peer_conversation"
    on_approval_requested = "on_approval_requested"
    on_budget_exceeded = "on_budget_exceeded"
    on_guardrail_triggered = "on_guardrail_triggered"


class HookHandler(StrEnum):
    """The kind of a hook: an HTTP call, a command in the sandbox, or a subagent."""

    http = "http"
    shell = "shell"
    subagent = "subagent"


class HookOutcome(StrEnum):
    """The outcome of a hook."""

    passed = "pass"
    block = "block"
    error = "error"


def hook_id() -> str:
    return f"hk_{secrets.token_hex(8)}"


class Hook(TenantTable, Timestamps, table=True):
    """Without `crew_id` it is for all crews. `handler_config` has no secret, which is sealed beside it."""

    __tablename__ = "hooks"
    __table_args__ = (
        tenant_key(),
        belongs_to("crew_id", "crews", ondelete="CASCADE"),
        Index("hooks_list_idx", "workspace_id", "created_at", "id"),
        Index("hooks_crew_id_idx", "workspace_id", "crew_id", postgresql_where=text("crew_id IS NOT NULL")),
        Index("hooks_event_idx", "workspace_id", "event", "created_at", "id", postgresql_where=text("enabled")),
    )
    id: str = text_field(ID, default_factory=hook_id, primary_key=True)
    crew_id: str | None = None
    event: HookEvent = enum_field(HookEvent)
    handler_kind: HookHandler = enum_field(HookHandler)
    handler_config: dict[str, Any] = json_field(CONFIGURED, default_factory=dict, holds=MENTIONS)
    secret: Sealed | None = secret_field(LINE, default=None)
    matcher: dict[str, Any] = json_field(CONFIGURED, default_factory=dict, holds=MENTIONS)
    enabled: bool = True
    blocking: bool = False
    created_by: str | None = Field(
        default=None, foreign_key="users.id", ondelete="SET NULL", sa_column_kwargs=holding(AUTHOR)
    )
