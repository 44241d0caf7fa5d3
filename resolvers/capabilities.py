"""What a member may do beyond the role: presets, the set that holds, and how it changes (contract: capability_rules)."""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from models.workspaces import Capability, Role
from resolvers.config_text import invalid, shown

Capabilities = frozenset[Capability]


class CapabilityPreset(StrEnum):
    """Named sets, from what everybody has to everything."""

    chat = "chat"
    power = "power"
    admin = "admin"


CHAT_ONLY: Final[Capabilities] = frozenset({Capability.chat})

PRESETS: Final[Mapping[CapabilityPreset, Capabilities]] = MappingProxyType(
    {
        CapabilityPreset.chat: CHAT_ONLY,
        CapabilityPreset.power: CHAT_ONLY | {Capability.issue_create, Capability.memory_write, Capability.routine_create},
        CapabilityPreset.admin: frozenset(Capability),
    }
)

DEFAULTS: Final[Mapping[Role, CapabilityPreset]] = MappingProxyType(
    {
        Role.OWNER: CapabilityPreset.admin,
        Role.ADMIN: CapabilityPreset.admin,
        Role.MANAGER: CapabilityPreset.power,
        Role.MEMBER: CapabilityPreset.chat,
        Role.VIEWER: CapabilityPreset.chat,
    }
)


_NAMES: Final = frozenset(capability.value for capability in Capability)


def _known(names: Sequence[object]) -> Capabilities:
    return frozenset(c for c in Capability if c.value in names)


def effective(role: Role, stored: object) -> Capabilities:
    """The set that holds. `stored` is the column as read: None while the role's default holds.

    Anything but a list counts as unreadable, and leaves chat only, like an empty list; unknown names in it are dropped.
    """
    if stored is None:
        return PRESETS[DEFAULTS[role]]
    return CHAT_ONLY | _known(stored) if isinstance(stored, list) else CHAT_ONLY


def listed(capabilities: Iterable[Capability]) -> list[str]:
    """As stored and as shown: sorted by name."""
    return sorted(capability.value for capability in capabilities)


def _parse(names: Sequence[str], field: str) -> Capabilities:
    for name in names:
        if name not in _NAMES:
            raise invalid(field, f"{shown(name)} is not a capability")
    return _known(names)


def changed(
    current: Capabilities,
    *,
    replace: Sequence[str] | None = None,
    grant: Sequence[str] | None = None,
    revoke: Sequence[str] | None = None,
    preset: str | None = None,
) -> Capabilities:
    """The set after a change of exactly one kind, `replace` being the body's `set`; empty values count as not given. Chat always stays."""
    given = [name for name, value in (("set", replace), ("grant", grant), ("revoke", revoke), ("preset", preset)) if value]
    if len(given) != 1:
        raise invalid("capabilities", "give exactly one of set, grant, revoke and preset, and not empty")
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
