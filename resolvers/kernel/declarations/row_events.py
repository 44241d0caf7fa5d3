"""Events of changed rows: derived from the audit actions of commands, and sent with their audit rows.

A command that declares an audit action and no event sends one of its action: `label.created` with the id of the row.
Such events go to the subscribers of `workspaceEvents` who may read the row; sockets of /ws do not receive them.
"""

from collections.abc import Callable, Iterable
from types import new_class
from typing import Annotated, Any, ClassVar

from sqlmodel import SQLModel

from models.people.auth import User
from resolvers.kernel.declarations.events import Event, Routing
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.ground.policy import GATES, Action
from resolvers.kernel.reader.graph import ACCESS, EVERYONE, Access
from resolvers.kernel.store.differences import kinds_of_row

PART = "#"
"""Separates a channel from the part of its listeners who hear an event: `workspace:<id>#manage`."""
OF_MEMBERS = "workspace:{workspace_id}#read"
"""The channel of an event that is not derived, and not for /ws: all members hear of it."""
LEVELS = (Action.READ, Action.CREATE, Action.MANAGE, Action.OWNER)
_OF_USER = "user:"


Heard = Callable[[Any, frozenset[str]], str]
HEARD: dict[type[SQLModel], Heard] = {}


def heard(model: type[SQLModel], by: Heard) -> None:
    """Declares who hears of a changed row where some of its readers do not see every row: `(row, changed columns) ->
    part of the listeners`.
    """
    HEARD[model] = by


class RowEvent(Event):
    """An event of one row. `part`: who hears of it, by `hearers`."""

    of_: ClassVar[type[SQLModel]]

    part: Annotated[str, Routing()]
    id: str


def of_action(action: Action) -> str:
    """The part of listeners who may perform an action."""
    return next(level.value for level in LEVELS if GATES[level] == GATES[action])


def of_user(user_id: str) -> str:
    """The part of one listener."""
    return f"{_OF_USER}{user_id}"


def hears(part: str, role: Any, user_id: str) -> bool:
    """True if a listener is in a part. No listener is in an unknown part, which another version may write."""
    if part.startswith(_OF_USER):
        return part == of_user(user_id)
    return part in LEVELS and role in GATES[Action(part)]


def parts_of(role: Any, user_id: str) -> list[str]:
    """All parts that a listener is in."""
    return [level.value for level in LEVELS if role in GATES[level]] + [of_user(user_id)]


def hearers(model: type[SQLModel], row: SQLModel | None, changed: Iterable[str]) -> str:
    """The part of the listeners who may read a row: all who pass the gate of its graph, or fewer, as that declares.

    Where its graph decides by the row, and the row is not loaded, only those hear who see every row.
    """
    declared = HEARD.get(model)
    if declared is None:
        return of_action(ACCESS[model].gate)
    return of_action(Action.OWNER) if row is None else declared(row, frozenset(changed))


def _announced(model: type[SQLModel]) -> bool:
    """Rows that others than their owner read. People are of no workspace: a log of their account is not announced."""
    access: Access | None = ACCESS.get(model)
    if access is None or access.gate in (Action.SELF, Action.NONE) or model is User:
        return False
    if access.visible is not EVERYONE and model not in HEARD:
        raise TypeError(f"{model.__name__}: some of its readers do not see some rows; declare `heard`")
    return True


def derive() -> None:
    """Gives every command with an audit action, but no event, the event of that action. All graphs are known."""
    kinds = {kind: model for model in ACCESS for kind in kinds_of_row(model)}
    known: dict[str, type[RowEvent]] = {}
    for operation in OPERATIONS.values():
        action = operation.audit
        if operation.kind != "command" or action is None or operation.emits:
            continue
        model = kinds.get(action.partition(".")[0])
        if model is None or not _announced(model):
            continue
        if action not in known:
            known[action] = _event(action, model, operation.module)
        operation.emits, operation.announces = (known[action],), known[action]


def _event(action: str, model: type[SQLModel], module: str) -> type[RowEvent]:
    words = action.replace(".", "_").split("_")  # an action that is an event of its own has to be sent by hand
    name = "".join(word.capitalize() for word in words) + "Event"
    said = f"{' '.join(words).capitalize()}; `id` is the id of the row."
    body = {"__module__": module, "__doc__": said, "of_": model, "__annotations__": {"of_": ClassVar[Any]}}
    declared = {"type": str(action), "channel": "workspace:{workspace_id}" + PART + "{part}"}
    return new_class(name, (RowEvent,), declared, lambda namespace: namespace.update(body))
