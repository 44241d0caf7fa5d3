"""Capabilities of members beyond their role: how they are shown and changed (contract: capability_rules)."""

from collections.abc import Iterable, Sequence
from typing import Final

from models.people.workspaces import Capability
from resolvers.kernel import invalid
from resolvers.kernel.ground.policy import CHAT_ONLY, PRESETS, Capabilities, CapabilityPreset, known_capabilities
from resolvers.rules.config_text import shown

_NAMES: Final = frozenset(capability.value for capability in Capability)


def listed(capabilities: Iterable[Capability]) -> list[str]:
    """As stored and as shown: sorted by name."""
    return sorted(capability.value for capability in capabilities)


def _parse(names: Sequence[str], field: str) -> Capabilities:
    for name in names:
        if name not in _NAMES:
            raise invalid(field, f"{shown(name)} is not a capability")
    return known_capabilities(names)


def changed(
    current: Capabilities,
    *,
    replace: Sequence[str] | None = None,
    grant: Sequence[str] | None = None,
    revoke: Sequence[str] | None = None,
    preset: str | None = None,
) -> Capabilities:
    """The set after a change of exactly one kind, `replace` being the body's `set`; empty values count as not given.
    Chat always stays.
    """
    given = [
        name for name, value in (("set", replace), ("grant", grant), ("revoke", revoke), ("preset", preset)) if value
    ]
    if len(given) != 1:
        raise invalid("capabilities", "send exactly one of set, grant, revoke and preset, not empty")
    if preset:
        try:
            return PRESETS[CapabilityPreset(preset)]
        except ValueError:
            raise invalid("preset", f"{shown(preset)} is not one of {', '.join(CapabilityPreset)}") from None
    if replace:
        return CHAT_ONLY | _parse(replace, "set")
    if grant:
        return CHAT_ONLY | current | _parse(grant, "grant")
    gone = _parse(revoke or (), "revoke")
    if Capability.chat in gone:
        raise invalid("revoke", "chat cannot be revoked")
    return CHAT_ONLY | (current - gone)
