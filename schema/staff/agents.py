"""GraphQL: agents."""

from typing import Annotated

import strawberry

from models.staff.agents import Agent
from models.staff.runs import RunFrame
from resolvers.staff import agents as agent_ops
from resolvers.staff.agents import (
    avatars,
    debugging,
    desk,
    files,
    finding,
    learning,
    models,
    peers,
    presence,
    workplace,
)
from schema.bridge.fields import acts, mutation, node, output, query

output(
    models.ModelInfo,
    fields={
        "id": Annotated[str, strawberry.field(deprecation_reason="Several providers have it. Use `model`.")],
        "provider": "In lower case.",
    },
    properties={"model": str},
)
output(
    desk.PeerMessage,
    fields={
        "id": strawberry.field(deprecation_reason="Its two agents see it differently. Use `conversationId`."),
        "duration_ms": float | None,
    },
    properties={"conversation_id": strawberry.ID},
)
output(desk.AgentInbox, fields={"llm_calls_this_month": float, "tokens_used_this_month": float})
output(workplace.ContainerFile, fields={"size": float})


@node(Agent)
class AgentType:
    """A configured model with an adapter and a prompt, in a crew or without one."""

    fields = """
        id workspace_id crew_id crew name slug description role_title agent_role lead_mode status cli_adapter
        llm_provider llm_model system_prompt effective_persona persona_versions avatar_seed avatar_style avatar_url
        timeout_seconds tool_profile memory_enabled learning_enabled learning_set_by_user_id learning_set_at
        learning_reason cli_tools mcp_config_json schedule_cron schedule_prompt schedule_enabled schedule_last_run
        schedule_next_run webhook_require_timestamp ephemeral expires_at expired_at parent_lead_id parent_lead
        led_missions mission_tasks hire_reason created_by_user_id created_at updated_at version skill_count
        credential_count chat_count chats runs inbox_items costs budgets skills credentials integrations
        resolved_integrations folders approvals escalations viewer_can
    """
    viewer_can = acts()
    effective_persona = strawberry.field(name="persona")
    persona_versions = strawberry.field(description="Versions of the agent's own persona, newest first.")
    learning_enabled = strawberry.field(
        description=("True if the agent may change its persona and store lessons by itself.")
    )
    cli_tools = strawberry.field(description="Names of command-line tools, comma-separated.")
    mcp_config_json = strawberry.field(
        description="MCP servers: the JSON text as sent, an object with `mcpServers`. Null below MANAGER.",
    )
    schedule_cron = strawberry.field(description="A cron expression of five fields, in UTC.")
    schedule_next_run = strawberry.field(
        description="Null if the schedule is disabled, absent or invalid.",
    )
    ephemeral = strawberry.field(description="True if the agent was hired for a limited time.")
    expired_at = strawberry.field(
        description="The time at which an ephemeral agent expired; it can be rehired.",
    )
    hire_reason = strawberry.field(description="One line per hire and rehire.")
    avatar_url = strawberry.field(description="Address of the stored avatar; null without one.")
    version = strawberry.field(description="Incremented with every edit; compared with `ifVersion`.")
    inbox_items = strawberry.field(description="Escalations of the agent.")
    costs = strawberry.field(description="Entries of the last 30 days, newest first.")
    credentials = strawberry.field(description="Assigned credentials that the caller can see.")
    integrations = strawberry.field(description="Bindings to MCP servers.")
    resolved_integrations = strawberry.field(description="MCP servers that the agent can use.")
    folders = strawberry.field(description="Files that the agent's commands can access.")
    approvals = strawberry.field(description="Approvals that the agent requested.")
    escalations = strawberry.field(description="Questions of the agent to users.")


@node(agent_ops.CrewsStatus)
class CrewsStatusType:
    """Counters of the agents of a workspace, by status."""

    fields = "total running error idle queued"
    idle = strawberry.field(description="Agents in any status except RUNNING and ERROR.")
    queued = strawberry.field(description="Assignments waiting for a run.")


@node(agent_ops.AgentFolder)
class AgentFolderType:
    """A folder in the sandbox of an agent's commands."""

    path: str
    writable: bool
    shared: bool = strawberry.field(description="True if the agents of its crew share the folder.")


@node(agent_ops.AgentLoad)
class AgentLoadType:
    """Mission tasks of one agent. Sums of tokens can exceed the range of Int."""

    fields = """
        agent_id agent_name agent_slug agent_status active_tasks pending_tasks completed_today tokens_used_today
        token_budget
    """
    completed_today = strawberry.field(description="Tasks completed in the last 24 hours.")
    tokens_used_today: float = strawberry.field(description="Tokens of the tasks completed in the last 24 hours.")
    token_budget: float = strawberry.field(description="Sum of the budgets of unfinished tasks.")


@node(RunFrame, name="LogEntry")
class LogEntryType:
    """One event in the output of an agent's adapter."""

    fields = "created_at run_id chat_id seq level agent_slug event content tool event_metadata"
    created_at = strawberry.field(name="ts")
    seq = strawberry.field(description="Number of the frame in its chat.")
    agent_slug: str = strawberry.field(name="agent")
    tool = strawberry.field(description="Name of the tool called.")
    event_metadata = strawberry.field(name="metadata")


@strawberry.type
class AgentQuery:
    agents = query(agent_ops.list_agents, AgentType)
    find_agents = query(finding.find_agents, AgentType)
    agent = query(agent_ops.get_agent, AgentType)
    agent_by_slug = query(agent_ops.get_agent_by_slug, AgentType)
    crews_status = query(agent_ops.crews_status, CrewsStatusType)
    agent_load = query(agent_ops.agent_load, AgentLoadType)
    roster = query(presence.read_roster)
    models = query(models.list_models)
    agent_files = query(files.list_agent_files)
    agent_learning = query(learning.get_learning, AgentType)
    agent_inbox = query(desk.get_agent_inbox)
    agent_peer_cards = query(peers.list_peer_cards)
    agent_container_files = query(workplace.list_home)
    agent_git_log = query(workplace.git_log)
    agent_logs = query(agent_ops.list_logs, LogEntryType)
    agent_debug = query(debugging.debug_agent)


@strawberry.type
class AgentMutation:
    create_agent = mutation(agent_ops.create_agent, AgentType)
    update_agent = mutation(agent_ops.update_agent, AgentType)
    delete_agent = mutation(agent_ops.delete_agent)
    store_agent_avatar = mutation(avatars.store_agent_avatar)
    delete_agent_avatar = mutation(avatars.delete_agent_avatar)
    save_agent_file = mutation(files.save_agent_file)
    set_agent_learning = mutation(learning.set_learning, AgentType)
    read_agent_peer_card = mutation(peers.read_peer_card)
    delete_agent_peer_card = mutation(peers.delete_peer_card)
    stop_agent = mutation(agent_ops.stop_agent, AgentType)
