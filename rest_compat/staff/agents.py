"""REST: agents."""

from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import Field

from models.staff.agents import Agent, AgentStatus
from models.staff.crews import Crew
from models.staff.runs import ChatEventType, Run, RunFrame
from resolvers.kernel.declarations.operation import Answer
from resolvers.kernel.declarations.outputs import Success
from resolvers.staff import agents
from resolvers.staff.agents import avatars, debugging, desk, files, learning, models, peers, presence, workplace
from resolvers.staff.crews.files import MOST, FileInfo, FileSaved
from rest_compat.http.errors import Headers
from rest_compat.http.table import (
    DELETE,
    GET,
    PATCH,
    POST,
    PUT,
    Absent,
    Download,
    From,
    Null,
    Reply,
    Request,
    Upload,
    Wire,
)


class AgentCrewJSON(Wire, of=Crew):
    fields = "name slug color avatar_style"


class AgentCountsJSON(Wire, of=Agent):
    skills: Annotated[int, From("skill_count")]
    credentials: Annotated[int, From("credential_count")]
    chats: Annotated[int, From("chat_count")]


class AgentColumnsJSON(Wire, of=Agent):
    fields = """
        id crew_id workspace_id name slug description role_title agent_role lead_mode status cli_adapter llm_provider
        llm_model system_prompt avatar_seed avatar_style avatar_url timeout_seconds tool_profile memory_enabled
        cli_tools schedule_cron schedule_prompt schedule_enabled schedule_last_run schedule_next_run
        webhook_require_timestamp mcp_config_json created_at updated_at ephemeral expires_at expired_at
        parent_lead_id hire_reason counts
    """
    absent = "mcp_config_json"
    counts: AgentCountsJSON = Field(alias="_count")


class AgentJSON(AgentColumnsJSON, of=Agent):
    crew: AgentCrewJSON | None
    created_by_user_id: Annotated[str | None, Absent()]


class NewAgentJSON(AgentColumnsJSON, of=Agent):
    """The answer of a create includes neither the crew nor the creator (contract: agents.create)."""

    crew: Annotated[None, Null()]


class CrewsStatusJSON(Wire, of=agents.CrewsStatus):
    fields = "total running error idle queued"


class AgentLoadJSON(Wire, of=agents.AgentLoad):
    fields = """
        agent_id agent_name agent_slug agent_status active_tasks pending_tasks completed_today tokens_used_today
        token_budget
    """


class AgentRunJSON(Wire, of=Run):
    fields = """
        id agent_id chat_id workspace_id triggered_by trigger_type status started_at finished_at error_message exit_code
        metadata created_at model cli_version api_key_source permission_mode session_id mcp_server_errors
        mcp_server_error_count mcp_server_errors_truncated permission_denials permission_denials_truncated
    """
    absent = """
        model cli_version api_key_source permission_mode session_id mcp_server_errors mcp_server_error_count
        mcp_server_errors_truncated permission_denials permission_denials_truncated
    """
    started_at: Annotated[datetime, From("began_at")]
    metadata: Annotated[dict[str, Any] | None, From("data")]
    created_at: Annotated[datetime, From("began_at")]


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
    """Author, time and reason are absent until it is set."""

    agent_id: Annotated[str, From("id")]
    enabled: Annotated[bool, From("learning_enabled")]
    set_by_user_id: Annotated[str | None, From("learning_set_by_user_id"), Absent()]
    set_at: Annotated[datetime | None, From("learning_set_at"), Absent()]
    reason: Annotated[str | None, From("learning_reason"), Absent()]


SVG = "image/svg+xml"
PICTURE: Headers = [
    (b"content-type", SVG.encode()),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"cache-control", b"private, max-age=31536000, immutable"),
]


def _picture(request: Request, answer: Answer) -> Reply:
    return Reply(200, orjson.loads(answer.body or b"{}")["svg"].encode(), list(PICTURE))


AVATAR = "/api/v1/agents/{agentId}/avatar"
PEERS = "/api/v1/agents/{agentId}/peers"
ROUTES = (
    GET("/api/v1/agents", agents.list_agents, list[AgentJSON]),
    POST("/api/v1/agents", agents.create_agent, NewAgentJSON, status=201),
    GET("/api/v1/agents/crews-status", agents.crews_status, CrewsStatusJSON),
    GET("/api/v1/agent-load", agents.agent_load, list[AgentLoadJSON]),
    GET("/api/v1/presence/roster", presence.read_roster, presence.Roster),
    GET("/api/v1/models", models.list_models, models.ModelList),
    GET("/api/v1/agents/{agentId}", agents.get_agent, AgentJSON),
    PATCH("/api/v1/agents/{agentId}", agents.update_agent, AgentJSON),
    DELETE("/api/v1/agents/{agentId}", agents.delete_agent, Success),
    GET(AVATAR, avatars.get_agent_avatar, answers=_picture, sends=SVG),
    PUT(AVATAR, avatars.store_agent_avatar, avatars.AvatarStored),
    DELETE(AVATAR, avatars.delete_agent_avatar, status=204),
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
