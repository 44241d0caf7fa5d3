"""How an agent comes into being, and how it goes."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models.attention.inbox import InboxKind
from models.staff.agents import Agent, AgentRole, AgentStatus, CliAdapter, LeadMode, LlmProvider, ToolProfile
from models.staff.crews import Crew
from resolvers.attention.inbox.events import InboxItemUpdated
from resolvers.attention.inbox.putting import settle
from resolvers.kernel import (
    Action,
    Bool,
    ById,
    Code,
    Context,
    Description,
    Event,
    Holder,
    Id,
    Input,
    Int,
    Limit,
    Name,
    Prompt,
    Refusal,
    Slug,
    Success,
    Text,
    command,
    end_work,
    instance,
    invalid,
)
from resolvers.people.workspaces.files import AGENT_GONE, forget_attached
from resolvers.staff.agents.permission import EDITED, may_create, may_edit
from resolvers.staff.agents.webhook_secret import sealed

HAS_LEAD = "The crew already has a LEAD"
SLUG_TAKEN = "An agent with this slug already exists"
TAKEN = {"agents_workspace_id_slug_key": SLUG_TAKEN, "agents_crew_id_lead_key": HAS_LEAD}
DEFAULT_TIMEOUT = 1800


def none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def default_if_empty(default: Any) -> BeforeValidator:
    """Forms send an empty text for a choice that was not made."""
    return BeforeValidator(lambda value: default if value == "" else value)


class NewAgent(Input):
    """What is judged first, in the order of the fields (contract: agents.create, check order)."""

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
    status: AgentStatus


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
        raise Refusal(Code.CONFLICT, HAS_LEAD)


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
