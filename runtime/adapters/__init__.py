"""Which adapter does the work of a run."""

from collections.abc import Mapping, Sequence

from models.staff.agents import LlmProvider
from resolvers.instance.settings import Settings
from resolvers.rules.answering import IMPLIED, VARIABLES, Lack, Way, model_for, way_for
from resolvers.rules.redaction import Redactor
from runtime.adapters import local_model
from runtime.adapters.conversation import CallableTool
from runtime.adapters.loop import AgentLoop, Backoff
from runtime.adapters.native.anthropic import Anthropic
from runtime.adapters.native.openai import OpenAI
from runtime.adapters.scripted import ScriptedAdapter
from runtime.runs.job import Adapter, Consent, Failed, Job, ToolHooks, Worker
from runtime.runs.keys import Keys
from runtime.runs.prompt import Prompt, assemble
from runtime.runs.quarantine import Scan

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
    hooks: ToolHooks | None = None,
    servers: Sequence[Mapping[str, str]] = (),
) -> Adapter:
    """CREWSHIP_RUN_ADAPTER decides. With `auto` it is the agent's provider if there is a key for it, otherwise the
    local model if it is enabled.

    Raises Failed, with the setting to change, if no adapter can do the work.
    """
    provider = provider_of(job.agent)
    asks = settings.run_adapter not in ("scripted", "local_model")
    access = await keys.find(job.workspace_id, provider) if asks else None
    way = way_for(settings, provider, key=access is not None, local=local_model.installed)
    if isinstance(way, Lack):
        raise Failed(way.text)
    if way is Way.scripted:
        return ScriptedAdapter()
    if way is Way.native:
        assert access is not None, "the way needs a key"
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
            hooks=hooks,
            servers=servers,
        )
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


def provider_of(agent: Worker) -> LlmProvider:
    return agent.llm_provider or IMPLIED[agent.cli_adapter]


def model_of(agent: Worker, provider: LlmProvider) -> str:
    """The agent's model, or the first that is listed for its provider. Raises Failed where none is listed."""
    model = model_for(provider, agent.llm_model)
    if isinstance(model, Lack):
        raise Failed(model.text)
    return model


def _prompt(job: Job, provider: LlmProvider) -> Prompt:
    """Every call reads the prompt again, so it takes at most a quarter of what the run may use."""
    budget = PROMPT_BUDGET[provider]
    return assemble(job, budget if job.max_tokens is None else min(budget, job.max_tokens // 4))
