"""Background jobs: work that is enqueued with the change that causes it, and committed with it or not at all.

A job is declared here with its limits and its input, which consists of ids, never texts, because the queue belongs to
no tenant. Its body is in `runtime/` and is found by name. Inputs must stay readable for as long as the longest `at`, so
a change of the input needs a new name. See ADR 36.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from string import Formatter
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints

import orjson

from models.base import new_id
from models.bounds import LINE
from resolvers.kernel.admission.gate import ReadPlan
from resolvers.kernel.admission.plans import Compilation
from resolvers.kernel.declarations.events import Event
from resolvers.kernel.ground.inputs import Id, Input

D = TypeVar("D", bound=Input)

NAME = re.compile(r"[a-z_]+\.[a-z_]+")
# characters of a first job's id; with the suffix of later jobs, it fits into job_steps.root
LONGEST_ID = 2 * LINE
INSTANCE = "@"
"""Stands for the workspace of a job of the instance: row-level security shows it no tenant's row."""
TIMER = "@"
"""Notifies processes of jobs that begin later, so that they learn the time. It names no job."""
ROUND = "~{round}.{attempt}"  # the end of a following job's id
COLUMNS = "name, args, id, uniq, part, place, due"
TYPES = ("text", "text::json", "text", "text", "text", "text", "bigint")
ENQUEUE = f"SELECT enqueue({', '.join(f'${n}::{kind}' for n, kind in enumerate(TYPES, 1))})"


class Rate(NamedTuple):
    """At most `limit` begin within any `seconds`, over all processes."""

    limit: int
    seconds: float


class Queued(NamedTuple):
    """The arguments of `enqueue()`, which 0014 makes."""

    name: str
    args: str
    id: str
    uniq: str | None
    part: str | None
    place: str
    due: int | None


@dataclass(frozen=True, slots=True)
class Turn:
    """Which of the jobs of one cause: each attempt has the `root` of the first one, and so has each round that a job
    asks for.
    """

    root: str
    round: int = 1
    attempt: int = 1


@dataclass(eq=False)
class Job(Generic[D]):
    """See `job`. It takes the place of the operation for its writes: it declares the audit action and the events."""

    name: str
    input: type[D]
    unique: str | None = None
    serial: bool = False
    fair: bool = False
    of_instance: bool = False
    at_once: int | None = None
    everywhere: int | None = None
    rate: Rate | None = None
    attempts: int = 25
    keep: timedelta = timedelta(days=7)
    emits: tuple[type[Event], ...] = ()
    plans: dict[Any, ReadPlan] = field(default_factory=dict, repr=False)
    secret: bool = False
    versioned: None = None
    personal: bool = False

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or len(self.name) > LINE / 2:
            raise TypeError(f"{self.name}: a job is named domain.what_it_does")
        for name, kind in get_type_hints(self.input, include_extras=True).items():
            if name in self.input.model_fields and kind != Id:
                raise TypeError(f"{self.name}: {name} is no Id; what is queued is read past row-level security")
        if self.serial and self.unique is None:
            raise TypeError(f"{self.name}: one at a time of what? `serial` needs `unique`")
        if self.serial and self.fair:
            raise TypeError(f"{self.name}: one at a time of a key, or of a workspace")
        if self.of_instance and (self.fair or self.emits != ()):
            raise TypeError(f"{self.name}: a job of the instance has no workspace, to be fair to or to emit events in")
        if self.partitioned and (self.everywhere is not None or self.rate is not None):
            raise TypeError(
                f"{self.name}: `everywhere` and `rate` beside `serial` or `fair` make claims wait for each other"
            )
        unknown = {name for _, name, _, _ in Formatter().parse(self.unique or "") if name} - set(
            self.input.model_fields
        )
        if unknown:
            raise TypeError(f"{self.name}: the input has no field {', '.join(sorted(unknown))}")
        self.audit = self.name

    @property
    def partitioned(self) -> bool:
        return self.serial or self.fair

    @property
    def bounded(self) -> bool:
        """Returns true if jobs that could begin may have to wait for others to end."""
        return self.partitioned or self.at_once is not None or self.everywhere is not None

    async def compiled(self, by: Compilation, key: Any, principal: str, build: Callable[[], ReadPlan]) -> ReadPlan:
        """Compiles as an operation does, without a budget, because no client requests it."""
        return await by.plan(self.plans, key, build, lambda: None)

    def queued(
        self, workspace_id: str, ids: Mapping[str, Any], at: datetime | None = None, turn: Turn | None = None
    ) -> Queued:
        """One of this job; with `turn`, one that follows another."""
        unknown = ids.keys() - self.input.model_fields.keys()
        if unknown:
            raise TypeError(f"{self.name}: the input has no field {', '.join(sorted(unknown))}")
        data = self.input.model_validate(dict(ids), strict=True).model_dump(mode="json")
        uniq = None if self.unique is None else f"{workspace_id}:{self.unique.format_map(data)}"
        due = None if at is None else int(at.timestamp() * 1000)
        sent: dict[str, Any] = {"data": data}
        if turn is not None:
            sent |= {"root": turn.root, "round": turn.round, "attempt": turn.attempt}
            id = turn.root + ROUND.format(round=turn.round, attempt=turn.attempt)
        elif due is None or uniq is not None:
            id = f"{self.name}:{new_id()}"
        else:  # a timer: enqueued twice it is one
            id = f"{self.name}:{workspace_id}:{':'.join(map(str, data.values()))}:{due}"
            id = id if len(id) <= LONGEST_ID else f"{self.name}:{hashlib.sha256(id.encode()).hexdigest()}"
        part = uniq if self.serial else workspace_id if self.fair else None
        return Queued(self.name, orjson.dumps(sent).decode(), id, uniq, part, workspace_id, due)


JOBS: dict[str, Job[Any]] = {}


def rings(queued: Iterable[Queued]) -> set[str]:
    """The keys to notify once these jobs are committed."""
    return {job.name if job.due is None else TIMER for job in queued}


def in_order(queued: list[Queued]) -> list[Queued]:
    """As every transaction takes the keys, so that two of them never wait for each other."""
    return sorted(queued, key=lambda job: (job.name, job.uniq or "", job.id))


def job(
    name: str,
    input: type[D],
    *,
    unique: str | None = None,
    serial: bool = False,
    fair: bool = False,
    of_instance: bool = False,
    at_once: int | None = None,
    everywhere: int | None = None,
    rate: Rate | None = None,
    attempts: int = 25,
    keep: timedelta = timedelta(days=7),
    emits: type[Event] | tuple[type[Event], ...] = (),
) -> Job[D]:
    """Declares a job.

    `unique`: a key (`"{mission_id}"`) of which at most one job waits; another one is dropped, and moves the first
    forward if it is due earlier. `serial`: jobs of one key also run one at a time. `fair`: one at a time per workspace.
    `of_instance`: the job belongs to no workspace, and its steps are not marked: each checks the rows for earlier work.
    `at_once`: how many run concurrently in a process; `everywhere`: in all processes together. `attempts`: how often it
    may fail, and how often its process may die of it. `keep`: how long its record stays after its end.
    """
    if name in JOBS:
        raise RuntimeError(f"two jobs are named {name}")
    JOBS[name] = Job(
        name,
        input,
        unique,
        serial,
        fair,
        of_instance,
        at_once,
        everywhere,
        rate,
        attempts,
        keep,
        emits if isinstance(emits, tuple) else (emits,),
    )
    return JOBS[name]
