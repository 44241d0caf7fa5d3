"""The models offered when a provider's own list cannot be asked (contract: models.list)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ModelProvider(StrEnum):
    """Providers that have a list of models."""

    ANTHROPIC = "ANTHROPIC"
    OPENAI = "OPENAI"
    GOOGLE = "GOOGLE"
    OLLAMA = "OLLAMA"


@dataclass(frozen=True, slots=True)
class CuratedModel:
    """`provider` is in lower case, as clients expect it beside a model."""

    id: str
    display_name: str
    provider: str


def _models(provider: ModelProvider, *models: tuple[str, str]) -> tuple[CuratedModel, ...]:
    return tuple(CuratedModel(id, name, provider.value.lower()) for id, name in models)


CURATED: Final[Mapping[ModelProvider, tuple[CuratedModel, ...]]] = MappingProxyType(
    {
        ModelProvider.ANTHROPIC: _models(
            ModelProvider.ANTHROPIC,
            ("claude-fable-5", "Claude Fable 5"),
            ("claude-opus-4-8", "Claude Opus 4.8"),
            ("claude-opus-4-7", "Claude Opus 4.7"),
            ("claude-opus-4-6", "Claude Opus 4.6"),
            ("claude-sonnet-5", "Claude Sonnet 5"),
            ("claude-sonnet-4-6", "Claude Sonnet 4.6"),
            ("claude-haiku-4-5", "Claude Haiku 4.5"),
        ),
        ModelProvider.OPENAI: _models(
            ModelProvider.OPENAI,
            ("gpt-4o", "GPT-4o"),
            ("gpt-4o-mini", "GPT-4o mini"),
            ("o3", "o3"),
            ("o3-mini", "o3-mini"),
        ),
        ModelProvider.GOOGLE: _models(
            ModelProvider.GOOGLE,
            ("gemini-2.0-flash", "Gemini 2.0 Flash"),
            ("gemini-1.5-pro", "Gemini 1.5 Pro"),
            ("gemini-1.5-flash", "Gemini 1.5 Flash"),
        ),
    }
)
"""The models in the order shown. OLLAMA is absent, because only its daemon knows its models."""

_PREFIXES = (
    ("claude", ModelProvider.ANTHROPIC),
    ("gpt", ModelProvider.OPENAI),
    ("o1", ModelProvider.OPENAI),
    ("o3", ModelProvider.OPENAI),
    ("o4", ModelProvider.OPENAI),
    ("gemini", ModelProvider.GOOGLE),
)


def provider_of(model: str) -> ModelProvider | None:
    """The provider that a model's name points to, or None (contract: agents.hire)."""
    return next((provider for prefix, provider in _PREFIXES if model.startswith(prefix)), None)
