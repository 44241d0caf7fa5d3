"""A ledger and a world in memory, for the interpreter: both can end the process at any of their calls."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from models.work.routine_runs import RoutineStepState as StepState
from models.work.routines.document import HttpStep, Step
from models.work.routines.reading import read_value
from models.work.routines.templates import Values, render
from runtime.work.evaluation import ExpressionError
from runtime.work.routines.failures import StepError
from runtime.work.routines.interpreter import Interpreter, Paused, RunEnd
from runtime.work.routines.ledger import Effect, RunProgram, StepRecord, StoppedError, Wait, WaitOutcome

START = datetime(2026, 1, 1, tzinfo=UTC)


class Crash(BaseException):
    """The process ends here."""


@dataclass
class Stage:
    """`crashes`: the numbers of the calls at which the process ends; before the call is done, or after it if odd."""

    crashes: set[int] = field(default_factory=set)
    records: dict[str, StepRecord] = field(default_factory=dict)
    answers: dict[str, WaitOutcome] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    log: list[tuple[str, str]] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    failing: dict[str, list[str]] = field(default_factory=dict)
    """By key: texts of the failures of the first attempts."""
    stopped: bool = False
    clock: datetime = START
    calls: int = 0
    slept: float = 0.0

    def _call(self, done: bool = False) -> None:
        if not done:
            self.calls += 1
        if self.calls in self.crashes and bool(self.calls % 2) is done:
            self.crashes.discard(self.calls)
            raise Crash

    def _write(self, kind: str, path: str, record: StepRecord) -> None:
        self._call()
        if self.stopped:
            raise StoppedError
        self.records[path] = record
        self.log.append((kind, path))
        self._call(done=True)

    # ---- the ledger

    def find(self, path: str) -> StepRecord | None:
        return self.records.get(path)

    def spent(self) -> float:
        return sum(record.cost for record in self.records.values())

    async def begin(self, path: str, step: Step, attempt: int) -> None:
        self._write("begin", path, replace(self._at(path), state=StepState.started, attempt=attempt))

    async def skip(self, path: str, step: Step) -> None:
        self._write("skip", path, StepRecord(StepState.skipped))

    async def complete(self, path: str, step: Step, output: str, cost: float, state: Mapping[str, str]) -> None:
        was = self._at(path)
        self._write("complete", path, replace(was, state=StepState.completed, output=output, cost=was.cost + cost))
        self.state |= state

    async def retry(self, path: str, step: Step, error: str, cost: float, due: datetime) -> None:
        self._write("retry", path, replace(self._at(path), state=StepState.retrying, error=error, due=due))
        for below in [each for each in self.records if each.startswith(f"{path}[")]:
            if self.records[below].state == StepState.failed:
                del self.records[below]

    async def fail(self, path: str, step: Step, error: str, cost: float) -> None:
        self._write("fail", path, replace(self._at(path), state=StepState.failed, error=error))

    async def warn(self, stage: str, message: str) -> None:
        self.warnings.append((stage, message))

    async def park(self, path: str, step: Step, wait: Wait) -> StepRecord:
        record = StepRecord(StepState.parked, due=wait.until, error=wait.text)
        self._write("park", path, record)
        return record

    def answer(self, path: str) -> WaitOutcome | None:
        return self.answers.get(path)

    async def time_out(self, path: str) -> WaitOutcome:
        return self.answers.setdefault(path, WaitOutcome(refusal="timed out"))

    def _at(self, path: str) -> StepRecord:
        return self.records.get(path, StepRecord(StepState.started))

    # ---- the world

    def now(self) -> datetime:
        return self.clock

    def part(self) -> float:
        return 1.0

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.clock += timedelta(seconds=seconds)

    async def evaluate(self, expression: str, kind: Any, variables: Mapping[str, Any]) -> Any:
        """A few words stand for expressions; the real ones are another test's."""
        known = {"yes()": True, "no()": False, "is transient": variables.get("transient"), "n": variables}
        if expression not in known:
            raise ExpressionError("unknown")
        return known[expression]

    async def reach(self, step: Step, values: Values, key: str) -> Effect:
        """The effect is done when the process may end afterwards: that is when it is repeated."""
        assert isinstance(step, HttpStep)
        self._call()
        if self.failing.get(key):
            raise StepError(self.failing[key].pop(0))
        self.effects[key] += 1
        self._call(done=True)
        cost = float(values.inputs.get("cost", 0))
        return Effect(render(step.http.url, values), cost)


async def played(definition: Mapping[str, Any], stage: Stage, **about: Any) -> RunEnd | Paused:
    """Until the run ends or waits for something; a process that ends is followed by another one."""
    routine = read_value(dict(definition)).routine
    program = RunProgram("run_1", routine, limit=routine.max_cost_usd, **about)
    while True:
        try:
            ending = await Interpreter(program, stage, stage).run()
        except Crash:
            continue
        if isinstance(ending, RunEnd) or ending.until is None or ending.step in stage.answers:
            return ending
        stage.clock = max(stage.clock, ending.until)
