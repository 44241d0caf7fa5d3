"""The first run of a user: whether it was done, and what it sets up."""

import re
import secrets
from typing import Annotated, Final, NamedTuple, TypeVar

from pydantic import BeforeValidator, Field
from sqlalchemy import select
from sqlmodel import col

from models import bounds
from models.actors import ActorType
from models.base import table_of
from models.kernel import INSTALL_ID, TELEMETRY, InstanceFact
from models.people.auth import User
from models.people.workspaces import Workspace
from models.resources.credentials import AgentCredential, Credential, CredentialType
from models.staff.agents import Agent, CliAdapter, LlmProvider
from models.staff.crews import CrewMember
from resolvers.kernel import (
    Absent,
    Action,
    Bool,
    Code,
    Context,
    Domain,
    Input,
    Name,
    NoInput,
    Output,
    Refusal,
    Tenancy,
    Text,
    command,
    forbidden,
    invalid,
)
from resolvers.kernel.ground.policy import GATES, lowest
from resolvers.people.workspaces.workspaces import enter_oldest, workspaces_of
from resolvers.resources.credentials.vault import sealed
from resolvers.staff.agents.agents import (
    SLUG_TAKEN,
    CreateAgent,
    add_agent,
    default_if_empty,
    none_if_empty,
    room_for_an_agent,
)
from resolvers.staff.crew_templates.catalog import CrewTemplate, catalog
from resolvers.staff.crew_templates.deployment import give_keys, make_crew, room_for_agents, slugs_of
from resolvers.staff.crews.crews import CreateCrew, add_crew, require_free_slug, room_for_a_crew

DOMAIN = Domain("onboarding", scopes=None)

C = TypeVar("C", CliAdapter, LlmProvider)
NO_USER = "User not found"
NO_WORKSPACE = "You are not a member of a workspace"
DONE = "Onboarding is already completed"
CREDENTIAL_TAKEN = "A credential with this name already exists"
# The web UI shows these two texts as they are.
API_KEY_GIVEN = (
    "This is an API key of Anthropic (sk-ant-api…), and a token of Claude Code is needed:"
    " run `claude setup-token` on your machine, and paste the value that starts with sk-ant-oat"
)
NO_TOKEN = (
    "This is not a token of Claude Code, which starts with sk-ant-oat:"
    " run `claude setup-token` on your machine, and paste the value that it prints"
)
TOKEN, API_KEY = "sk-ant-oat", "sk-ant-api"
SHORTEST_SLUG: Final = 2
ENV_VARS: Final = {
    LlmProvider.ANTHROPIC: "ANTHROPIC_API_KEY",
    LlmProvider.OPENAI: "OPENAI_API_KEY",
    LlmProvider.GOOGLE: "GOOGLE_API_KEY",
    LlmProvider.CURSOR: "CURSOR_API_KEY",
    LlmProvider.FACTORY: "FACTORY_API_KEY",
    LlmProvider.OLLAMA: "",  # it takes no key
}
"""The variables in which an agent's program looks for a provider's key."""

OptionalName = Annotated[Name | None, BeforeValidator(none_if_empty)]
CredentialName = Annotated[str, Field(strict=True, max_length=bounds.CREDENTIAL), default_if_empty("API Key")]
SecretText = Annotated[str, Field(strict=True, max_length=bounds.PROMPT, repr=False)]


class OnboardingStatus(Output):
    """The state of the caller's onboarding. It is completed if the user has set up a crew, has skipped the setup, or
    has a workspace with agents.
    """

    completed: bool


class OnboardingCompleted(Output):
    """The onboarding is completed."""

    status: str = "completed"


class SetUpOnboarding(Input):
    """The first crew, agents and credential.

    With `crew_template_slug` the crew and its agents come from the template, and so does the crew's name if none
    is sent. Without, `crew_name` and `agent_name` are required. `llm_provider` is one of ANTHROPIC, OPENAI, GOOGLE,
    CURSOR, FACTORY and OLLAMA in any letter case. Without `credential_value` no credential is stored; for ANTHROPIC
    it is a token of `claude setup-token`. `preferred_language` is the name of a language. Without
    `telemetry_opt_in` telemetry is unchanged. `pairing_mode` has no effect.
    """

    workspace_name: OptionalName = None
    crew_name: OptionalName = None
    agent_name: OptionalName = None
    cli_adapter: Annotated[Text, default_if_empty(CliAdapter.CLAUDE_CODE.value)] = CliAdapter.CLAUDE_CODE.value
    llm_provider: Annotated[Text, default_if_empty(LlmProvider.ANTHROPIC.value)] = LlmProvider.ANTHROPIC.value
    llm_model: Annotated[Text | None, BeforeValidator(none_if_empty)] = None
    credential_name: CredentialName = "API Key"
    credential_value: SecretText = ""
    crew_template_slug: Text = ""
    pairing_mode: Bool = False
    preferred_language: Text = ""
    telemetry_opt_in: Bool | None = None


