"""The rows of events: an event names rows by id, and a subscription may select them.

Rows are read as by any query: with the gate, the visibility and the roles of the listener. Listeners of one channel who
select the same, and see the same, share one read (see `gathering`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from sqlmodel import SQLModel

from models.attention.approvals import Approval, ApprovalGate
from models.attention.inbox import InboxItem
from models.attention.notification_channels import NotificationChannel
from models.attention.webhook_endpoints import WebhookEndpoint
from models.people.workspaces import Invitation, Membership, Role
from models.resources.budgets import Budget
from models.resources.credentials import Credential
from models.staff.agents import Agent
from models.staff.assignments import Escalation
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.staff.runs import Run
from models.work.labels import Label
from models.work.missions import Mission, MissionTask
from models.work.projects import Milestone, Project
from models.work.saved_views import SavedView
from resolvers.attention.channels import MOST_ROWS, EventRow, list_event_rows
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.kernel import EVERYONE, Input, extend, one
from resolvers.kernel.admission.request import Request
from resolvers.kernel.declarations.events import Event
from resolvers.kernel.declarations.operation import Answer
from resolvers.kernel.declarations.query import PartRefused
from resolvers.kernel.declarations.together import MOST, AskedTogether, answer, joins
from resolvers.kernel.reader import Column, Derived, Nested, Shape, Subtype, Target, intern, readable_by
from resolvers.kernel.reader.graph import GRAPHS, SHOWN, access_of
from resolvers.kernel.reader.shape import edges_of
from resolvers.work.issues.graph import ISSUE_ROWS

TARGETS: dict[str, Target] = {
    "agent": Agent, "approval": Approval, "approval_gate": ApprovalGate, "budget": Budget, "chat": Chat,
    "credential": Credential, "crew": Crew, "escalation": Escalation, "inbox_item": InboxItem,
    "invitation": Invitation, "issue": ISSUE_ROWS, "label": Label, "member": Membership, "milestone": Milestone,
    "mission": Mission, "notification_channel": NotificationChannel, "project": Project, "run": Run,
    "saved_view": SavedView, "task": MissionTask, "webhook_endpoint": WebhookEndpoint,
}  # fmt: skip
"""Names of rows in events: of `<name>_id` in a payload, and of the first part of an event's type for its `id`. None is
of a model that no token with scopes may read, because a listener may have one.
"""
CALLED = {"inbox": "inbox_item", "workspace_member": "member"}
KINDS = frozenset({"workspace", "crew", "mission"})
"""Channels whose events have rows: all of one workspace."""
ID = "@id"
"""The key of the id: no document can have it as an alias."""


extend(EventRow, **{name: one(target, "id") for name, target in TARGETS.items()})


def rows_named(event: type[Event]) -> dict[str, str]:
    """Name of a row -> the payload key of its id. A name that the payload has itself is its own."""
    kind, keys = event.type_.partition(".")[0], event.payload_keys()
    found = {}
    for key in keys if event.channel_.partition(":")[0] in KINDS else ():
        name = CALLED.get(kind, kind) if key == "id" else key.removesuffix("_id")
        if (key == "id" or key.endswith("_id")) and name in TARGETS and name not in keys:
            found[name] = key
    return found


def model_of(name: str) -> type[SQLModel]:
    target = TARGETS[name]
    return target.model if isinstance(target, Subtype) else target


@dataclass(frozen=True, eq=False)
class RowQuestion:
    """The selected fields of the rows of one name."""

    name: str
    shape: Shape
    slots: tuple[Input, ...] = ()

    @cached_property
    def whole(self) -> Shape:
        return intern(Shape((Column(ID, "id"), Nested(self.name, self.name, self.shape)), "list"))

    @cached_property
    def personal(self) -> bool:
        """True if the answer may depend on the person, beyond the role."""
        model = model_of(self.name)
        return (
            _personal(model, self.shape)
            or any(
                edge.source is not None or edge.ahead is not None or access_of(edge.target).visible is not EVERYONE
                for edge in edges_of(model, self.shape)
            )
            or access_of(model).visible is not EVERYONE
        )


def _personal(model: type[SQLModel], shape: Shape) -> bool:
    """True if a computed value may depend on the person. A parent's column depends on who sees the parent."""
    known, shown = GRAPHS.get(model, {}), SHOWN.get(model, {})
    for item in shape.fields:
        if isinstance(item, Column):
            entry = known.get(item.name)
            if item.name in shown:
                return True
            if isinstance(entry, Derived) and (entry.parent is None or access_of(entry.parent).visible is not EVERYONE):
                return True
        elif isinstance(item, Nested):
            entry = known.get(item.name or "")
            edges = [(model, item.shape)]
            if entry is not None:
                edges = [(target, inner) for target, inner in _targets(entry, item)]
            if any(_personal(target, inner) for target, inner in edges):
                return True
    return False


def _targets(entry: Any, item: Nested) -> Iterable[tuple[type[SQLModel], Shape]]:
    members = getattr(entry, "members", None)
    if members is None:
        return [(entry.target, item.shape)]
    return [(members[part.key].target, part.shape) for part in item.shape.fields if isinstance(part, Nested)]


Wanted = Mapping[RowQuestion, Iterable[str]]
Found = dict[tuple[RowQuestion, str], Any]


async def read_rows(caller: Caller, place: str, role: Role | None, wanted: Wanted) -> Found | None:
    """The rows by question and id. None if the caller has another role by now, or no longer listens."""
    asked = [
        (question, Request({"ids": part, "role": role}, question.whole, question.slots, place))
        for question, ids in wanted.items()
        for part in _parts(sorted(set(ids)))
    ]
    found: Found = {}
    for start in range(0, len(asked), MOST):
        some = asked[start : start + MOST]
        together = [AskedTogether(list_event_rows, request) for _, request in some]
        answers = await answer(caller, together) if len(some) > 1 and joins(list_event_rows, caller) else None
        for number, (question, request) in enumerate(some):
            try:
                told = answers[number] if answers is not None else None
                if isinstance(told, Refusal) and not isinstance(told, PartRefused):
                    raise told
                if not isinstance(told, Answer):
                    told = await _read(caller, request)
            except Refusal as refusal:
                if refusal.code is not Code.FORBIDDEN:
                    raise
                found |= {(question, id): None for id in request.raw["ids"]}  # the token lacks a scope
                continue
            rows = orjson.loads(told.body or b"[]")
            if len(rows) != len(request.raw["ids"]):
                return None
            found |= {(question, row[ID]): row[question.name] for row in rows}
    return found


async def _read(caller: Caller, request: Request) -> Answer:
    """The rows; an edge that the caller's role may not follow is null."""
    raw, slots, place = request.raw, request.slots, request.place
    try:
        return await list_event_rows(caller, raw, request.shape, slots, place)
    except PartRefused as part:
        assert request.shape is not None
        shape, _ = readable_by(part.role, EventRow, request.shape)
        return await list_event_rows(caller, raw, shape, slots, place)


def _parts(ids: list[str]) -> Iterable[list[str]]:
    return [ids[start : start + MOST_ROWS] for start in range(0, len(ids), MOST_ROWS)]


def sees_as(caller: Caller) -> Any:
    """Callers with one value, and one role, read the same rows; a token may have scopes of its own."""
    of_session = caller.kind in (CredentialKind.SESSION, CredentialKind.SESSION_TICKET)
    return None if of_session else (caller.kind, caller.credential)
