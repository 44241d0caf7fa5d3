"""GraphQL: agents."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.agents import Agent, AgentRole, AgentStatus, CliAdapter, LeadMode, LlmProvider, ToolProfile
from models.runs import ChatEventType, RunFrame
from resolvers import agents as agent_ops
from schema.bridge import Edge, Edges, mutation, node, query
from schema.results import SuccessType

for enum in (AgentRole, AgentStatus, ChatEventType, CliAdapter, LeadMode, LlmProvider, ToolProfile):
    strawberry.enum(enum)


@node(Agent)
class AgentType:
    """A worker with a model, an adapter and a prompt; in a crew, or on its own."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    crew_id: strawberry.ID | None
    crew: Edge | None
    name: str
    slug: str
    description: str | None
    role_title: str | None
    agent_role: AgentRole
    lead_mode: LeadMode | None
    status: AgentStatus
    cli_adapter: CliAdapter
    llm_provider: LlmProvider | None
    llm_model: str | None
    system_prompt: str | None
    avatar_seed: str | None
    avatar_style: str | None
    timeout_seconds: int
    tool_profile: ToolProfile
    memory_enabled: bool
    cli_tools: str | None = strawberry.field(description="Names of command-line tools, separated by commas.")
    mcp_config_json: str | None = strawberry.field(description="MCP servers as the JSON text that was sent: an object with mcpServers. Null below MANAGER.")
    schedule_cron: str | None = strawberry.field(description="Five fields, in UTC.")
    schedule_prompt: str | None
    schedule_enabled: bool
    schedule_last_run: datetime | None
    schedule_next_run: datetime | None = strawberry.field(description="Null while the schedule is off, absent or unreadable.")
    webhook_require_timestamp: bool
    ephemeral: bool = strawberry.field(description="Hired for a while.")
    expires_at: datetime | None
    expired_at: datetime | None = strawberry.field(description="Set on an ephemeral agent past its time; it may be rehired.")
    parent_lead_id: strawberry.ID | None
    parent_lead: Edge | None
    hire_reason: str | None = strawberry.field(description="One line for each hire and rehire.")
    created_by_user_id: strawberry.ID | None
    created_at: datetime
    updated_at: datetime
    version: int = strawberry.field(description="Rises with every edit; what ifVersion compares.")
    skill_count: int
    credential_count: int
    chat_count: int
    chats: Edges
    runs: Edges


@node(agent_ops.CrewsStatus)
class CrewsStatusType:
    """Agents of a workspace by what they do."""

    total: int
    running: int
    error: int
    idle: int = strawberry.field(description="Every status but RUNNING and ERROR.")
    queued: int = strawberry.field(description="Assignments that wait for a run.")


@node(agent_ops.AgentLoad)
class AgentLoadType:
    """Mission tasks of one agent. Sums of tokens may outgrow an Int."""

    agent_id: strawberry.ID
    agent_name: str
    agent_slug: str
    agent_status: AgentStatus
    active_tasks: int
    pending_tasks: int
    completed_today: int = strawberry.field(description="In the last 24 hours.")
    tokens_used_today: float = strawberry.field(description="Tokens of the tasks completed in the last 24 hours.")
    token_budget: float = strawberry.field(description="Budgets of the tasks without an end.")


@node(RunFrame, name="LogEntry")
class LogEntryType:
    """One event that an agent's adapter has put out."""

    created_at: datetime = strawberry.field(name="ts")
    run_id: strawberry.ID | None
    chat_id: strawberry.ID
    seq: int = strawberry.field(description="The number of its frame in the chat.")
    level: str
    agent_slug: str = strawberry.field(name="agent")
    event: ChatEventType
    content: str
    tool: str | None = strawberry.field(description="The name of the tool that was called.")
    event_metadata: JSON | None = strawberry.field(name="metadata")


@strawberry.type
class AgentQuery:
    agents = query(agent_ops.list_agents, AgentType)
    agent = query(agent_ops.get_agent, AgentType)
    crews_status = query(agent_ops.crews_status, CrewsStatusType)
    agent_load = query(agent_ops.agent_load, AgentLoadType)
    agent_logs = query(agent_ops.list_logs, LogEntryType)


@strawberry.type
class AgentMutation:
    create_agent = mutation(agent_ops.create_agent, AgentType)
    update_agent = mutation(agent_ops.update_agent, AgentType)
    delete_agent = mutation(agent_ops.delete_agent, SuccessType)
    stop_agent = mutation(agent_ops.stop_agent, AgentType)
