"""The deployment of a template: a crew, its agents, and their keys."""

import re
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.oversight.journal import JournalEntry, Severity
from models.resources.credentials import AgentCredential, Credential, CredentialScope, CredentialStatus, CredentialType
from models.staff.agents import Agent, AgentRole, LeadMode, LlmProvider
from models.staff.crews import Crew
from resolvers.instance.license import Limit
from resolvers.kernel import (
    TRIMMED,
    Action,
    Code,
    Context,
    Input,
    NoInput,
    Output,
    Refusal,
    Text,
    command,
    instance,
    procedure,
)
from resolvers.kernel.store.changes import Clash
from resolvers.staff.agents.agents import TAKEN
from resolvers.staff.agents.webhook_secret import sealed
from resolvers.staff.crew_templates.catalog import CrewTemplate, catalog
from resolvers.staff.crews.crews import SLUG_TAKEN, release_slug, require_free_slug, room_for_a_crew

NOT_FOUND = "Crew template not found"
NO_SLUG = "The crew's slug would be empty: its name must have a letter from a to z or a digit"
NO_KEY = "The workspace has no Anthropic credential to assign to the agent: create one"
KEYS: Final = (CredentialType.API_KEY, CredentialType.AI_CLI_TOKEN)
CrewName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LINE), TRIMMED]


class BySlug(Input):
    slug: Text


class DeployCrewTemplate(BySlug):
    """Without a slug, it is derived from the name."""

    crew_name: CrewName
    crew_slug: Text = ""


class DeployedCrew(Output):
    """The created crew, and its agents."""

    crew_id: str
    crew_name: str
    crew_slug: str
    agent_count: int
    agent_ids: list[str]


class Made(NamedTuple):
    crew: Crew
    agents: Sequence[Agent]


@procedure("crew_templates.list", Action.READ)
async def list_crew_templates(ctx: Context, data: NoInput) -> list[CrewTemplate]:
    """List crew templates.

    Sorted by category; ties by name.
    """
    return list(catalog().values())


@procedure("crew_templates.get", Action.READ, errors=(Code.NOT_FOUND,))
async def get_crew_template(ctx: Context, data: BySlug) -> CrewTemplate:
    """Get a crew template."""
    return template_of(data.slug)


@command(
    "crew_templates.deploy",
    Action.CREATE,
    audit="crew.deployed",
    errors=(Code.PAYMENT_REQUIRED, Code.NOT_FOUND, Code.CONFLICT),
    allow=room_for_a_crew,
    scopes=("crews:write", "agents:write"),
)
async def deploy_crew_template(ctx: Context, data: DeployCrewTemplate) -> DeployedCrew:
    """Create a crew from a template.

    Creates the crew and its agents in one transaction. An agent's slug is its slug in the template, a hyphen,
    and the crew's slug.

    Each agent is assigned the active Anthropic credentials of the workspace, under their names.
    """
    template = template_of(data.slug)
    slug = slug_of(data.crew_slug or data.crew_name)
    if not slug:
        raise Refusal(Code.CONFLICT, NO_SLUG)
    room_for_agents(template)
    crew, agents = await make_crew(ctx, template, data.crew_name, slug)
    await give_keys(ctx, agents)
    ctx.audit("CREW", crew.id, name=crew.name, slug=crew.slug, template=template.slug, agents=[a.slug for a in agents])
    ids = [agent.id for agent in agents]
    return DeployedCrew(crew_id=crew.id, crew_name=crew.name, crew_slug=crew.slug, agent_count=len(ids), agent_ids=ids)


def template_of(slug: str) -> CrewTemplate:
    template = catalog().get(slug)
    if template is None:
        raise Refusal(Code.NOT_FOUND, NOT_FOUND)
    return template


def slug_of(text: str) -> str:
    """Spaces as hyphens, and nothing but ASCII letters, digits and hyphens (contract: crew_templates.deploy)."""
    kept = re.sub(r"[^a-z0-9-]", "", text.strip().lower().replace(" ", "-"))
    return re.sub(r"-+", "-", kept).strip("-")


def room_for_agents(template: CrewTemplate) -> None:
    """Applies the agent limit of the license to the crew, if one is enforced: no other agent can be in it yet."""
    instance.license.check(Limit.agents, len(template.agents) - 1)


def slugs_of(template: CrewTemplate, crew_slug: str) -> list[str]:
    """The slugs of the crew's agents."""
    return [f"{agent.slug}-{crew_slug}" for agent in template.agents]


async def make_crew(ctx: Context, template: CrewTemplate, name: str, slug: str) -> Made:
    """The rows of a new crew and its agents."""
    await require_free_slug(ctx, slug, "crew_slug")
    await release_slug(ctx, slug)
    crew = Crew(name=name, slug=slug, icon=template.icon, color=template.color, created_by=ctx.user_id or None)
    await ctx.insert(crew, conflict=Clash(SLUG_TAKEN, "crew_slug"))
    agents = [
        Agent(
            **one.model_dump(exclude={"slug"}),
            slug=agent_slug,
            crew_id=crew.id,
            lead_mode=LeadMode.active if one.agent_role is AgentRole.LEAD else None,
            memory_enabled=True,
            created_by_user_id=ctx.user_id or None,
        )
        for one, agent_slug in zip(template.agents, slugs_of(template, slug), strict=True)
    ]
    for agent in agents:
        agent.webhook_secret = await sealed(ctx, agent.id)
    await ctx.insert_all(agents, conflict=TAKEN)
    return Made(crew, agents)


async def give_keys(ctx: Context, agents: Sequence[Agent], env_var_name: str | None = None) -> None:
    """Assigns Anthropic keys to new agents, the oldest credential first: under a variable, as a pool, or each under its
    own name. Keys for certain crews stay with these crews.
    """
    found = ctx.select(
        Credential,
        col(Credential.provider) == LlmProvider.ANTHROPIC.value,
        col(Credential.type).in_(KEYS),
        col(Credential.status) == CredentialStatus.ACTIVE,
        col(Credential.scope) == CredentialScope.WORKSPACE.value,
        including_hidden=True,
    )
    known = await found.order_by(col(Credential.created_at), col(Credential.id)).limit(bounds.ENTRIES).all()
    if not known:
        ctx.record(*[_without_key(ctx, agent) for agent in agents])
    await ctx.insert_all(
        [
            AgentCredential(
                agent_id=agent.id,
                credential_id=credential.id,
                env_var_name=env_var_name or credential.name,
                priority=priority,
            )
            for agent in agents
            for priority, credential in enumerate(known)
        ]
    )


def _without_key(ctx: Context, agent: Agent) -> JournalEntry:
    return JournalEntry(
        entry_type="credential.auto_assign_empty",
        severity=Severity.warn,
        agent_id=agent.id,
        summary=NO_KEY,
        payload={"workspace_id": ctx.workspace_id, "agent_id": agent.id},
    )
