"""Curated models and the providers behind names."""

import pytest
from hypothesis import given

from resolvers.rules.model_catalog import CURATED, ModelProvider, provider_of
from tests.every import each_of
from tests.rules.texts import anything


def test_curated() -> None:
    assert {provider.value: [model.id for model in models] for provider, models in CURATED.items()} == {
        "ANTHROPIC": [
            "claude-fable-5",
            "claude-opus-4-8",
            "claude-opus-4-7",
            "claude-opus-4-6",
            "claude-sonnet-5",
            "claude-sonnet-4-6",
            "claude-haiku-4-5",
        ],
        "OPENAI": ["gpt-4o", "gpt-4o-mini", "o3", "o3-mini"],
        "GOOGLE": ["gemini-2.0-flash", "gemini-1.5-pro", "gemini-1.5-flash"],
    }


@pytest.mark.parametrize("provider", CURATED)
def test_a_display_name_says_what_the_id_says(provider: ModelProvider) -> None:
    for model in CURATED[provider]:
        assert model.provider == provider.lower()
        assert provider_of(model.id) is provider
        assert model.display_name.lower().translate({ord(" "): "-", ord("."): "-"}) == model.id.replace(".", "-")


@given(anything)
def test_total(text: str) -> None:
    assert provider_of(text) in {None, *ModelProvider}


@each_of(
    ("model", "provider"),
    [
        ("claude-x", "ANTHROPIC"),
        ("gpt-9", "OPENAI"),
        ("o1", "OPENAI"),
        ("o4-mini", "OPENAI"),
        ("gemini", "GOOGLE"),
        ("llama3", None),
        ("o2", None),
        ("", None),
    ],
)
def test_provider_of_a_model(model: str, provider: str | None) -> None:
    assert provider_of(model) == provider
