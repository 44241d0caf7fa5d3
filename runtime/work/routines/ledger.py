"""The record of a run, and the world that its steps reach, as the interpreter knows them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from models.work.routine_runs import RoutineStepState as StepState
from models.work.routines.document import Routine, Step
from models.work.routines.templates import Values

ENDED = frozenset({StepState.completed, StepState.skipped, StepState.failed})


@dataclass(frozen=True, slots=True)
class StepRecord:
    """`due`: when the next attempt begins, or a wait ends at the latest; None if something else ends it."""

    state: StepState
    attempt: int = 1
    output: str = ""
    error: str = ""
    cost: float = 0.0
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunProgram:
    """A run as it begins. `env` are its ids, for templates; `state` is the routine's, as it was then.

    `limit`: US dollars, as the definition limits a run, 0 for none; `budget`: the amount that the monthly budget of the
    routine leaves to the run, None without a limit.
    """

    run_id: str
    routine: Routine
    inputs: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    limit: float = 0.0
    budget: float | None = None
    restricted: bool = False

    @property
    def most(self) -> float | None:
        """US dollars that the run may spend in all; None without a limit."""
        limits = [self.limit] if self.limit > 0 else []
        return min([*limits, *([] if self.budget is None else [self.budget])], default=None)

    def key(self, path: str) -> str:
        """The idempotency key of a step's effect: the same in each attempt, and after a restart."""
        return f"{self.run_id}/{path}"


class Ledger(Protocol):
    """Where a run is recorded: each call is durable when it returns, and raises StoppedError if the run was ended.

    A path is the id of a step, with `each[3].get` for a step in a loop. A loop that is retried forgets the failures of
    its steps.
    """

    def find(self, path: str) -> StepRecord | None: ...

    def spent(self) -> float: ...

    async def begin(self, path: str, step: Step, attempt: int) -> None: ...

    async def skip(self, path: str, step: Step) -> None: ...

    async def complete(self, path: str, step: Step, output: str, cost: float, state: Mapping[str, str]) -> None: ...

    async def retry(self, path: str, step: Step, error: str, cost: float, due: datetime) -> None: ...

    async def fail(self, path: str, step: Step, error: str, cost: float) -> None: ...

    async def warn(self, stage: str, message: str) -> None: ...

    async def park(self, path: str, step: Step, wait: "Wait") -> StepRecord:
        """Records what a step waits for, once."""
        ...

    def answer(self, path: str) -> "WaitOutcome | None":
        """The outcome of a wait for a person or an event; None while it waits."""
        ...

    async def time_out(self, path: str) -> "WaitOutcome":
        """Ends a wait whose time is over; if it was answered meanwhile, that counts."""
        ...


@dataclass(frozen=True, slots=True)
class Wait:
    """`text`: the question of an approval, the type of an event, or the prompt of an agent. `most`: US dollars that the
    agent may spend.
    """

    kind: str
    text: str = ""
    until: datetime | None = None
    attempt: int = 1
    most: float | None = None


@dataclass(frozen=True, slots=True)
class WaitOutcome:
    """The output of a wait, or the reason why it fails."""

    output: str = ""
    refusal: str = ""
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Effect:
    """The outcome of a step that reached the world."""

    output: str
    cost: float = 0.0


class World(Protocol):
    """The services that steps reach. An effect is carried out at least once, under its key; it raises StepError."""

    def now(self) -> datetime: ...

    def part(self) -> float:
        """A random number from 0 to 1."""
        ...

    async def sleep(self, seconds: float) -> None: ...

    async def evaluate(self, expression: str, kind: Any, variables: Mapping[str, Any]) -> Any: ...

    async def reach(self, step: Step, values: Values, key: str) -> Effect:
        """Carries out a step whose type the interpreter does not know."""
        ...


class StoppedError(Exception):
    """The run was ended by something else: cancelled, or taken over."""
