"""REST: agents."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from models.staff.agents import Agent, AgentRole, AgentStatus, CliAdapter, LeadMode, LlmProvider, ToolProfile
from models.staff.crews import Crew
from models.staff.runs import ChatEventType, Run, RunFrame, RunStatus
from resolvers.kernel.declarations.outputs import Success
from resolvers.staff import agents
from resolvers.staff.agents import debugging, desk, files, learning, models, peers, workplace
from resolvers.staff.crews.files import MOST, FileInfo, FileSaved
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, Absent, Download, From, Null, Upload, Wire


class AgentCrewJSON(Wire, of=Crew):
    name: str
    slug: str
    color: str | None
    avatar_style: str | None


class AgentCountsJSON(Wire, of=Agent):
    skills: Annotated[int, From("skill_count")]
    credentials: Annotated[int, From("credential_count")]
    chats: Annotated[int, From("chat_count")]


class AgentColumnsJSON(Wire):
    id: str
    crew_id: str | None
    workspace_id: str
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
    cli_tools: str | None
    schedule_cron: str | None
    schedule_prompt: str | None
    schedule_enabled: bool
    schedule_last_run: datetime | None
    schedule_next_run: datetime | None
    webhook_require_timestamp: bool
    mcp_config_json: Annotated[str | None, Absent()]
    created_at: datetime
    updated_at: datetime
    ephemeral: bool
    expires_at: datetime | None
    expired_at: datetime | None
    parent_lead_id: str | None
    hire_reason: str | None
    counts: AgentCountsJSON = Field(alias="_count")


class AgentJSON(AgentColumnsJSON, of=Agent):
    crew: AgentCrewJSON | None
    created_by_user_id: Annotated[str | None, Absent()]


class NewAgentJSON(AgentColumnsJSON, of=Agent):
    """The answer of a create includes neither the crew nor the creator (contract: agents.create)."""

    crew: Annotated[None, Null()]


class CrewsStatusJSON(Wire, of=agents.CrewsStatus):
    total: int
    running: int
    error: int
    idle: int
    queued: int


class AgentLoadJSON(Wire, of=agents.AgentLoad):
    agent_id: str
    agent_name: str
    agent_slug: str
    agent_status: AgentStatus
    active_tasks: int
    pending_tasks: int
    completed_today: int
    tokens_used_today: int
    token_budget: int


class AgentRunJSON(Wire, of=Run):
    id: str
    agent_id: str
    chat_id: str | None
    workspace_id: str
    triggered_by: str | None
    trigger_type: str
    status: RunStatus
    started_at: Annotated[datetime, From("began_at")]
    finished_at: datetime | None
    error_message: str | None
    exit_code: int | None
    metadata: Annotated[dict[str, Any] | None, From("data")]
    created_at: Annotated[datetime, From("began_at")]
    model: Annotated[str | None, Absent()]


class LogEntryJSON(Wire, of=RunFrame):
    ts: Annotated[datetime, From("created_at")]
    level: str
    agent: Annotated[str, From("agent_slug")]
    event: ChatEventType
    content: Annotated[str | None, Absent()]
    tool: Annotated[str | None, Absent()]
    metadata: Annotated[dict[str, Any] | None, From("event_metadata"), Absent()]


class StoppedJSON(Wire, of=Agent):
    id: str
    status: AgentStatus


class LearningJSON(Wire, of=Agent):
    """Who set it, when and why are absent until it is set."""

    agent_id: Annotated[str, From("id")]
    enabled: Annotated[bool, From("learning_enabled")]
    set_by_user_id: Annotated[str | None, From("learning_set_by_user_id"), Absent()]
    set_at: Annotated[datetime | None, From("learning_set_at"), Absent()]
    reason: Annotated[str | None, From("learning_reason"), Absent()]


PEERS = "/api/v1/agents/{agentId}/peers"
ROUTES = (
    GET("/api/v1/agents", agents.list_agents, list[AgentJSON]),
    POST("/api/v1/agents", agents.create_agent, NewAgentJSON, status=201),
    GET("/api/v1/agents/crews-status", agents.crews_status, CrewsStatusJSON),
    GET("/api/v1/agent-load", agents.agent_load, list[AgentLoadJSON]),
    GET("/api/v1/models", models.list_models, models.ModelList),
    GET("/api/v1/agents/{agentId}", agents.get_agent, AgentJSON),
    PATCH("/api/v1/agents/{agentId}", agents.update_agent, AgentJSON),
    DELETE("/api/v1/agents/{agentId}", agents.delete_agent, Success),
    GET("/api/v1/agents/{agentId}/runs", agents.list_runs_of_agent, list[AgentRunJSON]),
    GET("/api/v1/agents/{agentId}/logs", agents.list_logs, list[LogEntryJSON]),
    GET("/api/v1/agents/{agentId}/debug", debugging.debug_agent, debugging.AgentDebug),
    GET("/api/v1/agents/{agentId}/files", files.list_agent_files, list[FileInfo]),
    GET("/api/v1/agents/{agentId}/files/download", files.download_agent_file, gives=Download()),
    PUT(
        "/api/v1/agents/{agentId}/files/save",
        files.save_agent_file,
        FileSaved,
        body=Upload(MOST, instead_of="content"),
    ),
    GET("/api/v1/agents/{agentId}/container-files", workplace.list_home, list[workplace.ContainerFile]),
    GET("/api/v1/agents/{agentId}/git-log", workplace.git_log, list[workplace.GitCommit]),
    POST("/api/v1/agents/{agentId}/stop", agents.stop_agent, StoppedJSON),
    GET("/api/v1/agents/{agentId}/learning", learning.get_learning, LearningJSON),
    PATCH("/api/v1/agents/{agentId}/learning", learning.set_learning, LearningJSON),
    GET("/api/v1/agents/{agentId}/inbox", desk.get_agent_inbox, desk.AgentInbox),
    GET(PEERS, peers.list_peer_cards, peers.PeerCardList),
    GET(f"{PEERS}/{{userId}}", peers.read_peer_card, peers.PeerCardText),
    DELETE(f"{PEERS}/{{userId}}", peers.delete_peer_card, status=204),
)
