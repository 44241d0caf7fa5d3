"""Every route of the service, and the two printed forms of the registry."""

from typing import Any

from sqlmodel import SQLModel

from resolvers.domains import modules_in
from resolvers.errors import Code
from resolvers.kernel.admission.gate import Entity, Tenancy
from resolvers.kernel.admission.subject import Subject
from resolvers.kernel.declarations.operation import OPERATIONS, Auth, Operation, Reach
from resolvers.kernel.ground.policy import GATES, Action
from resolvers.kernel.reader.graph import visible_of
from rest_compat import ws
from rest_compat.http.dispatch import workspace_in_body
from rest_compat.http.spans import workspace_and_definition
from rest_compat.http.table import Route

ROUTES: tuple[Route, ...] = tuple(route for domain in modules_in("rest_compat") for route in domain.ROUTES)


IN_BODY = (workspace_in_body, workspace_and_definition)


def scope_of(op: Operation[Any], routes: list[Route]) -> str:
    """The source of the workspace, in the words of the contract; for machines it is the row or the body."""
    if op.tenancy is Tenancy.NONE or (
        op.auth is Auth.INTERNAL and (isinstance(op.tenancy, Entity) or any(route.reads in IN_BODY for route in routes))
    ):
        return "none"
    if isinstance(op.tenancy, Entity):
        return "entity"
    return "path" if any("{workspaceId}" in route.path for route in routes) else "query"


def _visibility(op: Operation[Any]) -> str | None:
    """The visibility of the rows in the answer: all of the workspace, or those that the model's graph shows the caller;
    None without rows.
    """
    if not (isinstance(op.model, type) and issubclass(op.model, SQLModel)):
        return None
    return "workspace" if visible_of(op.model) is None else "limited"


def _named(subject: Subject | None) -> str | None:
    """The row that the route names, such as `Mission by identifier of Crew by id`."""
    if subject is None:
        return None
    own = f"{subject.model.__name__} by {subject.by}"
    return own if subject.of is None else f"{own} of {_named(subject.of)}"


def _socket(name: str, path: str, scope: str, *errors: Code) -> dict[str, Any]:
    """A socket among the operations: no operation serves it, and tools look for it there."""
    return {
        "operation": name,
        "kind": "socket",
        "auth": "ticket",
        "role": Action.NONE.value,
        "gate": sorted(GATES[Action.NONE]),
        "or_capability": None,
        "visibility": None,
        "subject": None,
        "scope": scope,
        "reach": Reach.WORKSPACE.value,
        "rest": [{"method": "GET", "path": path, "status": 101}],
        "graphql": [],
        "emits": [],
        "audit": None,
        "errors": [code.value for code in errors],
    }


SOCKETS = (
    _socket("ws.connect", ws.PATH, "none", Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.RATE_LIMITED),
    _socket("ws.terminal", ws.TERMINAL, "entity", Code.FORBIDDEN, Code.RATE_LIMITED, Code.UNAVAILABLE),
)


def operations(graphql: dict[str, list[str]] | None = None) -> list[dict[str, Any]]:
    """The registry, one object an operation, and the sockets. `graphql`: operation -> its fields, unknown here."""
    made = list(SOCKETS)
    for name, op in OPERATIONS.items():
        routes = [route for route in ROUTES if route.operation is op]
        made.append(
            {
                "operation": name,
                "kind": op.kind,
                "auth": op.auth.value,
                "role": op.action.value,
                "gate": sorted(GATES[op.action]),
                "or_capability": op.or_capability,
                "visibility": _visibility(op),
                "subject": _named(op.subject),
                "scope": scope_of(op, routes),
                "reach": op.reach.value,
                "token_scopes": None if op.needs is None else sorted(op.needs),
                "tickets": op.tickets,
                "rest": [{"method": r.method, "path": r.path, "status": r.status} for r in routes],
                "graphql": (graphql or {}).get(name, []),
                "emits": sorted({event.type_ for event in op.emits}),
                "audit": op.audit,
                "errors": [code.value for code in op.errors],
            }
        )
    return sorted(made, key=lambda entry: str(entry["operation"]))


def table() -> list[dict[str, Any]]:
    """The routes joined with their operations' declarations."""
    return [
        {
            "method": route.method,
            "path": route.path,
            "status": route.status,
            "operation": route.operation.name,
            "auth": route.operation.auth.value,
            "role": route.operation.action.value,
            "errors": [code.value for code in route.operation.errors],
            "source": getattr(route.operation, "describe", getattr(route.operation, "run", None)).__module__,
        }
        for route in ROUTES
    ]
