"""The domains, by the name that each has in every package: what belongs to one is found by it, and listed nowhere."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType

DOMAINS = (
    "auth",
    "sign_in_providers",
    "workspaces",
    "service_accounts",
    "crews",
    "agents",
    "chats",
    "conversations",
    "runs",
    "costs",
    "labels",
    "saved_views",
    "projects",
    "missions",
    "triage_rules",
    "issues",
    "recurring_issues",
    "activity",
    "journal",
    "system",
    "audit",
    "feature_flags",
    "instance_settings",
    "slash_commands",
    "crew_templates",
    "templates",
    "onboarding",
    "pairing",
    "passkeys",
    "preferences",
    "feedback",
    "metrics",
    "privacy",
    "admin",
    "recovery",
    "account",
    "inbox",
    "notifications",
    "notification_channels",
    "webhook_endpoints",
    "webhooks",
    "approvals",
    "credentials",
    "skills",
    "connectors",
    "mcp_registry",
    "oauth",
    "escalations",
    "integrations",
    "decision_links",
    "keeper",
    "personas",
    "hiring",
    # their events are declared, their operations are still to come
    "assignments",
    "pipelines",
)
"""In the order of the printed documents. Which domain may import which stands in pyproject.toml (import-linter)."""


def load() -> None:
    """Imports every module of every domain: from here on all operations, edges and events are known."""
    for name in DOMAINS:
        package = import_module(f"resolvers.{name}")
        for module in iter_modules(getattr(package, "__path__", ()), f"resolvers.{name}."):
            import_module(module.name)


def modules_in(surface: str, between: Callable[[], None] = lambda: None) -> list[ModuleType]:
    """The domains' modules in a surface's package, where there is one; imported when all domains are loaded. `between`
    is called ahead of each.
    """
    load()
    found = []
    for name in [f"{surface}.{name}" for name in DOMAINS]:
        between()
        if find_spec(name) is not None:
            found.append(import_module(name))
    return found
