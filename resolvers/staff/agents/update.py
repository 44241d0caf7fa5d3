"""How an agent is changed."""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models import bounds
from models.staff.agents import Agent, AgentRole, CliAdapter, LeadMode, LlmProvider, ToolProfile
from models.staff.crews import Crew
from resolvers.kernel import (
    Action,
    Bool,
    Code,
    ConfigText,
    Context,
    Description,
    Event,
    Id,
    Input,
    Int,
    Prompt,
    Refusal,
    Slug,
    Text,
    command,
    instance,
    invalid,
)
from resolvers.resources.integrations.written import agent_follows
from resolvers.rules.config_text import shown
from resolvers.rules.cron import next_run
from resolvers.rules.mcp_config import parse_mcp_config
from resolvers.rules.model_catalog import CURATED
from resolvers.staff.agents.lifecycle import TAKEN, require_crew
from resolvers.staff.agents.models import is_another_server
from resolvers.staff.agents.permission import EDITED, may_edit

T = TypeVar("T")


def _not_null(value: T | None) -> T:
    if value is None:
        raise PydanticCustomError("null", "must not be null")
    return value


class UpdateAgent(Input):
    """Absent fields stay unchanged. Null clears the optional texts, the provider and the MCP configuration.

    An empty crew id or null removes the agent from its crew. A timeout of 0 means 1800 seconds.
    """

    id: Id
    name: Annotated[str, Field(strict=True, min_length=1, max_length=bounds.NAME)] = ""
    slug: Slug = ""
    description: Description | None = None
    role_title: Text | None = None
    agent_role: AgentRole = AgentRole.AGENT
    lead_mode: Annotated[LeadMode | None, AfterValidator(_not_null)] = None
    cli_adapter: Annotated[CliAdapter | None, AfterValidator(_not_null)] = None
    llm_provider: LlmProvider | None = None
    llm_model: Text | None = None
    system_prompt: Prompt | None = None
    avatar_seed: Text | None = None
    avatar_style: Text | None = None
    timeout_seconds: Annotated[Int, Field(ge=0)] = 0
    tool_profile: Annotated[ToolProfile | None, AfterValidator(_not_null)] = None
    memory_enabled: Bool = False
    cli_tools: Description | None = None
    crew_id: Id | None = None
    schedule_cron: Text | None = None
    schedule_prompt: Prompt | None = None
    schedule_enabled: Bool = False
    mcp_config_json: ConfigText | None = None
    webhook_require_timestamp: Bool = False


class AgentUpdated(Event, type="agent.updated", channel="workspace:{workspace_id}"):
    """An agent was updated."""

    id: str


@command(
    "agents.update",
    Action.UPDATE,
    subject=EDITED,
    allow=may_edit,
    audit="update",
    emits=AgentUpdated,
    errors=(Code.CONFLICT,),
    versioned=Agent,
)
async def update_agent(ctx: Context, agent: Agent, data: UpdateAgent) -> Agent:
    """Update an agent.

    Promoting an agent to LEAD turns the current LEAD of its crew into an AGENT.

    A MANAGER can update agents they created and agents of crews they administer.
    """
    sent = data.changes("id")
    if not sent:
        raise Refusal(Code.BAD_REQUEST, "There is nothing to update")
    if data.mcp_config_json:
        parse_mcp_config(data.mcp_config_json)
    if sent.get("agent_role") is AgentRole.LEAD:
        await ctx.lock(f"leads of {ctx.workspace_id}")  # two switches in one crew would each wait for the other's row
    agent = await ctx.get(Agent, agent.id, lock=True)
    _check_model(agent, sent)
    changes = sent | await _crew_changes(ctx, agent, sent) | _schedule_changes(agent, sent)
    if sent.get("agent_role") is AgentRole.LEAD:
        await _step_down(ctx, agent)
    changed = await ctx.update(Agent, agent.id, conflict=TAKEN, **changes)
    await _follow(ctx, agent, changed)
    ctx.audit("AGENT", agent.id, **_told(sent))
    ctx.emit(AgentUpdated(id=agent.id))
    return changed


def _check_model(agent: Agent, sent: dict[str, Any]) -> None:
    """Against the curated list of the provider. One without a list takes any model, and so does one that stands for
    another server, by a base URL of the operator: that has models of its own.
    """
    model, provider = sent.get("llm_model"), sent.get("llm_provider", agent.llm_provider)
    if model is None:
        return
    for name, models in CURATED.items():
        if name.value == provider and all(known.id != model for known in models) and not is_another_server(name):
            raise invalid("llm_model", f"{name.value} has no model {shown(model)}")


async def _crew_changes(ctx: Context, agent: Agent, sent: dict[str, Any]) -> dict[str, Any]:
    crew_id = sent.get("crew_id", agent.crew_id) or None
    if crew_id is None and sent.get("agent_role", agent.agent_role) == AgentRole.LEAD:
        raise invalid("crew_id", "a LEAD needs a crew")
    if "crew_id" not in sent:
        return {}
    if crew_id is not None:
        await require_crew(ctx, crew_id)
    return {"crew_id": crew_id}


def _schedule_changes(agent: Agent, sent: dict[str, Any]) -> dict[str, Any]:
    """A schedule that is off, absent or unreadable has no next run."""
    if not sent.keys() & {"schedule_cron", "schedule_enabled"}:
        return {}
    cron, enabled = sent.get("schedule_cron", agent.schedule_cron), sent.get("schedule_enabled", agent.schedule_enabled)
    return {"schedule_next_run": next_run(cron, instance.clock.now()) if cron and enabled else None}


async def _follow(ctx: Context, was: Agent, now: Agent) -> None:
    """The servers of the text, in the crew that the agent is in."""
    if (was.crew_id, was.mcp_config_json) == (now.crew_id, now.mcp_config_json):
        return
    if was.crew_id is not None and was.crew_id != now.crew_id and was.mcp_config_json:
        left = await ctx.select(Crew, col(Crew.id) == was.crew_id).first()
        if left is not None:
            await agent_follows(ctx, now, left, was.mcp_config_json, None)
    if now.crew_id is not None:
        before = was.mcp_config_json if was.crew_id == now.crew_id else None
        await agent_follows(ctx, now, await ctx.get(Crew, now.crew_id), before, now.mcp_config_json)


async def _step_down(ctx: Context, agent: Agent) -> None:
    """The present lead of the crew that the agent is in before this change becomes an AGENT."""
    if agent.crew_id is None:
        return
    lead = (col(Agent.crew_id) == agent.crew_id, col(Agent.agent_role) == AgentRole.LEAD, col(Agent.id) != agent.id)
    for id in await ctx.update_where(Agent, *lead, including_hidden=True, agent_role=AgentRole.AGENT):
        ctx.emit(AgentUpdated(id=id))


def _told(sent: dict[str, Any]) -> dict[str, Any]:
    """What the audit keeps of the body. Servers are configured with tokens: that they changed is kept, how is not."""
    return sent | ({"mcp_config_json": "(not recorded)"} if "mcp_config_json" in sent else {})
