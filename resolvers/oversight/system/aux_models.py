"""Models of auxiliary tasks: which one does what, by the environment (contract: system.aux_status)."""

from enum import StrEnum
from typing import Annotated, Any, Final

from resolvers.kernel import Absent, Action, Context, NoInput, Output, Tenancy, instance, procedure
from resolvers.kernel.ground.policy import GATES

NO_PROVIDER: Final = "none"


class AuxSlot(StrEnum):
    """A kind of auxiliary task."""

    curator = "curator"
    keeper = "keeper"
    behavior = "behavior"
    memory_health = "memory_health"
    negative = "negative"


class AuxSource(StrEnum):
    """The source of a slot's model: its own provider, the fallback, or none."""

    explicit = "explicit"
    fallback = "fallback"
    unconfigured = "unconfigured"


class AuxModel(Output):
    """The model of a slot. Provider and model are empty, and the timeout is 0, if the slot is unconfigured."""

    slot: AuxSlot
    provider: str
    model: str
    timeout_ms: int
    source: AuxSource


class AuxSubsystem(Output):
    """A task of the server that a model does. `healthy`: a model is configured; `detail` says what is missing."""

    id: str
    label: str
    provider: str
    model: str
    timeout_ms: Annotated[int | None, Absent()] = None
    source: str
    healthy: bool
    detail: Annotated[str | None, Absent()] = None


class AuxSlots(Output):
    """The models of auxiliary tasks. `subsystems` are the same by task, for callers who are ADMIN or OWNER of a
    workspace.
    """

    slots: list[AuxModel]
    subsystems: Annotated[list[AuxSubsystem] | None, Absent()] = None


SUBSYSTEMS: Final = {
    AuxSlot.keeper: ("access_gatekeeper", "Access to credentials"),
    AuxSlot.curator: ("curator", "Reviews of skills, and consolidation of memories"),
    AuxSlot.behavior: ("behavior", "Behavior of agents"),
    AuxSlot.memory_health: ("memory_health", "Health of memories"),
    AuxSlot.negative: ("negative", "Lessons from failures"),
}
"""The id and the name of each task, by the slot of its model."""


def aux_model(slot: AuxSlot) -> AuxModel:
    """The model that serves a slot now."""
    for name, source in ((slot.value, AuxSource.explicit), ("fallback", AuxSource.fallback)):
        if _setting(name, "provider") != NO_PROVIDER:
            return AuxModel(
                slot=slot,
                provider=_setting(name, "provider"),
                model=_setting(name, "model"),
                timeout_ms=_setting(name, "timeout") or _setting(slot.value, "timeout"),
                source=source,
            )
    return AuxModel(slot=slot, provider="", model="", timeout_ms=0, source=AuxSource.unconfigured)


def _setting(slot: str, what: str) -> Any:
    return getattr(instance.settings, f"aux_{slot}_{what}")


@procedure("system.aux_status", Action.NONE, tenancy=Tenancy.NONE)
async def aux_status(ctx: Context, data: NoInput) -> AuxSlots:
    """Get the models of auxiliary tasks.

    Returns the configuration by slot (CREWSHIP_AUX_<SLOT>_PROVIDER, _MODEL and _TIMEOUT). A slot whose provider
    is `none` uses CREWSHIP_AUX_FALLBACK_PROVIDER.
    """
    slots = [aux_model(slot) for slot in AuxSlot]
    manages = not GATES[Action.MANAGE].isdisjoint(await ctx.own_roles())
    return AuxSlots(slots=slots, subsystems=_subsystems(slots) if manages else None)


def _subsystems(slots: list[AuxModel]) -> list[AuxSubsystem]:
    """The judge of access to credentials first (contract: system.aux_status)."""
    by_slot = {model.slot: model for model in slots}
    order = (AuxSlot.keeper, AuxSlot.curator, AuxSlot.behavior, AuxSlot.memory_health, AuxSlot.negative)
    return [_subsystem(by_slot[slot]) for slot in order]


def _subsystem(model: AuxModel) -> AuxSubsystem:
    id, label = SUBSYSTEMS[model.slot]
    is_set = model.source is not AuxSource.unconfigured
    return AuxSubsystem(
        id=id,
        label=label,
        provider=model.provider,
        model=model.model,
        timeout_ms=model.timeout_ms or None,
        source=model.source,
        healthy=is_set,
        detail=None if is_set else "No model is configured",
    )
