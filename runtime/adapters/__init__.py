"""Which adapter does the work of a run."""

from collections.abc import Mapping, Sequence

from models.staff.agents import CliAdapter, LlmProvider
from resolvers.instance.settings import Settings
from resolvers.rules.model_catalog import CURATED, ModelProvider
from resolvers.rules.redaction import Redactor
from runtime.adapters import local_model
from runtime.adapters.conversation import CallableTool
from runtime.adapters.loop import AgentLoop, Backoff
from runtime.adapters.native.anthropic import Anthropic
from runtime.adapters.native.openai import OpenAI
from runtime.adapters.scripted import ScriptedAdapter
from runtime.runs.job import Adapter, Consent, Failed, Job, Worker
from runtime.runs.keys import VARIABLES, Keys
from runtime.runs.prompt import Prompt, assemble
from runtime.runs.quarantine import Scan

IMPLIED: dict[CliAdapter, LlmProvider] = {
    CliAdapter.CLAUDE_CODE: LlmProvider.ANTHROPIC,
    CliAdapter.CODEX_CLI: LlmProvider.OPENAI,
    CliAdapter.GEMINI_CLI: LlmProvider.GOOGLE,
    CliAdapter.CURSOR_CLI: LlmProvider.CURSOR,
    CliAdapter.FACTORY_DROID: LlmProvider.FACTORY,
    CliAdapter.OPENCODE: LlmProvider.OPENAI,
}
NATIVE = {
    LlmProvider.ANTHROPIC: (Anthropic, "Anthropic"),
    LlmProvider.OPENAI: (OpenAI, "OpenAI"),
    LlmProvider.OLLAMA: (OpenAI, "Ollama"),
}
PROMPT_BUDGET = {LlmProvider.ANTHROPIC: 60_000, LlmProvider.OPENAI: 60_000, LlmProvider.OLLAMA: 3_000}
"""Tokens before the first call, by `estimate`. Ollama reads 4,096 by default, and silently forgets the beginning."""


async def adapter_for(
    job: Job,
    settings: Settings,
    *,
    keys: Keys,
    tools: Mapping[str, CallableTool],
    scan: Scan,
    redactor: Redactor,
    cwd: str = "",
    backoff: Backoff | None = None,
    consent: Consent | None = None,
    servers: Sequence[Mapping[str, str]] = (),
) -> Adapter:
    """CREWSHIP_RUN_ADAPTER decides. With `auto` it is the agent's provider if there is a key for it, otherwise the
    local model if it is enabled.

    Raises Failed, with the setting to change, if no adapter can do the work.
    """
    forced = settings.run_adapter
    if forced == "scripted":
        return ScriptedAdapter()
    provider = provider_of(job.agent)
    access = None if forced == "local_model" else await keys.find(job.workspace_id, provider)
    if access is not None and provider in NATIVE:
        made, name = NATIVE[provider]
        model_name, variable = model_of(job.agent, provider), VARIABLES[provider]
        model = made(name, model_name, access, variable, workspace_id=job.workspace_id)
        return AgentLoop(
            "native",
            model,
            lambda job: _prompt(job, provider),
            tools=tools,
            scan=scan,
            redactor=redactor,
            cwd=cwd,
            backoff=backoff,
            consent=consent,
            servers=servers,
        )
    if forced == "local_model" or (forced == "auto" and settings.local_model and local_model.installed()):
        if not local_model.installed():
            raise Failed(f"The local model is not installed: {local_model.INSTALL}")
        return AgentLoop(
            "local_model",
            local_model.LocalModel(),
            local_model.local_prompt,
            tools={},
            scan=scan,
            redactor=redactor,
            cwd=cwd,
            backoff=backoff,
        )
    raise Failed(_missing(provider))


def provider_of(agent: Worker) -> LlmProvider:
    return agent.llm_provider or IMPLIED[agent.cli_adapter]


def model_of(agent: Worker, provider: LlmProvider) -> str:
    """The agent's model, or the first that is listed for its provider. Raises Failed where none is listed."""
    if agent.llm_model:
        return agent.llm_model
    curated = CURATED.get(ModelProvider(provider)) if provider in ModelProvider.__members__ else None
    if not curated:
        raise Failed(f"The agent has no model. Choose a model of {provider}; this server has no list of them.")
    return curated[0].id


def _prompt(job: Job, provider: LlmProvider) -> Prompt:
    """Every call reads the prompt again, so it takes at most a quarter of what the run may use."""
    budget = PROMPT_BUDGET[provider]
    return assemble(job, budget if job.max_tokens is None else min(budget, job.max_tokens // 4))


def _missing(provider: LlmProvider) -> str:
    variable = VARIABLES.get(provider)
    if variable is None:
        return f"Agents with the provider {provider} cannot run here. Choose another one: {', '.join(VARIABLES)}."
    other = " (or OPENAI_BASE_URL, for another server with the same API)" if provider is LlmProvider.OPENAI else ""
    return f"No key for {provider} is configured. Set {variable}{other}, or choose another provider for the agent."
