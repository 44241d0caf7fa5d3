"""The records of a command beside its changed rows: they are written with the answer, in one statement."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, TypeVar

from sqlmodel import SQLModel

from models.base import TenantRow, new_id, table_of
from models.bounds import cut
from models.kernel import AuditLog
from models.people.workspaces import Workspace
from resolvers.identity.caller import Caller
from resolvers.instance.running import instance
from resolvers.instance.telemetry import log
from resolvers.instance.vault import unprinted
from resolvers.kernel.admission.gate import Tenancy
from resolvers.kernel.admission.request import Request
from resolvers.kernel.declarations.events import Event
from resolvers.kernel.declarations.jobs import INSTANCE, TIMER, Job, Queued
from resolvers.kernel.declarations.row_events import RowEvent, hearers
from resolvers.kernel.ground.auditing import audit_row
from resolvers.kernel.store.bus import ANYTHING, Topic
from resolvers.kernel.store.changes import split
from resolvers.kernel.store.differences import ENTITY_TYPES, Changes, differences, kinds_of_row, lost, named

R = TypeVar("R", bound=SQLModel)
LONGEST_AUDITED = 1_500  # characters of one text


@dataclass(slots=True)
class Audit:
    """`personal`: of an account, and of no workspace."""

    action: str
    entity_type: str
    entity_id: str | None
    data: dict[str, Any]
    personal: bool = False
    id: str = field(default_factory=new_id)


class Touched(NamedTuple):
    """A written row; `row` if it is loaded, `id` if it has one."""

    model: type[SQLModel]
    id: str | None
    row: SQLModel | None

    @classmethod
    def of(cls, row: SQLModel) -> "Touched":
        return cls(type(row), row.__dict__.get("id"), row)


@dataclass(slots=True)
class Recorder:
    caller: Caller
    operation: Any
    request: Request
    workspace_id: str | None = None
    user_id: str = ""
    credential_id: str = ""
    unaccepted: str | None = None  # the workspace in which the caller has yet to accept the membership
    read_only: bool = False
    in_transaction: bool = False
    audits: list[Audit] = field(default_factory=list)
    changes: dict[str, Changes] = field(default_factory=dict)  # by the id of the row
    touched: list[Touched] = field(default_factory=list)  # what was written up to now, in order
    subject: SQLModel | None = None  # the row that the route names
    account: str = ""  # whose log it is that is written, where the credential does not say who calls
    nobody: bool = False  # the account is gone by now, or there is none
    events: list[Event] = field(default_factory=list)
    rings: list[tuple[Topic, str]] = field(default_factory=list)
    queued: list[Queued] = field(default_factory=list)
    records: list[SQLModel] = field(default_factory=list)
    shown: list[tuple[type[SQLModel], str]] = field(default_factory=list)  # see `shows`
    # what the answer waits for, behind the commit and without a connection
    afterwards: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def recorded(self) -> bool:
        """Returns true if there is anything to write."""
        return bool(self.audits or self.events or self.queued or self.records)

    def forget(self) -> None:
        """Nothing of it happened."""
        self.audits, self.events, self.rings, self.queued, self.records = [], [], [], [], []
        self.changes, self.touched, self.shown, self.afterwards = {}, [], [], []

    def audit(
        self,
        entity_type: str,
        entity_id: str | None,
        /,
        *,
        action: str | None = None,
        personal: bool = False,
        whole: bool = False,
        **data: Any,
    ) -> str:
        """Writes an audit row of this operation in place of the automatic one; returns its id. Long texts are
        truncated, because the log is not a copy, unless it is the `whole`: the only record.

        `action`: if it differs from the declared one. `personal`: in the log of the account, not of the workspace.
        """
        unprinted(data)
        told = data if whole else {key: _brief(value) for key, value in data.items()}
        made = Audit(action or self.operation.audit, entity_type, entity_id, told, personal)
        self.audits.append(made)
        return made.id

    def shows(self, model: type[SQLModel], id: str) -> None:
        """Names a row for a `written` edge of the answer, if it is not the one that the audit row names."""
        self.shown.append((model, id))

    @property
    def whose(self) -> str | None:
        """The account whose log is written."""
        return None if self.nobody else self.user_id or self.account

    def workspace_audits(self) -> list[Audit]:
        return [audit for audit in self.audits if self.workspace_id and not audit.personal]

    def personal_audits(self) -> list[Audit]:
        """None if the person is unknown: a sign-out without a sign-in."""
        if self.whose == "":
            return []
        return [audit for audit in self.audits if audit.personal or not self.workspace_id]

    @property
    def progress(self) -> tuple[int, int]:
        """The numbers of records and writes when a nested operation begins."""
        return len(self.audits), len(self.touched)

    def audit_outcome(self, result: Any, since: tuple[int, int] = (0, 0)) -> None:
        """The automatic audit row of an operation that has written something, and the event that announces it."""
        self._audit_outcome(result, since)
        event = getattr(self.operation, "announces", None)
        if event is not None and self.workspace_id:
            self._announce(event, self.audits[since[0] :])

    def _announce(self, event: type[RowEvent], audits: list[Audit]) -> None:
        """Rows that the operation has audited itself are announced like the one of its automatic audit row."""
        kinds, told = kinds_of_row(event.of_), set[str]()
        for audit in audits:
            id = audit.entity_id
            if id is None or id in told or audit.personal or audit.entity_type not in _entity_types(kinds):
                continue
            told.add(id)
            row = next((each.row for each in reversed(self.touched) if each.id == id and each.row is not None), None)
            row = self.subject if row is None and getattr(self.subject, "id", None) == id else row
            self.emit(event(id=id, part=hearers(event.of_, row, self.changes.get(id, ()))))

    def _audit_outcome(self, result: Any, since: tuple[int, int]) -> None:
        """About the row whose kind the action names, searched in the answer, the route and the writes, the last one
        first.
        """
        action, (audits, touched) = self.operation.audit, since
        written = self.touched[touched:]
        if action is None or not written or len(self.audits) > audits:
            return
        noun = action.partition(".")[0]
        candidates = [Touched.of(row) for row in (result, self.subject) if isinstance(row, SQLModel)]
        candidates += reversed(written)
        found = next((each for each in candidates if each.id is not None and noun in kinds_of_row(each.model)), None)
        if found is None:
            if instance.strict:
                raise RuntimeError(f"{self.operation.name} declares the audit action {action}, and wrote no {noun}")
            log.error("an audit row is of no entity", operation=self.operation.name)
            self.audit(ENTITY_TYPES.get(noun, noun.upper()), None)
            return
        of_workspace = issubclass(found.model, TenantRow | Workspace) or self.operation.tenancy is not Tenancy.NONE
        data = {} if found.row is None else named(found.row)
        self.audit(ENTITY_TYPES.get(noun, noun.upper()), found.id, personal=not of_workspace, **data)

    def changed(
        self, model: type[SQLModel], id: str, names: Iterable[str], before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        """Records a change of a row for its audit row. Several changes of one field become one."""
        known = self.changes.setdefault(id, {})
        for name, change in differences(model, names, before, after).items():
            known[name] = known[name] | {"after": change["after"]} if name in known else change

    def altered(self, row: R, before: Mapping[str, Any]) -> R:
        """Records a change and returns the row."""
        self.touched.append(Touched.of(row))
        if before and (id := self.touched[-1].id) is not None:
            self.changed(type(row), id, before, before, row.__dict__)
        return row

    def removed(self, row: R) -> R:
        """Records a deletion. The values of a workspace's row are recorded, a person's are not."""
        touched = Touched.of(row)
        self.touched.append(touched)
        if touched.id is not None and issubclass(touched.model, TenantRow) and "deleted_at" not in row.__dict__:
            self.changes[touched.id] = lost(touched.model, row.__dict__)
        return row

    def ids_of(self, model: type[SQLModel], rows: list[Any]) -> list[Any]:
        """The ids of rows that one statement wrote, if they have ids. An audit row can belong to a single one."""
        ids = [row[0] for row in rows]
        if ids:
            alone = len(ids) == 1 and "id" in table_of(model).c
            self.touched.append(Touched(model, ids[0] if alone else None, None))
        return ids

    def audit_row(self, audit: Audit) -> AuditLog:
        """One that is written like any other row."""
        changes = self.changes.get(audit.entity_id or "")
        return audit_row(audit, self.caller, self.user_id, self.credential_id, changes)

    def record(self, *rows: SQLModel) -> None:
        """New rows that nothing in this call reads or refers to, such as a timeline's, written with the answer."""
        self._writes()
        for row in rows:
            if isinstance(row, TenantRow):
                row.__dict__["workspace_id"] = self.workspace_id
        self.records += rows
        self.touched += [Touched.of(row) for row in rows]

    def emit(self, event: Event) -> None:
        if type(event) not in self.operation.emits:
            raise TypeError(f"{self.operation.name} does not declare {type(event).__name__}")
        self.events.append(event)

    def enqueue(self, job: Job[Any], /, *, at: datetime | None = None, **ids: str) -> None:
        """A background job of this workspace, or of the instance, which begins after the commit, at `at` where that is
        given; no job, if this is rolled back.
        """
        self._writes()
        place = INSTANCE if job.of_instance else self.workspace_id
        if not place:
            raise RuntimeError(f"{self.operation.name}: {job.name} belongs to a workspace")
        self.queued.append(job.queued(place, ids, at))
        self.ring(Topic.jobs, job.name if at is None else TIMER)

    def ring(self, topic: Topic, key: str = ANYTHING) -> None:
        """Wakes processes that wait for the topic, once the transaction is committed. Events do so by themselves."""
        self.rings.append((topic, key))

    def settle(self, values: Mapping[str, Any]) -> None:
        """Replaces drawn values by the database's, by columns of the new row, where they were returned before."""
        for audit in self.audits:
            known, drawn = split(audit.data)
            audit.data = known | {key: values[name] for key, name in drawn}
        self.events = [event.settled(values) for event in self.events]

    def _writes(self) -> None:
        if self.read_only:
            raise RuntimeError(f"{self.operation.name} only reads: make it a @command")
        if not self.in_transaction:
            raise RuntimeError(f"{self.operation.name}: begin() comes before the first write of a late command")


@cache
def _entity_types(kinds: frozenset[str]) -> frozenset[str]:
    return frozenset(ENTITY_TYPES.get(kind, kind.upper()) for kind in kinds)


def _brief(value: Any) -> Any:
    return cut(value, LONGEST_AUDITED) if isinstance(value, str) else value
