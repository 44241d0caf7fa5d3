"""Overrides of steps: another prompt or model than the definition has, in all later runs of a routine."""

from collections.abc import Mapping
from typing import Any, Final

from models.work.routines.document import AgentRunStep, Routine, Step

TIERS: Final[Mapping[str, str]] = {
    "trivial": "claude:claude-haiku-4-5-20251001",
    "fast": "claude:claude-haiku-4-5-20251001",
    "moderate": "claude:claude-sonnet-4-6",
    "smart": "claude:claude-opus-4-7",
}
"""The model of each complexity (contract: routines-dsl.tiers)."""


def overridden(routine: Routine, overrides: Mapping[str, Any]) -> Routine:
    """The routine as it runs: an override of a step that it does not have, or that asks no agent, has no effect."""
    if not overrides:
        return routine
    steps = [_overridden(step, overrides.get(step.id)) for step in routine.steps]
    return routine.model_copy(update={"steps": steps})


def _overridden(step: Step, override: Any) -> Step:
    if not override or not isinstance(step, AgentRunStep):
        return step
    changes = {"prompt": override["prompt"]} if override.get("prompt") else {}
    if model := override.get("model_override"):
        changes["model_override"] = TIERS.get(model, model)
    return step.model_copy(update=changes)
