"""Models of auxiliary tasks, as the environment says."""

from typing import Any

import pytest

from resolvers.instance.running import instance
from resolvers.instance.settings import SettingsError, load_settings
from resolvers.oversight.system.aux_models import AuxSlot, aux_model
from tests.world import World

pytestmark = pytest.mark.anyio
TIMEOUTS = {"curator": 30000, "keeper": 5000, "behavior": 8000, "memory_health": 15000, "negative": 5000}
OWN = {"provider": "anthropic", "model": "claude-haiku-4-5"}


async def test_by_default_every_slot_has_its_own(world: World) -> None:
    answer = await world.rest(world.viewer, "GET", "/api/v1/system/aux-status", workspace=None)
    slots = [{"slot": slot, **OWN, "timeout_ms": ms, "source": "explicit"} for slot, ms in TIMEOUTS.items()]
    assert (answer.status_code, answer.json()) == (200, {"slots": slots})
    told = await world.graphql(world.viewer, "{ auxStatus { slots { slot provider model timeoutMs source } } }")
    assert [slot["timeoutMs"] for slot in told["data"]["auxStatus"]["slots"]] == list(TIMEOUTS.values())
    assert {slot["source"] for slot in told["data"]["auxStatus"]["slots"]} == {"explicit"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"KEEPER_MODEL": "small"}, ("anthropic", "small", 5000, "explicit")),
        ({"KEEPER_PROVIDER": "openai", "KEEPER_TIMEOUT": "1m30s"}, ("openai", "claude-haiku-4-5", 90000, "explicit")),
        ({"KEEPER_TIMEOUT": "1500ms"}, ("anthropic", "claude-haiku-4-5", 1500, "explicit")),
        ({"KEEPER_TIMEOUT": "250"}, ("anthropic", "claude-haiku-4-5", 250, "explicit")),
        ({"KEEPER_PROVIDER": "none"}, ("", "", 0, "unconfigured")),
        ({"KEEPER_PROVIDER": "none", "FALLBACK_MODEL": "x"}, ("", "", 0, "unconfigured")),
        (
            {"KEEPER_PROVIDER": "none", "FALLBACK_PROVIDER": "ollama", "FALLBACK_MODEL": "qwen"},
            ("ollama", "qwen", 5000, "fallback"),
        ),
        (
            {"KEEPER_PROVIDER": "none", "FALLBACK_PROVIDER": "ollama", "FALLBACK_TIMEOUT": "2s"},
            ("ollama", "", 2000, "fallback"),
        ),
    ],
)
def test_the_environment_chooses(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[Any, ...]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"CREWSHIP_AUX_{name}", value)
    monkeypatch.setattr(instance, "_settings", load_settings())
    model = aux_model(AuxSlot.keeper)
    assert (model.provider, model.model, model.timeout_ms, model.source) == expected
    assert aux_model(AuxSlot.curator).source == "explicit"


@pytest.mark.parametrize("value", ["soon", "0", "-1s", "5 minutes", "9" * 20, "999999999m"])
def test_a_timeout_is_a_duration(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CREWSHIP_AUX_KEEPER_TIMEOUT", value)
    with pytest.raises(SettingsError, match=r"CREWSHIP_AUX_KEEPER_TIMEOUT is .* takes a duration"):
        load_settings()


async def test_administrators_see_the_models_by_task(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "_settings", world.settings.model_copy(update={"aux_negative_provider": "none"}))
    path = "/api/v1/system/aux-status"
    for person in (world.manager, world.viewer):
        assert "subsystems" not in (await world.rest(person, "GET", path, workspace=None)).json()
    found = (await world.rest(world.admin, "GET", path, workspace=None)).json()["subsystems"]
    ids = ["access_gatekeeper", "curator", "behavior", "memory_health", "negative"]
    assert [subsystem["id"] for subsystem in found] == ids
    assert found[0] == {
        "id": "access_gatekeeper", "label": "Access to credentials", **OWN, "timeout_ms": 5000, "source": "explicit",
        "healthy": True,
    }  # fmt: skip
    assert (found[-1]["healthy"], found[-1]["source"], "detail" in found[-1]) == (False, "unconfigured", True)