class SetUp(Output):
    """The result of the setup. `credential_id` is empty if no credential was sent. With a template it is null or
    absent, `agent_id` is the LEAD of the crew, and `agent_ids` are all agents.
    """

    workspace_id: str
    crew_id: str
    agent_id: str
    credential_id: Annotated[str | None, Absent()] = None
    agent_ids: Annotated[list[str] | None, Absent()] = None
    agent_count: Annotated[int | None, Absent()] = None


class Blank(NamedTuple):
    """A crew of one agent."""

    crew: CreateCrew
    agent: CreateAgent


class OfTemplate(NamedTuple):
    template: CrewTemplate
    name: str
    slug: str


class SetUpPlan(NamedTuple):
    """The rows to create: after this point nothing refuses them except a concurrent change."""

    crew: Blank | OfTemplate
    provider: LlmProvider
    secret: str


@command("onboarding.status", Action.SELF, tenancy=Tenancy.NONE, errors=(Code.NOT_FOUND,))
async def refresh_status(ctx: Context, data: NoInput) -> OnboardingStatus:
    """Refresh the onboarding status.

    Returns whether the caller's onboarding is completed. It is completed permanently once a workspace of the
    caller has an agent.
    """
    user = await ctx.get(User, ctx.user_id, missing=NO_USER)
    if not user.onboarding_completed:
        if not await _has_agents(ctx):
            return OnboardingStatus(completed=False)
        await ctx.update(User, user.id, onboarding_completed=True)
    return OnboardingStatus(completed=True)


async def _has_agents(ctx: Context) -> bool:
    agents, workspaces = table_of(Agent), table_of(Workspace)
    found = select(agents.c.id).where(agents.c.workspace_id == workspaces.c.id, agents.c.deleted_at.is_(None))
    own = col(Workspace.id).in_(workspaces_of(ctx.user_id))
    return await ctx.select(Workspace, own, found.correlate(workspaces).exists()).exists()


@command(
    "onboarding.complete",
    Action.SELF,
    audit="user.onboarding_completed",
    tenancy=Tenancy.NONE,
    errors=(Code.NOT_FOUND,),
)
async def complete(ctx: Context, data: NoInput) -> OnboardingCompleted:
    """Mark the onboarding as completed.

    Skips the setup: nothing is created, and the setup cannot be repeated. Idempotent.
    """
    user = await ctx.get(User, ctx.user_id, missing=NO_USER)
    if not user.onboarding_completed:
        await ctx.update(User, user.id, onboarding_completed=True)
    return OnboardingCompleted()


@command(
    "onboarding.setup",
    Action.SELF,
    audit="workspace.set_up",
    tenancy=Tenancy.NONE,
    errors=(Code.PAYMENT_REQUIRED, Code.FORBIDDEN, Code.CONFLICT),
    writes_on_refusal=True,
    again="crews_workspace_id_slug_key",
)
async def set_up(ctx: Context, data: SetUpOnboarding) -> SetUp:
    """Set up the first crew and agent.

    Creates a crew with the caller as a member, an agent in it, and the agent's credential; or a crew from a
    template, whose agents are assigned the workspace's Anthropic credentials. One transaction, in the workspace
    that the caller joined first, which requires the create role. Completes the onboarding; works once.

    The preferred language and the choice about telemetry are stored even if the rest is refused.
    """
    workspace = await enter_oldest(ctx)
    if workspace is None:
        raise Refusal(Code.BAD_REQUEST, NO_WORKSPACE)
    if not ctx.may(Action.CREATE):
        done = (await ctx.get(User, ctx.user_id, missing=NO_USER)).onboarding_completed
        raise Refusal(Code.CONFLICT, DONE) if done else forbidden(role=lowest(GATES[Action.CREATE]))
    await _store_preferences(ctx, workspace, data)
    try:
        plan = await _planned(ctx, data)
    except Refusal as refusal:
        refusal.commit = True  # nothing but the preferences was written
        raise
    return await _carry_out(ctx, workspace, data, plan)


async def _store_preferences(ctx: Context, workspace: Workspace, data: SetUpOnboarding) -> None:
    language = data.preferred_language.strip()
    if language:
        await ctx.update(Workspace, workspace.id, preferred_language=language)
    if data.telemetry_opt_in is None:
        return
    await ctx.lock(TELEMETRY)
    await ctx.upsert(InstanceFact(name=TELEMETRY, value="on" if data.telemetry_opt_in else "off"), "name")
    if data.telemetry_opt_in and not await ctx.select(InstanceFact, col(InstanceFact.name) == INSTALL_ID).exists():
        await ctx.insert(InstanceFact(name=INSTALL_ID, value=secrets.token_hex(16)))


