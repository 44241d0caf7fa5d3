"""Credentials of a crew whose program its container does not have."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy import or_, select
from sqlmodel import col

from models.resources.credential_bindings import BindingScope, CredentialBinding
from models.resources.credentials import (
    AgentCredential,
    Credential,
    CredentialCrew,
    CredentialScope,
    CredentialStatus,
)
from models.staff.agents import Agent
from models.staff.crews import Crew
from resolvers.kernel import Action, Code, Context, Output, constant, procedure
from resolvers.rules import inventory
from resolvers.staff.crews.members import ByCrew
from resolvers.staff.crews.parts import feature_ref

MOST: Final = 1_000


class NeededTool(NamedTuple):
    """The program that uses the credentials of a provider, and the feature that installs it."""

    feature: str
    tool: str


NEEDED: Final[Mapping[str, NeededTool]] = {
    "GITHUB": NeededTool("github-cli", "gh"),
    "AWS": NeededTool("aws-cli", "aws"),
    "AZURE": NeededTool("azure-cli", "az"),
    "GCP": NeededTool("google-cloud-cli", "gcloud"),
    "KUBERNETES": NeededTool("kubectl-helm-minikube", "kubectl"),
    "DOCKER": NeededTool("docker-in-docker", "docker"),
    "TERRAFORM": NeededTool("terraform", "terraform"),
    "ANSIBLE": NeededTool("ansible", "ansible"),
    "NPM": NeededTool("node", "node"),
}


class CredentialGap(Output):
    """A credential whose program is missing. `feature` is the reference of a devcontainer feature that installs it."""

    credential_id: str
    credential_name: str
    provider: str
    tool: str
    feature: str
    feature_id: str


class CredentialReadiness(Output):
    """The tools of a crew's container, the number of credentials that need one, and the gaps."""

    crew_id: str
    crew_slug: str
    tools: list[str]
    checked: int
    gaps: list[CredentialGap]


@procedure("crews.credential_readiness", Action.READ, errors=(Code.NOT_FOUND,))
async def get_credential_readiness(ctx: Context, data: ByCrew) -> CredentialReadiness:
    """Get the credentials whose tool a crew lacks.

    Checks up to 1,000 credentials by name that the crew can use and the caller can see: of the workspace, of the crew,
    of its agents, or bound to one of their slots. Tools come from devcontainer features and mise; what the image itself
    has is unknown. Changes nothing.
    """
    crew = await ctx.get(Crew, data.crew_id)
    link, given, agent = ctx.table(CredentialCrew).c, ctx.table(AgentCredential).c, ctx.table(Agent).c
    own, binding = col(Credential.id), ctx.table(CredentialBinding).c
    of_crew = select(link.id).where(link.credential_id == own, link.crew_id == crew.id).exists()
    held = (given.credential_id == own, given.agent_id == agent.id, agent.crew_id == crew.id)
    crews = or_(binding.crew_id == crew.id, binding.agent_id.in_(select(agent.id).where(agent.crew_id == crew.id)))
    bound = (binding.credential_id == own, or_(binding.scope == constant(BindingScope.WORKSPACE), crews))
    found = (
        await ctx.select(
            Credential,
            col(Credential.provider).in_(list(NEEDED)),
            col(Credential.status) != constant(CredentialStatus.REVOKED),
            or_(
                col(Credential.scope) == constant(CredentialScope.WORKSPACE.value),
                of_crew,
                select(given.id).where(*held).exists(),
                select(binding.id).where(*bound).exists(),
            ),
        )
        .order_by(col(Credential.name), own)
        .limit(MOST)
        .all()
    )
    container = inventory.container(crew.devcontainer_config, crew.mise_config, None)
    tools = [tool["name"] for tool in container["tools"]]
    return CredentialReadiness(
        crew_id=crew.id,
        crew_slug=crew.slug,
        tools=tools,
        checked=len(found),
        gaps=[_gap(each) for each in found if NEEDED[each.provider].tool not in tools],
    )


def _gap(credential: Credential) -> CredentialGap:
    feature, tool = NEEDED[credential.provider]
    return CredentialGap(
        credential_id=credential.id,
        credential_name=credential.name,
        provider=credential.provider,
        tool=tool,
        feature=feature_ref(feature),
        feature_id=feature,
    )
