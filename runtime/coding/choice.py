"""The choice between an agent's configured coding agent and our own loop."""

from collections.abc import Mapping

from models.staff.agents import LlmProvider
from resolvers.instance.settings import Settings
from resolvers.resources.integrations.configuration import McpConfiguration
from resolvers.rules.answering import no_key, not_run_here, not_usable
from runtime.adapters import model_of, provider_of
from runtime.coding.adapter import CodingAdapter, Equipment, Model
from runtime.coding.gateway import ProviderWay
from runtime.coding.installed import KNOWN, Installed, Missing, find
from runtime.runs.job import Failed, Job
from runtime.runs.keys import CredentialKeys, ProviderKey
from runtime.sandbox import Sandbox, Workdir
from runtime.sandbox.boundary import Isolation, Network
from runtime.sandbox.namespace import Bubblewrap

VENDORS: Mapping[LlmProvider, tuple[str, str, str]] = {
    LlmProvider.ANTHROPIC: ("Anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    LlmProvider.OPENAI: ("OpenAI", "https://api.openai.com/v1", "OPENAI_API_KEY"),
    LlmProvider.GOOGLE: ("Google", "https://generativelanguage.googleapis.com", "GEMINI_API_KEY"),
    LlmProvider.OLLAMA: ("Ollama", "", "OLLAMA_BASE_URL"),
}
"""The names and addresses of the vendors, and the variable of their key."""

REFUSED = "choose another adapter for the agent, or a crew without an image."


class Unfit(Failed):
    """Why an agent does not work through its coding agent: our own loop does it, unless that is ruled out."""


def installed_for(job: Job, settings: Settings, sandbox: Sandbox) -> tuple[Installed, Bubblewrap]:
    """Raises Unfit."""
    agent = KNOWN.get(job.agent.cli_adapter)
    if agent is None:
        raise Unfit(not_run_here(job.agent.cli_adapter))
    if sandbox.isolation is Isolation.container:
        raise Unfit(f"{agent.name} does not run in containers, and the crew has an image: {REFUSED}")
    found = find(agent, settings.coding_agents)
    if isinstance(found, Missing):
        raise Unfit(not_usable(agent.name, found.why))
    if not isinstance(sandbox, Bubblewrap):
        raise Unfit(
            f"{agent.name} requires a sandbox, which this server does not have. `crewship doctor` gives the reason."
        )
    if provider_of(job.agent) not in agent.providers:
        names = ", ".join(agent.providers)
        raise Unfit(f"{agent.name} works with models of {names}, not of {provider_of(job.agent)}.")
    if job.gates:
        raise Unfit(f"{agent.name} does not ask before it uses a tool, but this agent has approval gates.")
    return found, sandbox


async def adapter_with(
    job: Job,
    found: Installed,
    sandbox: Bubblewrap,
    *,
    keys: CredentialKeys,
    workdir: Workdir,
    network: Network,
    environment: Mapping[str, str],
    mcp: McpConfiguration,
    ways: Mapping[str, ProviderWay],
) -> CodingAdapter:
    """Raises Unfit if there is no key."""
    provider = provider_of(job.agent)
    login = keys.login(provider) if found.agent.takes_login else None
    access: ProviderKey | None = login or await keys.find(job.workspace_id, provider)
    vendor, address, variable = VENDORS[provider]
    if access is None:
        raise Unfit(no_key(provider))
    model = Model(
        provider,
        vendor,
        model_of(job.agent, provider),
        access.base_url or address,
        access,
        variable,
        of_login=login is not None,
        workspace_id=job.workspace_id,
    )
    return CodingAdapter(found.agent, model, Equipment(found, sandbox, workdir, network, environment, mcp, ways))
