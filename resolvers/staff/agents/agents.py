"""Agents: list, get, create, update and delete."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models import bounds
from models.attention.inbox import InboxKind
from models.people.workspaces import Workspace
from models.resources.skills import AgentSkill
from models.staff.agent_avatars import AgentAvatar
from models.staff.agents import Agent, AgentRole, AgentStatus, CliAdapter, LeadMode, LlmProvider, ToolProfile
from models.staff.chats import Chat
from models.staff.crews import Crew
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import settle
from resolvers.instance.license import Limit
from resolvers.kernel import (
    EVERYONE,
    GRAPHQL_ONLY,
    Action,
    Bool,
    ById,
    Code,
    ConfigText,
    Context,
    Description,
    Event,
    Holder,
    Id,
    Input,
    Int,
    Name,
    Page,
    Paging,
    Prompt,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Slug,
    Success,
    Text,
    command,
    confidential,
    count,
    end_work,
    extend,
    graph,
    instance,
    invalid,
    many,
    one,
    query,
    viewer_can,
)
from resolvers.kernel.declarations.events import Distinct
from resolvers.kernel.ground.stricter import InGraph
from resolvers.kernel.store.changes import Clash
from resolvers.people.workspaces.files import AGENT_GONE, forget_attached
from resolvers.resources.integrations.written import agent_follows
from resolvers.rules.config_text import shown
from resolvers.rules.cron import next_run
from resolvers.rules.mcp_config import parse_mcp_config
from resolvers.rules.model_catalog import CURATED
from resolvers.staff.agents.models import is_another_server
from resolvers.staff.agents.permission import EDITED, may_create, may_edit
from resolvers.staff.agents.webhook_secret import sealed
from resolvers.staff.crews.pictures import forget_pictures

newest_first = (col(Agent.expired_at).is_(None).desc(), col(Agent.listed_at).desc(), col(Agent.id).desc())
"""Ghosts last, then by the end or beginning of a life: agents_list_idx to the letter, all in one direction."""


class ListAgents(Paging):
    """A page of agents: 100 by default, at most 500."""

    page_default = 100
    page_maximum = 500

    crew_id: Id | None = None


def of_crew(rows: Rows[Agent], data: ListAgents) -> Rows[Agent]:
    return rows if data.crew_id is None else rows.where(col(Agent.crew_id) == data.crew_id)


graph(
    Agent,
    gate=Action.READ,
    scope="agents:read",
    visible=EVERYONE,
    crew=one(Crew, "crew_id"),
    parent_lead=one(Agent, "parent_lead_id"),
    viewer_can=viewer_can(Agent),
    skill_count=count(AgentSkill, "agent_id"),
    chat_count=count(Chat, "agent_id"),
)
graph(AgentSkill, gate=Action.READ, scope="skills:read", visible=EVERYONE)
confidential(Agent, Action.UPDATE, "mcp_config_json")
extend(Workspace, agents=many(Agent, "workspace_id", order_by=newest_first, narrow=of_crew, input=ListAgents))


@query("agents.list", Action.READ)
def list_agents(scope: QueryScope, data: ListAgents) -> Page[Agent]:
    """List agents.

    Lists agents of the workspace or of one crew, newest first; expired agents come last.
    """
    return of_crew(scope.select(Agent), data).order_by(*newest_first).page(data)


@query("agents.get", Action.READ, errors=(Code.NOT_FOUND,))
def get_agent(scope: QueryScope, data: ById) -> Row[Agent]:
    """Get an agent.

    In GraphQL, `id` can be the slug.
    """
    return scope.select(Agent).where(col(Agent.id) == data.id).one("Agent not found")


class AgentBySlug(Input):
    """A slug is unique in the workspace, and case-sensitive."""

    slug: Text


@query("agents.get_by_slug", Action.READ, errors=(Code.NOT_FOUND,), surfaces=GRAPHQL_ONLY, names=get_agent)
def get_agent_by_slug(scope: QueryScope, data: AgentBySlug) -> Row[Agent]:
    """Get an agent by its slug."""
    return scope.select(Agent).where(col(Agent.slug) == data.slug).one("Agent not found")


HAS_LEAD = "The crew already has a LEAD"
SLUG_TAKEN = "An agent with this slug already exists"
TAKEN = {"agents_workspace_id_slug_key": SLUG_TAKEN, "agents_crew_id_lead_key": Clash(HAS_LEAD, "agent_role")}
DEFAULT_TIMEOUT = 1800
DRAWN_BY = ("avatar_seed", "avatar_style", "slug")
"""A stored picture of an agent was drawn by these."""


def none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def default_if_empty(default: Any) -> BeforeValidator:
    """Forms send an empty text for a choice that was not made."""
    return BeforeValidator(lambda value: default if value == "" else value)


class NewAgent(Input):
    """The fields that are checked first, in this order (contract: agents.create, check order)."""

    name: Name
    slug: Slug
    agent_role: Annotated[AgentRole, default_if_empty(AgentRole.AGENT)] = AgentRole.AGENT
    crew_id: Annotated[Id | None, BeforeValidator(none_if_empty), Field(validate_default=True)] = None

    @field_validator("crew_id")
    @classmethod
    def _lead_has_a_crew(cls, crew_id: str | None, info: ValidationInfo) -> str | None:
        if crew_id is None and info.data.get("agent_role") is AgentRole.LEAD:
            raise PydanticCustomError("lead_without_crew", "crew_id is required for a LEAD")
        return crew_id


class CreateAgent(NewAgent):
    """A LEAD requires a crew; its `lead_mode` is active by default. A timeout of 0 means the default, 1800 seconds."""

    lead_mode: Annotated[LeadMode | None, BeforeValidator(none_if_empty)] = None
    cli_adapter: Annotated[CliAdapter, default_if_empty(CliAdapter.CLAUDE_CODE)] = CliAdapter.CLAUDE_CODE
    llm_provider: Annotated[LlmProvider | None, BeforeValidator(none_if_empty)] = None
    tool_profile: Annotated[ToolProfile, default_if_empty(ToolProfile.CODING)] = ToolProfile.CODING
    description: Description | None = None
    role_title: Text | None = None
    llm_model: Text | None = None
    system_prompt: Prompt | None = None
    avatar_seed: Text | None = None
    avatar_style: Text | None = None
    timeout_seconds: Annotated[Int, Field(ge=0), AfterValidator(lambda seconds: seconds or DEFAULT_TIMEOUT)] = (
        DEFAULT_TIMEOUT
    )
    memory_enabled: Bool = False


class AgentCreated(Event, type="agent.created", channel="workspace:{workspace_id}"):
    """An agent was created."""

    id: str
    name: str
    slug: str
    status: Annotated[AgentStatus, Distinct("agent_status")]


class AgentDeleted(Event, type="agent.deleted", channel="workspace:{workspace_id}"):
    """An agent was deleted."""

    id: str


async def _fits_the_crew(ctx: Context, data: NewAgent) -> None:
    """Crew, license and lead are judged before the rest of the body; of two leads at once the key refuses one."""
    if data.crew_id is None:
        return
    await require_crew(ctx, data.crew_id)
    await room_for_an_agent(ctx, data.crew_id)
    lead = (col(Agent.crew_id) == data.crew_id, col(Agent.agent_role) == AgentRole.LEAD)
    if data.agent_role is AgentRole.LEAD and await ctx.select(Agent, *lead, including_hidden=True).exists():
        raise Refusal(Code.CONFLICT, HAS_LEAD, taken=("agent_role",))


async def add_agent(ctx: Context, data: CreateAgent) -> Agent:
    """The row of a new agent, by the rules of all new agents."""
    values = data.model_dump()
    if data.agent_role is AgentRole.LEAD and data.lead_mode is None:
        values["lead_mode"] = LeadMode.active
    agent = Agent(**values, created_by_user_id=ctx.user_id or None)
    agent.webhook_secret = await sealed(ctx, agent.id)
    return await ctx.insert(agent, conflict=TAKEN)


@command(
    "agents.create",
    Action.PARTICIPATE,
    allow=(may_create, _fits_the_crew),
    audit="create",
    emits=AgentCreated,
    errors=(Code.PAYMENT_REQUIRED, Code.CONFLICT),
)
async def create_agent(ctx: Context, data: CreateAgent) -> Agent:
    """Create an agent.

    The agent may belong to a crew; a crew has at most one LEAD.

    Requires the create role in the workspace or, for an agent of a crew, in that crew.
    """
    agent = await add_agent(ctx, data)
    ctx.audit("AGENT", agent.id, name=agent.name, slug=agent.slug, cli_adapter=agent.cli_adapter)
    ctx.emit(AgentCreated(id=agent.id, name=agent.name, slug=agent.slug, status=agent.status))
    return agent


@command(
    "agents.delete",
    Action.UPDATE,
    subject=EDITED,
    allow=may_edit,
    audit="delete",
    emits=(AgentDeleted, InboxItemUpdated),
    versioned=Agent,
)
async def delete_agent(ctx: Context, agent: Agent, data: ById) -> Success:
    """Delete an agent.

    Ends its runs before it answers. Its chats, runs, assignments and files of the crew are kept; its home and
    files attached to its chats are deleted. Its slug can be reused. A pending approval of its hire is cancelled.

    A MANAGER can delete agents they created and agents of crews they administer.
    """
    await end_work(ctx, Holder.agent, agent.id)
    await ctx.delete(Agent, agent.id)
    await forget_attached(ctx, agent.id)
    await ctx.delete_where(AgentAvatar, col(AgentAvatar.agent_id) == agent.id, including_hidden=True)
    ctx.enqueue(AGENT_GONE, agent_id=agent.id)
    await settle(ctx, InboxKind.waitpoint, agent.id, "deleted")
    ctx.audit("AGENT", agent.id)
    ctx.emit(AgentDeleted(id=agent.id))
    return Success()


async def require_crew(ctx: Context, crew_id: str) -> None:
    """A reference to a crew that this workspace does not have is a bad body, not a missing page."""
    if not await ctx.select(Crew, col(Crew.id) == crew_id).exists():
        raise invalid("crew_id", "there is no such crew in this workspace")


async def room_for_an_agent(ctx: Context, crew_id: str) -> None:
    """Holds a crew to the agent limit of the license, where one is enforced."""
    license = instance.license
    if Limit.agents not in license.enforced:
        return
    await ctx.lock(f"agents of {crew_id}")  # two callers may not both take the last place
    license.check(Limit.agents, await ctx.select(Agent, col(Agent.crew_id) == crew_id, including_hidden=True).count())


T = TypeVar("T")


def _not_null(value: T | None) -> T:
    if value is None:
        raise PydanticCustomError("null", "must not be null")
    return value


def _comes(value: Any, _: Mapping[str, Any]) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    return NO_CRON if next_run(value, instance.clock.now()) is None else None


def _has_schedule(value: Any, input: Mapping[str, Any]) -> str | None:
    """A schedule that is not sent may be stored."""
    return NO_SCHEDULE if value is True and input.get("schedule_cron", "stored") in (None, "") else None


NO_CRON = "must be five fields (minute, hour, day of month, month, day of week) of a time that comes, such as 0 9 * * 1"
NO_SCHEDULE = "needs schedule_cron"
Schedule = Annotated[Text, InGraph(_comes)]


class UpdateAgent(Input):
    """Absent fields stay unchanged. Null clears the optional texts, the provider and the MCP configuration.

    An empty crew id or null removes the agent from its crew. A timeout of 0 means 1800 seconds. In GraphQL a
    schedule that never comes is refused.
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
    schedule_cron: Schedule | None = None
    schedule_prompt: Prompt | None = None
    schedule_enabled: Annotated[Bool, InGraph(_has_schedule)] = False
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
    if any(sent.get(name, getattr(agent, name)) != getattr(agent, name) for name in DRAWN_BY):
        await forget_pictures(ctx, col(Agent.id) == agent.id)
    changed = await ctx.update(Agent, agent.id, conflict=TAKEN, **changes)
    await _follow(ctx, agent, changed)
    ctx.audit("AGENT", agent.id, **_told(sent))
    ctx.emit(AgentUpdated(id=agent.id))
    return changed


def _check_model(agent: Agent, sent: dict[str, Any]) -> None:
    """Checks the model against the provider's curated list. A provider without a list accepts any model, and so does
    one that the operator has redirected by a base URL to a server with models of its own.
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
    """The fields of the body that the audit log records. Server configurations contain tokens: the log says that they
    changed, without values.
    """
    return sent | ({"mcp_config_json": "(not recorded)"} if "mcp_config_json" in sent else {})
