"""The list of domains. Each has the same name in every package, by which its parts are found."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import Final

ROOMS: Final = {
    "attention": (
        "inbox",
        "notifications",
        "notification_channels",
        "notification_deliveries",
        "webhook_endpoints",
        "approvals",
        "push",
    ),
    "people": (
        "auth",
        "sign_in_providers",
        "workspaces",
        "service_accounts",
        "pairing",
        "passkeys",
        "preferences",
        "privacy",
        "recovery",
        "account",
    ),
    "resources": ("credentials", "skills", "mcp_registry", "oauth", "integrations", "costs"),
    "staff": (
        "crews",
        "agents",
        "chats",
        "conversations",
        "runs",
        "crew_templates",
        "onboarding",
        "feedback",
        "webhooks",
        "connectors",
        "escalations",
        "personas",
        "hiring",
        "assignments",
        "runners",
        "hooks",
    ),
    "work": (
        "labels",
        "saved_views",
        "projects",
        "missions",
        "triage_rules",
        "issues",
        "recurring_issues",
        "templates",
        "routines",
        "routine_state",
        "routine_budgets",
        "routine_trust",
        "routine_runs",
        "routine_schedules",
        "routine_webhooks",
    ),
    "oversight": (
        "activity",
        "journal",
        "system",
        "audit",
        "feature_flags",
        "instance_settings",
        "slash_commands",
        "metrics",
        "admin",
        "decision_links",
        "keeper",
        "memory",
        "backups",
    ),
}
"""The domains by their rooms, which are folders in every layer. A domain may import from its own room and from those
above it here; import-linter holds that, and the order within a room (pyproject.toml).
"""
PLACES: Final = {name: f"{room}.{name}" for room, names in ROOMS.items() for name in names}
DOMAINS: Final = tuple(PLACES)
"""In the order of the printed documents."""


@cache
def load() -> None:
    """Imports every module of every domain: from here on all operations, edges and events are known."""
    for place in PLACES.values():
        package = import_module(f"resolvers.{place}")
        for module in iter_modules(getattr(package, "__path__", ()), f"resolvers.{place}."):
            import_module(module.name)
    # imported here, because a list of names loads nothing
    import_module("resolvers.kernel.declarations.row_events").derive()


def modules_in(surface: str, between: Callable[[], None] = lambda: None) -> list[ModuleType]:
    """The domains' modules in a surface's package, where there is one; imported when all domains are loaded. `between`
    is called ahead of each.
    """
    load()
    found = []
    for name in [f"{surface}.{place}" for place in PLACES.values()]:
        between()
        if find_spec(name) is not None:
            found.append(import_module(name))
    return found
