"""GraphQL: agents."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from models.staff.agents import Agent, AgentRole, AgentStatus, CliAdapter, LeadMode, LlmProvider, ToolProfile
from models.staff.runs import ChatEventType, RunFrame, RunStatus
from resolvers.rules.model_catalog import ModelProvider
from resolvers.staff import agents as agent_ops
from resolvers.staff.agents import debugging, desk, files, learning, models, peers, workplace
from schema.bridge.fields import Edge, Edges, mutation, node, output, query
from schema.bridge.results import DeletedType, FileInfoType, FileSavedType, SuccessType


@node(Agent)
class AgentType:
    """A worker with a model, an adapter and a prompt, in a crew or on its own."""

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
    effective_persona: Edge | None = strawberry.field(name="persona")
    persona_versions: Edges = strawberry.field(description="What the agent's own persona was, newest first.")
    avatar_seed: str | None
    avatar_style: str | None
    timeout_seconds: int
    tool_profile: ToolProfile
    memory_enabled: bool
    learning_enabled: bool = strawberry.field(description="Whether the agent changes itself without being asked.")
    learning_set_by_user_id: strawberry.ID | None
    learning_set_at: datetime | None
    learning_reason: str | None
    cli_tools: str | None = strawberry.field(description="Names of command-line tools, comma-separated.")
    mcp_config_json: str | None = strawberry.field(
        description="MCP servers: a JSON object with `mcpServers`, as text, as sent. Null below MANAGER.",
    )
    schedule_cron: str | None = strawberry.field(description="A cron expression of five fields, in UTC.")
    schedule_prompt: str | None
    schedule_enabled: bool
    schedule_last_run: datetime | None
    schedule_next_run: datetime | None = strawberry.field(
        description="Null if the schedule is disabled, absent or invalid.",
    )
    webhook_require_timestamp: bool
    ephemeral: bool = strawberry.field(description="Whether the agent was hired for a limited time.")
    expires_at: datetime | None
    expired_at: datetime | None = strawberry.field(
        description="Set on an expired ephemeral agent, which can be rehired.",
    )
    parent_lead_id: strawberry.ID | None
    parent_lead: Edge | None
    led_missions: Edges
    mission_tasks: Edges
    hire_reason: str | None = strawberry.field(description="One line for each hire and rehire.")
    created_by_user_id: strawberry.ID | None
    created_at: datetime
    updated_at: datetime
    version: int = strawberry.field(description="Incremented with every edit; compared with `ifVersion`.")
    skill_count: int
    credential_count: int
    chat_count: int
    chats: Edges
    runs: Edges
    inbox_items: Edges = strawberry.field(description="What the agent has put before people.")
    costs: Edges = strawberry.field(description="Of the last 30 days, newest first.")
    budgets: Edges
    skills: Edges
    credentials: Edges = strawberry.field(description="Those that the agent is given, as far as the caller sees them.")
    integrations: Edges = strawberry.field(description="Bindings to MCP servers.")
    resolved_integrations: Edges = strawberry.field(description="MCP servers that the agent can use.")
    folders: Edges = strawberry.field(description="Files that the agent's commands reach.")
    approvals: Edges = strawberry.field(description="What the agent waits, or waited, for consent to.")
    escalations: Edges = strawberry.field(description="What the agent has asked people to decide.")


@node(agent_ops.CrewsStatus)
class CrewsStatusType:
    """Counters of the agents of a workspace, by status."""

    total: int
    running: int
    error: int
    idle: int = strawberry.field(description="Agents in any status except RUNNING and ERROR.")
    queued: int = strawberry.field(description="Assignments waiting for a run.")


@node(agent_ops.AgentFolder)
class AgentFolderType:
    """A folder that commands of an agent find in their sandbox."""

    path: str
    writable: bool
    shared: bool = strawberry.field(description="With the agents of its crew.")


@node(agent_ops.AgentLoad)
class AgentLoadType:
    """Mission tasks of one agent. Sums of tokens can exceed the range of Int."""

    agent_id: strawberry.ID
    agent_name: str
    agent_slug: str
    agent_status: AgentStatus
    active_tasks: int
    pending_tasks: int
    completed_today: int = strawberry.field(description="Tasks completed in the last 24 hours.")
    tokens_used_today: float = strawberry.field(description="Tokens of the tasks completed in the last 24 hours.")
    token_budget: float = strawberry.field(description="Sum of the budgets of unfinished tasks.")


@node(RunFrame, name="LogEntry")
class LogEntryType:
    """One event in the output of an agent's adapter."""

    created_at: datetime = strawberry.field(name="ts")
    run_id: strawberry.ID | None
    chat_id: strawberry.ID
    seq: int = strawberry.field(description="Number of the frame in its chat.")
    level: str
    agent_slug: str = strawberry.field(name="agent")
    event: ChatEventType
    content: str
    tool: str | None = strawberry.field(description="Name of the tool called.")
    event_metadata: JSON | None = strawberry.field(name="metadata")


