"""Models of auxiliary tasks: which one does what, by the environment (contract: system.aux_status)."""

from enum import StrEnum
from typing import Any, Final

from resolvers.kernel import Action, Context, NoInput, Output, Tenancy, instance, procedure

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


class AuxSlots(Output):
    """The models of auxiliary tasks."""

    slots: list[AuxModel]


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
    return AuxSlots(slots=[aux_model(slot) for slot in AuxSlot])
