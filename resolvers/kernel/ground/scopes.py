"""Scopes of CLI tokens: what they are called, who may hand them out, and which ones an operation needs (contract:
auth.TokenScope).

A scope takes away from what a token's user may, and never adds. A token without scopes is as good as its user. The
scope of an operation follows from its name and kind: `crews.list` needs `crews:read`, `crews.update` `crews:write`.
"""

from collections.abc import Collection

from models.people.workspaces import Role
from resolvers.errors import forbidden
from resolvers.kernel.ground.policy import ADMINS, MANAGERS, MEMBERS

EVERYTHING = "*"
DOMAINS = ("agents", "chats", "crews", "credentials", "issues", "labels", "projects", "runs", "skills", "webhooks")

SCOPES: dict[str, frozenset[Role]] = {
    EVERYTHING: ADMINS,
    "agents:run": MANAGERS,
    "workspace:*": ADMINS,
    "workspace:admin": ADMINS,
    "workspace:read": MEMBERS,
    **{
        f"{domain}:{kind}": MEMBERS if kind == "read" else MANAGERS
        for domain in DOMAINS
        for kind in ("*", "read", "write")
    },
}
"""Scope -> the roles that may hand it out."""

IMPLIED: dict[str, frozenset[str]] = {"agents:run": frozenset({"chats:read", "chats:write", "runs:read"})}
"""Scope -> what it opens beside itself: to set an agent to work is to talk to it, and to read what came of it."""

_WORKSPACE = ("workspace:read", "workspace:admin")
_OF_DOMAIN = {
    "agent_integrations": ("agents:read", "agents:write"),
    "crew_integrations": ("crews:read", "crews:write"),
    "crew_tools": ("crews:read", "crews:write"),
    "integrations": _WORKSPACE,
    "agent_credentials": ("credentials:read", "credentials:write"),
    "agent_skills": ("skills:read", "skills:write"),
    "cache": ("crews:read", "crews:write"),
    "activity": ("crews:read", "crews:write"),
    "audit": _WORKSPACE,
    "budgets": _WORKSPACE,
    "costs": _WORKSPACE,
    "model_calls": _WORKSPACE,
    "models": ("agents:read", "agents:write"),
    "crew_ai": ("crews:read", "crews:write"),
    "crew_connections": ("crews:read", "crews:write"),
    "connectors": ("credentials:read", "credentials:write"),
    "crew_templates": ("crews:read", "crews:write"),
    "recipes": ("credentials:read", "credentials:write"),
    "escalations": ("crews:read", "crews:write"),
    "feature_flags": _WORKSPACE,
    "conversations": ("chats:read", "chats:write"),
    "feedback": ("chats:read", "chats:write"),
    "approval_gates": _WORKSPACE,
    "approvals": _WORKSPACE,
    "inbox": _WORKSPACE,
    "notification_channels": _WORKSPACE,
    "webhook_endpoints": ("webhooks:read", "webhooks:write"),
    "invitations": _WORKSPACE,
    "checkpoints": ("issues:read", "issues:write"),
    "missions": ("issues:read", "issues:write"),
    "mcp_calls": ("agents:read", "agents:write"),
    "journal": _WORKSPACE,
    "mcp_registry": _WORKSPACE,
    "members": _WORKSPACE,
    "metrics": _WORKSPACE,
    "milestones": ("projects:read", "projects:write"),
    "oauth": ("credentials:read", "credentials:write"),
    "policies": ("crews:read", "crews:write"),
    "recurring_issues": ("issues:read", "issues:write"),
    "saved_views": ("issues:read", "issues:write"),
    "slash_commands": _WORKSPACE,
    "work_pauses": ("runs:read", "runs:write"),
    "terminals": ("crews:read", "crews:write"),
    "files": ("crews:read", "crews:write"),
    "triage": ("issues:read", "issues:write"),
    "triage_rules": ("issues:read", "issues:write"),
    "templates": ("issues:read", "issues:write"),
    "workflow_templates": ("issues:read", "issues:write"),
    "workspaces": _WORKSPACE,
}
Scopes = frozenset[str] | None
"""What a token with scopes must have; None where none will do."""
OPEN: Scopes = frozenset()
_OF_OPERATION: dict[str, Scopes] = {
    # accounts, their sessions and tokens: of no scope, `*` included, or a token could make one that may more
    "auth": None,
    "auth.cli_token_validate": OPEN,
    "service_accounts": None,  # the same
    "me": None,
    "security_log": None,
    "privacy": None,  # about the caller alone
    "notifications": None,  # the same, over all workspaces
    "decision_links": None,  # whoever has the link is asked for no token
    "invitations.accept": None,
    "invitations.signup": None,
    "onboarding": None,  # about the account, and it makes what several scopes are for
    "connectors.install": frozenset({"crews:write", "credentials:write"}),
    "recipes.install": frozenset({"crews:write", "credentials:write"}),
    "crew_templates.deploy": frozenset({"crews:write", "agents:write"}),
    "instance_settings": frozenset({EVERYTHING}),
    "admin": frozenset({"workspace:admin"}),
    "keeper": frozenset({"workspace:admin"}),
    # who one is, what this server is, and a ticket, which has the scopes of its token
    "viewer": OPEN,
    "features": OPEN,
    "runtimes": OPEN,
    "system": OPEN,
    "keeper.status": OPEN,
    "ops": OPEN,
    "ws": OPEN,
    "channels.identify": OPEN,
    "channels.providers": OPEN,
    # a channel carries what happens in several domains
    "channels": frozenset({EVERYTHING}),
    "channels.session": frozenset({"chats:read"}),
    "channels.agent": frozenset({"agents:read", "chats:read"}),
    "channels.crew": frozenset({"crews:read"}),
}
"""Operation or domain -> the scopes it needs where its name does not tell; None: no token with scopes may call it."""


def needed(operation: str, kind: str) -> Scopes:
    """The scopes a token must have to call an operation; None where no token with scopes may."""
    domain = operation.partition(".")[0]
    for name in (operation, domain):
        if name in _OF_OPERATION:
            return _OF_OPERATION[name]
    read, write = _OF_DOMAIN.get(domain, (f"{domain}:read", f"{domain}:write"))
    return frozenset({write if kind == "command" else read})


def granted(scopes: Collection[str]) -> frozenset[str]:
    """All that a token's scopes open; a scope that is not known opens nothing."""
    made = set[str]()
    for scope in scopes:
        domain, _, kind = scope.partition(":")
        if scope == EVERYTHING:
            made |= SCOPES.keys()
        elif kind == "*":
            made |= {name for name in SCOPES if name.startswith(f"{domain}:")}
        else:
            made.add(scope)
    return frozenset(made.union(*[IMPLIED[scope] for scope in made if scope in IMPLIED]))


def together(one: Scopes, other: Scopes) -> Scopes:
    """What is needed for both."""
    return None if one is None or other is None else one | other


def check(scopes: Collection[str], needs: Scopes) -> None:
    """Refuses FORBIDDEN a token that has scopes, and not the one that is asked for."""
    if needs is None:
        raise forbidden("A token with scopes cannot be used for accounts, sessions and tokens")
    missing = sorted(needs - granted(scopes))
    if missing:
        raise forbidden(f"The token lacks the scope {missing[0]}")