@output(models.ModelInfo)
class ModelInfoType:
    """A model that agents can be given: `id` is what an agent's `llmModel` takes."""

    id: str
    display_name: str | None
    provider: str = strawberry.field(description="In lower case.")


@output(models.ModelList)
class ModelListType:
    """`live`: the provider was asked. `curated`: these are the usual ones, since it was not, or has not answered."""

    provider: ModelProvider
    source: models.ModelSource
    models: list[ModelInfoType]


@output(peers.PeerCardEntry)
class PeerCardEntryType:
    id: strawberry.ID
    user_id: strawberry.ID
    user_slug: str
    bytes: int
    created_at: datetime
    updated_at: datetime


@output(peers.PeerCardList)
class PeerCardListType:
    agent_id: strawberry.ID
    peers: list[PeerCardEntryType]


@output(peers.PeerCardText)
class PeerCardTextType:
    agent_id: strawberry.ID
    user_id: strawberry.ID
    user_slug: str
    content: str
    bytes: int


@output(desk.PeerMessage)
class PeerMessageType:
    id: strawberry.ID
    from_agent_name: str
    from_agent_slug: str
    to_agent_name: str | None
    to_agent_slug: str | None
    question: str
    response: str | None
    escalated: bool
    duration_ms: float | None
    status: str
    created_at: datetime
    direction: desk.PeerDirection


@output(desk.AgentInbox)
class AgentInboxType:
    approvals_pending: int
    assignments_open: int
    escalations_open: int
    peer_messages: list[PeerMessageType]
    cost_usd_this_month: float
    llm_calls_this_month: float
    tokens_used_this_month: float


@output(workplace.ContainerFile)
class ContainerFileType:
    """An entry below /home in the sandbox of an agent. `path` is the one there; `size` is in bytes."""

    path: str
    name: str
    size: float
    is_dir: bool


@output(workplace.GitCommit)
class GitCommitType:
    """A commit. `date` is ISO 8601, with the offset of its author."""

    hash: str
    message: str
    author: str
    date: str


@output(debugging.DebuggedAgent)
class DebuggedAgentType:
    id: strawberry.ID
    name: str
    cli_adapter: CliAdapter
    db_status: AgentStatus


@output(debugging.DebugEntry)
class DebugEntryType:
    ts: datetime
    level: str
    agent: str
    event: ChatEventType
    content: str | None
    tool: str | None
    metadata: JSON | None


@output(debugging.WorkersFound)
class WorkersFoundType:
    workers: int
    runtimes: list[str]


@output(debugging.LatestRun)
class LatestRunType:
    status: str
    agent_id: strawberry.ID | None
    id: strawberry.ID | None
    chat_id: strawberry.ID | None
    started_at: datetime | None


@output(debugging.ServiceEntry)
class ServiceEntryType:
    time: datetime
    level: str
    msg: str
    run_id: strawberry.ID
    chat_id: strawberry.ID | None
    status: RunStatus | None
    exit_code: int | None
    error: str | None


@output(debugging.AgentDebug)
class AgentDebugType:
    agent: DebuggedAgentType
    crewshipd_reachable: bool
    crewshipd: WorkersFoundType | None
    runtime: LatestRunType
    service_logs: list[ServiceEntryType]
    agent_logs: list[DebugEntryType]


@strawberry.type
class AgentQuery:
    agents = query(agent_ops.list_agents, AgentType)
    agent = query(agent_ops.get_agent, AgentType)
    crews_status = query(agent_ops.crews_status, CrewsStatusType)
    agent_load = query(agent_ops.agent_load, AgentLoadType)
    models = query(models.list_models, ModelListType)
    agent_files = query(files.list_agent_files, FileInfoType)
    agent_learning = query(learning.get_learning, AgentType)
    agent_inbox = query(desk.get_agent_inbox, AgentInboxType)
    agent_peer_cards = query(peers.list_peer_cards, PeerCardListType)
    agent_container_files = query(workplace.list_home, ContainerFileType)
    agent_git_log = query(workplace.git_log, GitCommitType)
    agent_logs = query(agent_ops.list_logs, LogEntryType)
    agent_debug = query(debugging.debug_agent, AgentDebugType)


@strawberry.type
class AgentMutation:
    create_agent = mutation(agent_ops.create_agent, AgentType)
    update_agent = mutation(agent_ops.update_agent, AgentType)
    delete_agent = mutation(agent_ops.delete_agent, SuccessType)
    save_agent_file = mutation(files.save_agent_file, FileSavedType)
    set_agent_learning = mutation(learning.set_learning, AgentType)
    read_agent_peer_card = mutation(peers.read_peer_card, PeerCardTextType)
    delete_agent_peer_card = mutation(peers.delete_peer_card, DeletedType)
    stop_agent = mutation(agent_ops.stop_agent, AgentType)