async def _planned(ctx: Context, data: SetUpOnboarding) -> SetUpPlan:
    """All that may be refused, in the order of the contract. The user is locked: of two calls at once, one finds the
    onboarding completed.
    """
    secret = data.credential_value.strip()
    _check_token(data.llm_provider, secret)
    crew = _of_template(data) if data.crew_template_slug.strip() else _blank(data)
    provider = LlmProvider.ANTHROPIC
    if secret or isinstance(crew, Blank):
        provider = _choice(LlmProvider, "llm_provider", data.llm_provider.upper())
    if (await ctx.get(User, ctx.user_id, lock=True, missing=NO_USER)).onboarding_completed:
        raise Refusal(Code.CONFLICT, DONE)
    await _check_room(ctx, crew)
    named = col(Credential.name) == data.credential_name
    if secret and await ctx.select(Credential, named, including_hidden=True).exists():
        raise Refusal(Code.CONFLICT, CREDENTIAL_TAKEN, taken=("credential_name",))
    return SetUpPlan(crew, provider, secret)


def _of_template(data: SetUpOnboarding) -> OfTemplate:
    template = catalog().get(data.crew_template_slug.strip())
    if template is None:
        raise invalid("crew_template_slug", "there is no such crew template")
    name = data.crew_name or template.name
    return OfTemplate(template, name, slug_of(name))


def _blank(data: SetUpOnboarding) -> Blank:
    for field, name in (("crew_name", data.crew_name), ("agent_name", data.agent_name)):
        if name is None:
            raise invalid(field, "is required")
    adapter = _choice(CliAdapter, "cli_adapter", data.cli_adapter)
    crew_name, agent_name = data.crew_name or "", data.agent_name or ""
    agent = CreateAgent(
        name=agent_name,
        slug=slug_of(agent_name),
        cli_adapter=adapter,
        llm_provider=_choice(LlmProvider, "llm_provider", data.llm_provider.upper()),
        llm_model=data.llm_model,
    )
    return Blank(CreateCrew(name=crew_name, slug=slug_of(crew_name)), agent)


async def _check_room(ctx: Context, made: Blank | OfTemplate) -> None:
    """Limits of the license, and names that are taken."""
    await room_for_a_crew(ctx)
    if isinstance(made, Blank):
        slug, agents = made.crew.slug, [made.agent.slug]
    else:
        room_for_agents(made.template)
        slug, agents = made.slug, slugs_of(made.template, made.slug)
    await require_free_slug(ctx, slug)
    if await ctx.select(Agent, col(Agent.slug).in_(agents), including_hidden=True).exists():
        raise Refusal(Code.CONFLICT, SLUG_TAKEN)


def _check_token(provider: str, secret: str) -> None:
    if secret and provider.upper() == LlmProvider.ANTHROPIC and not secret.startswith(TOKEN):
        raise Refusal(Code.BAD_REQUEST, API_KEY_GIVEN if secret.startswith(API_KEY) else NO_TOKEN)


def _choice(choices: type[C], field: str, given: str) -> C:
    try:
        return choices(given)
    except ValueError:
        raise invalid(field, f"must be one of {', '.join(choices)}") from None


async def _carry_out(ctx: Context, workspace: Workspace, data: SetUpOnboarding, plan: SetUpPlan) -> SetUp:
    if data.workspace_name is not None:
        await ctx.update(Workspace, workspace.id, name=data.workspace_name)
    await ctx.update(User, ctx.user_id, onboarding_completed=True)
    credential_id = await _store_credential(ctx, data.credential_name, plan) if plan.secret else ""
    if isinstance(plan.crew, OfTemplate):
        crew, agents = await make_crew(ctx, *plan.crew)
        await give_keys(ctx, agents, ENV_VARS[LlmProvider.ANTHROPIC])
        ids = [agent.id for agent in agents]
        ctx.audit("WORKSPACE", workspace.id, crew_id=crew.id, agent_ids=ids, credential_id=credential_id or None)
        return SetUp(workspace_id=workspace.id, crew_id=crew.id, agent_id=ids[0], agent_ids=ids, agent_count=len(ids))
    crew = await add_crew(ctx, plan.crew.crew)
    await ctx.insert(CrewMember(crew_id=crew.id, user_id=ctx.user_id))
    await room_for_an_agent(ctx, crew.id)
    agent = await add_agent(ctx, plan.crew.agent.model_copy(update={"crew_id": crew.id}))
    if credential_id:
        variable = ENV_VARS[plan.provider]
        await ctx.insert(AgentCredential(agent_id=agent.id, credential_id=credential_id, env_var_name=variable))
    ctx.audit("WORKSPACE", workspace.id, crew_id=crew.id, agent_id=agent.id, credential_id=credential_id or None)
    return SetUp(workspace_id=workspace.id, crew_id=crew.id, agent_id=agent.id, credential_id=credential_id)


async def _store_credential(ctx: Context, name: str, plan: SetUpPlan) -> str:
    credential = Credential(
        name=name,
        type=CredentialType.AI_CLI_TOKEN,
        provider=plan.provider.value,
        created_by_actor_type=ActorType.user,
    )
    credential.value = await sealed(ctx, credential.id, "value", plan.secret)
    await ctx.insert(credential, conflict=CREDENTIAL_TAKEN)
    return credential.id


def slug_of(name: str) -> str:
    """Lower case, runs of anything but ASCII letters and digits as one hyphen; `default` where too little is left
    (contract: onboarding.setup).
    """
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[: bounds.SLUG].rstrip("-")
    return slug if len(slug) >= SHORTEST_SLUG else "default"
