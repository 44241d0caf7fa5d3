"""What a command records beside the rows it changes: it is written with the answer, in one statement."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import SQLModel

from models.base import TenantRow
from models.bounds import cut
from resolvers.identity.caller import Caller
from resolvers.instance.vault import unprinted
from resolvers.kernel.bus import ANYTHING, Topic
from resolvers.kernel.differences import Changes, differences
from resolvers.kernel.events import Event
from resolvers.kernel.jobs import INSTANCE, Job, Queued
from resolvers.kernel.request import Request

LONGEST_AUDITED = 1_000  # characters of one text


@dataclass(slots=True)
class Audit:
    action: str
    entity_type: str
    entity_id: str | None
    data: dict[str, Any]


@dataclass(slots=True)
class Recorder:
    caller: Caller
    operation: Any
    request: Request
    workspace_id: str | None = None
    read_only: bool = False
    in_transaction: bool = False
    audits: list[Audit] = field(default_factory=list)
    changes: dict[str, Changes] = field(default_factory=dict)  # by the id of the row
    events: list[Event] = field(default_factory=list)
    rings: list[tuple[Topic, str]] = field(default_factory=list)
    queued: list[Queued] = field(default_factory=list)
    records: list[SQLModel] = field(default_factory=list)

    @property
    def recorded(self) -> bool:
        """Whether anything is to be written."""
        return bool(self.audits or self.events or self.queued or self.records)

    def forget(self) -> None:
        """Nothing of it happened."""
        self.audits, self.events, self.rings, self.queued, self.records = [], [], [], [], []
        self.changes = {}

    def audit(self, entity_type: str, entity_id: str | None, **data: Any) -> None:
        """The audit row of this operation. Long texts are cut: it says what was done, and is no copy."""
        unprinted(data)
        brief = {key: cut(value, LONGEST_AUDITED) if isinstance(value, str) else value for key, value in data.items()}
        self.audits.append(Audit(self.operation.audit, entity_type, entity_id, brief))

    def changed(
        self, model: type[SQLModel], id: str, names: Iterable[str], before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        """What has become of a row, for the audit row that is of it. Of several changes of one field, the whole."""
        known = self.changes.setdefault(id, {})
        for name, change in differences(model, names, before, after).items():
            known[name] = known[name] | {"after": change["after"]} if name in known else change

    def record(self, *rows: SQLModel) -> None:
        """New rows that nothing in this call reads or refers to, such as a timeline's, written with the answer."""
        self._writes()
        for row in rows:
            if isinstance(row, TenantRow):
                row.__dict__["workspace_id"] = self.workspace_id
        self.records += rows

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
        if at is None:
            self.ring(Topic.jobs, job.name)

    def ring(self, topic: Topic, key: str = ANYTHING) -> None:
        """Wakes whoever waits for this, once the transaction is committed. Events ring by themselves."""
        self.rings.append((topic, key))

    def _writes(self) -> None:
        if self.read_only:
            raise RuntimeError(f"{self.operation.name} only reads: make it a @command")
        if not self.in_transaction:
            raise RuntimeError(f"{self.operation.name}: begin() comes before the first write of a late command")
