"""Compares the registry of operations (`crewship operations --json`) with the contract, route by route.

A route whose contract role or scope is a prose note is compared on presence only.
"""

import re
from collections.abc import Iterator
from typing import Any

from tests.contract.deviations import PLANNED_EVENTS
from tests.contract.notation import routes

GATES = {"none", "read", "create", "update", "manage", "delete", "owner"}
# Operations that make no sense as a GraphQL field: cookies and redirects, uploads and downloads, sockets, probes.
# Internal and webhook routes are REST only as well: they are not for users.
REST_ONLY = {
    "auth.providers", "auth.session", "auth.signin_page", "auth.error_page", "auth.google_redirect",
    "auth.google_callback", "oauth.callback", "oauth.loopback", "chats.attach", "chats.attachments_list",
    "chats.attachments_delete", "crews.files.download", "agents.files_download", "admin.gdpr_export",
    "admin.memory_version_content", "backups.download", "users.avatar", "agents.avatar", "issues.attachments_get",
    "chats.stream", "ws.connect", "ws.terminal", "ops.healthz", "ops.readyz", "ops.metrics", "system.health",
    "journal.stream",
}  # fmt: skip

BY_ANOTHER = {
    "issues.get": "issues.find_one", "issues.update": "issues.edit", "issues.list": "issues.find",
    "missions.get": "missions.find_one", "missions.list_all": "missions.find",
}  # fmt: skip
"""Operations whose field in GraphQL is another operation, which can do more than the contract allows on the route."""


def key(method: str, path: str) -> tuple[str, str]:
    return method.upper(), re.sub(r"\{[^}]*\}", "{}", path.split("?")[0])


def words(value: Any) -> set[str]:
    """The contract's emits or audit as a set of plain names."""
    items = value if isinstance(value, list) else [value] if value else []
    return {str(i.get("type") if isinstance(i, dict) else i).split()[0].strip(",;:") for i in items}


def served(registry: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """(contract route, operation, its REST entry) for every route of the contract that the service has."""
    have = {key(rest["method"], rest["path"]): (op, rest) for op in registry for rest in op["rest"]}
    for _, route in routes():
        if re.match(r"^[A-Z]+ /", str(route.get("op", ""))):
            method, path = route["op"].split()[:2]
            if (found := have.get(key(method, path))) is not None:
                yield route, *found


def differences(route: dict[str, Any], op: dict[str, Any], rest: dict[str, Any]) -> list[str]:
    """The differences between a route of the contract and the operation that serves it."""
    faults = []
    if op["operation"] != route["id"]:
        faults.append(f"operation {op['operation']}, contract {route['id']}")
    if route.get("auth") in {"none", "user", "internal", "webhook", "cookie"} and op["auth"] != route["auth"]:
        faults.append(f"auth {op['auth']}, contract {route['auth']}")
    if str(route.get("role")) in GATES and op["role"] != route["role"]:
        faults.append(f"role {op['role']}, contract {route['role']}")
    good = [int(s) for s in (route.get("returns") or {}) if str(s).isdigit() and int(s) < 400]
    if good and rest["status"] not in good:
        faults.append(f"status {rest['status']}, contract {good}")
    alone = {*REST_ONLY, *BY_ANOTHER}
    if not op["graphql"] and route.get("auth") not in {"internal", "webhook"} and route["id"] not in alone:
        faults.append("no GraphQL field")
    if op["graphql"] and route.get("auth") in {"internal", "webhook"}:
        faults.append("must not be a GraphQL field")
    for what in ("emits", "audit"):
        have = {*op["emits"], *PLANNED_EVENTS.get(op["operation"], ())} if what == "emits" else words(op["audit"])
        lack = {w for w in words(route.get(what)) if re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", w)} - have
        if lack:
            faults.append(f"{what} lacks {', '.join(sorted(lack))}")
    return faults
