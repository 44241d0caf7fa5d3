"""Crews themselves: list, create, get, update, replace, delete; and what can be read from one."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Text as SQLText
from sqlalchemy import and_, literal, or_
from sqlmodel import col

from models import bounds
from models.people.workspaces import Workspace
from models.staff.agents import Agent, AgentRole, AgentStatus
from models.staff.chats import ChatAttachment
from models.staff.crews import Crew, CrewMember, NetworkMode
from models.work.missions import Mission
from resolvers.instance.license import Limit
from resolvers.kernel import (
    EVERYONE,
    GRAPHQL_ONLY,
    Action,
    ById,
    Code,
    ConfigText,
    Context,
    Description,
    Event,
    Float,
    Holder,
    Id,
    Input,
    Int,
    Name,
    Page,
    Paging,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Slug,
    Subject,
    Success,
    Text,
    at_most,
    command,
    confidential,
    count,
    end_work,
    extend,
    graph,
    instance,
    many,
    query,
)
from resolvers.people.workspaces.files import CREW_GONE
from resolvers.resources.integrations.written import crew_follows
from resolvers.staff.crews.building import BUILD, begun, queued
from resolvers.staff.crews.configuration import stored_on_create, stored_on_update
from resolvers.staff.crews.containers import REMADE, STOP
from resolvers.staff.crews.pictures import forget_pictures

NOT_FOUND = "Crew not found"
SLUG_TAKEN = "A crew with this slug already exists"
ENTITY = "CREW"
NETWORK = {"network_mode", "allowed_domains"}
CREW = Subject(Crew, "id")

Image = Annotated[str, Field(strict=True, max_length=bounds.IMAGE)]
Domains = Annotated[list[Text], at_most(bounds.ENTRIES)]
Mode = NetworkMode | Text | None
"""Any text is accepted first: an unknown mode is reported after a taken slug, and letter case is ignored. GraphQL shows
the enum.
"""


class ListCrews(Paging):
    """Pagination of the list."""


class CrewAgents(Paging):
    """Agents of a crew, oldest first, including expired ones."""

    status: AgentStatus | None = None
    agent_role: AgentRole | None = None


class CreateCrew(Input):
    """Numbers of 0 or less mean the default: 4096 MB, 2 CPUs, an unlimited lifetime of the container.

    Texts are validated and stored as sent. `allowed_domains` applies in restricted mode, which is the default.
    """

    name: Name
    slug: Slug
    description: Description | None = None
    color: Text | None = None
    icon: Text | None = None
    container_memory_mb: Int = 0
    container_cpus: Float = 0
    container_ttl_hours: Int = 0
    network_mode: Mode = None
    allowed_domains: Domains = []
    runtime_image: Image = ""
    devcontainer_config: ConfigText = ""
    mise_config: ConfigText = ""
    services_json: ConfigText = ""


class UpdateCrew(Input):
    """Absent and null fields stay unchanged.

    An empty string clears `escalation_config`, `issue_prefix`, `runtime_image`, `devcontainer_config`, `mise_config`
    and `services_json`, and 0 clears `container_ttl_hours`. The mode `free` clears `allowed_domains`.
    """

    id: Id
    name: Name = ""
    slug: Slug = ""
    description: Description = ""
    color: Text = ""
    icon: Text = ""
    avatar_style: Text = ""
    container_memory_mb: Int = 0
    container_cpus: Float = 0
    container_ttl_hours: Annotated[Int, Field(ge=0)] = 0
    max_ephemeral_agents: Annotated[Int, Field(ge=0, le=100)] = 0
    network_mode: Mode = None
    allowed_domains: Domains = []
    mcp_config_json: ConfigText = ""
    escalation_config: Description = ""
    issue_prefix: Text = ""
    runtime_image: Image = ""
    devcontainer_config: ConfigText = ""
    mise_config: ConfigText = ""
    services_json: ConfigText = ""


class CrewCreated(Event, type="crew.created", channel="workspace:{workspace_id}"):
    """A crew was created."""

    id: str
    name: str
    slug: str


class CrewUpdated(Event, type="crew.updated", channel="workspace:{workspace_id}"):
    """A crew was updated."""

    id: str
    name: str
    slug: str


class CrewDeleted(Event, type="crew.deleted", channel="workspace:{workspace_id}"):
    """A crew was deleted."""

    id: str


def _narrow(agents: Rows[Agent], data: CrewAgents) -> Rows[Agent]:
    if data.status is not None:
        agents = agents.where(col(Agent.status) == data.status)
    if data.agent_role is not None:
        agents = agents.where(col(Agent.agent_role) == data.agent_role)
    return agents


graph(
    Crew,
    gate=Action.READ,
    scope="crews:read",
    visible=EVERYONE,
    agents=many(Agent, "crew_id", order_by=col(Agent.created_at), narrow=_narrow, input=CrewAgents),
    members=many(CrewMember, "crew_id", order_by=col(CrewMember.created_at)),
    agent_count=count(Agent, "crew_id"),
    member_count=count(CrewMember, "crew_id"),
)
confidential(Crew, Action.UPDATE, "mcp_config_json", "devcontainer_config", "mise_config", "services_json")
extend(Workspace, crews=many(Crew, "workspace_id", order_by=col(Crew.created_at).desc(), input=ListCrews))


@query("crews.list", Action.READ)
def list_crews(scope: QueryScope, data: ListCrews) -> Page[Crew]:
    """List crews.

    Newest first; ties by id, descending.
    """
    return scope.select(Crew).order_by(col(Crew.created_at).desc(), col(Crew.id).desc()).page(data)


@query("crews.get", Action.READ, errors=(Code.NOT_FOUND,))
def get_crew(scope: QueryScope, data: ById) -> Row[Crew]:
    """Get a crew.

    In GraphQL, `id` can be the slug.
    """
    return scope.select(Crew).where(col(Crew.id) == data.id).one(NOT_FOUND)


class CrewBySlug(Input):
    """A slug is unique in the workspace, and case-sensitive."""

    slug: Text


@query("crews.get_by_slug", Action.READ, errors=(Code.NOT_FOUND,), surfaces=GRAPHQL_ONLY, names=get_crew)
def get_crew_by_slug(scope: QueryScope, data: CrewBySlug) -> Row[Crew]:
    """Get a crew by its slug."""
    return scope.select(Crew).where(col(Crew.slug) == data.slug).one(NOT_FOUND)


async def room_for_a_crew(ctx: Context) -> None:
    """Checks a configured limit before the body. The lock keeps two callers from both taking the last place."""
    license = instance.license
    if Limit.crews in license.enforced:
        await ctx.lock(f"license:crews:{ctx.workspace_id}")
        license.check(Limit.crews, await ctx.select(Crew, including_hidden=True).count())


async def require_free_slug(ctx: Context, slug: str, field: str = "slug") -> None:
    """The index decides; this only makes it the first of several refusals. `field` of the input."""
    if await ctx.select(Crew, col(Crew.slug) == slug).exists():
        raise Refusal(Code.CONFLICT, SLUG_TAKEN, taken=(field,))


async def release_slug(ctx: Context, slug: str) -> None:
    """Deleted crews of the slug are renamed, missions of all that ever had it removed: issue identifiers are free."""
    wanted, held = literal(slug, SQLText()), col(Crew.slug)
    renamed = wanted + "_deleted_" + col(Crew.id)
    # by bytes, as the index: "`" follows "_"
    begins = (held.op("~>=~")(f"{slug}_deleted_"), held.op("~<~")(f"{slug}_deleted`"))
    known = or_(held == wanted, and_(*begins, held == renamed))
    deleted = (col(Crew.deleted_at).is_not(None), known)
    line = await ctx.update_where(Crew, *deleted, including_deleted=True, including_hidden=True, slug=renamed)
    if line:
        await ctx.delete_where(Mission, col(Mission.crew_id).in_(line), including_hidden=True)


async def add_crew(ctx: Context, data: CreateCrew) -> Crew:
    """The row of a new crew, by the rules of all new crews."""
    await require_free_slug(ctx, data.slug)
    given = data.model_dump()
    given |= stored_on_create(given)
    for name in ("container_memory_mb", "container_cpus", "container_ttl_hours"):
        if given[name] <= 0:
            del given[name]
    await release_slug(ctx, data.slug)
    crew = Crew(**given, created_by=ctx.user_id or None)
    crew.build = begun(crew, await ctx.now())
    if crew.build is not None:
        queued(ctx, crew)
        ctx.enqueue(BUILD, crew_id=crew.id, build_id=crew.build["id"])
    return await ctx.insert(crew, conflict=SLUG_TAKEN)


@command(
    "crews.create",
    Action.CREATE,
    audit="crew.created",
    emits=CrewCreated,
    errors=(Code.PAYMENT_REQUIRED, Code.CONFLICT),
    allow=room_for_a_crew,
)
async def create_crew(ctx: Context, data: CreateCrew) -> Crew:
    """Create a crew.

    The slug is unique in the workspace.

    The common-utils feature, which creates the user that agents run as, is added to a devcontainer_config
    without it.
    """
    crew = await add_crew(ctx, data)
    ctx.audit(ENTITY, crew.id, name=crew.name, slug=crew.slug)
    ctx.emit(CrewCreated(id=crew.id, name=crew.name, slug=crew.slug))
    return crew


@command(
    "crews.update",
    Action.MANAGE,
    subject=CREW,
    audit="crew.updated",
    emits=CrewUpdated,
    errors=(Code.CONFLICT,),
    versioned=Crew,
)
async def update_crew(ctx: Context, crew: Crew, data: UpdateCrew) -> Crew:
    """Update a crew.

    `updated_at` changes even if nothing was sent.
    """
    sent: dict[str, Any] = {name: value for name, value in data.changes("id").items() if value is not None}
    if sent.keys() & NETWORK:
        crew = await ctx.get(Crew, crew.id, lock=True)  # each is stored by what the other is
    changes = stored_on_update(crew, sent)
    if sent.get("slug", crew.slug) != crew.slug:
        await release_slug(ctx, sent["slug"])
    if "cached_image" in changes:
        now = await ctx.now()
        wanted = {name: changes.get(name, getattr(crew, name)) for name in ("devcontainer_config", "mise_config")}
        changes["build"] = build = begun(Crew(name=crew.name, slug=crew.slug, **wanted), now)
        if build is not None:
            queued(ctx, crew)
            ctx.enqueue(BUILD, crew_id=crew.id, build_id=build["id"])
    if sent.keys() & REMADE and instance.containers is not None:
        ctx.enqueue(STOP, crew_id=crew.id)
    if sent.get("avatar_style", crew.avatar_style) != crew.avatar_style:
        await forget_pictures(ctx, col(Agent.crew_id) == crew.id, col(Agent.avatar_style).is_(None))
    edited = await ctx.edit(crew, conflict=SLUG_TAKEN, **changes)
    if "mcp_config_json" in sent:
        await crew_follows(ctx, edited, crew.mcp_config_json, sent["mcp_config_json"])
    ctx.audit(ENTITY, crew.id, fields=sorted(sent))  # names alone: the texts may hold secrets
    ctx.emit(CrewUpdated(id=crew.id, name=edited.name, slug=edited.slug))
    return edited


@command(
    "crews.replace",
    Action.MANAGE,
    subject=CREW,
    audit="crew.updated",
    emits=CrewUpdated,
    errors=(Code.CONFLICT,),
    versioned=Crew,
)
async def replace_crew(ctx: Context, crew: Crew, data: UpdateCrew) -> Crew:
    """Update a crew (alias of crews.update).

    Omitted fields stay unchanged.
    """
    return await update_crew.within(ctx, crew, data)


@command(
    "crews.delete", Action.MANAGE, audit="crew.deleted", emits=CrewDeleted, errors=(Code.NOT_FOUND,), versioned=Crew
)
async def delete_crew(ctx: Context, data: ById) -> Success:
    """Delete a crew.

    Ends the active runs of its agents before it answers. Its missions, their tasks, its memberships and its
    files are deleted permanently; its agents, connections and escalations are kept.
    """
    await end_work(ctx, Holder.crew, data.id)
    crew = await ctx.delete(Crew, data.id)
    await ctx.delete_where(Mission, col(Mission.crew_id) == crew.id)
    await ctx.delete_where(CrewMember, col(CrewMember.crew_id) == crew.id)
    await ctx.delete_where(ChatAttachment, col(ChatAttachment.crew_id) == crew.id, including_hidden=True)
    ctx.enqueue(CREW_GONE, crew_id=crew.id)
    ctx.audit(ENTITY, crew.id, name=crew.name, slug=crew.slug)
    ctx.emit(CrewDeleted(id=crew.id))
    return Success()
