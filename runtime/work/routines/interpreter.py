"""The interpreter of a run: which step is next, what it does, and what its failure means.

It repeats nothing that the ledger has: executed again after a crash, it continues where the record ends. The step that
was under way is done again, and its effect has the same key.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Literal

from models.work.routine_runs import RoutineStepState as StepState
from models.work.routines.bodies import MOST_ELEMENTS
from models.work.routines.document import AgentRunStep, CodeStep, ForeachStep, Step, TransformStep, WaitStep
from models.work.routines.expressions import CODE
from models.work.routines.templates import SKIPPED, RenderedTooLargeError, Values, render, text_of
from resolvers.rules.content_scan import scan
from runtime.work.evaluation import ExpressionError
from runtime.work.routines.comparing import compare, variables_of
from runtime.work.routines.conditions import is_met
from runtime.work.routines.failures import StepError
from runtime.work.routines.ledger import ENDED, Effect, Ledger, RunProgram, StepRecord, World
from runtime.work.routines.retrying import delay_ms, is_affordable, is_retried, retry_of
from runtime.work.routines.scheduling import SIDE_BY_SIDE, output_of, plan_of
from runtime.work.routines.transforming import exactly, parsed, transform, written
from runtime.work.routines.waiting import fenced, question_of, wait_of

INLINE: Final = 2.0
"""Seconds: a run that waits longer ends its job, and another one continues it."""
COST_CAP: Final = "cost cap exceeded"
LEAST: Final = 0.000_000_5
"""US dollars; a smaller rest comes from rounding."""
NO_BUDGET: Final = "the monthly budget of the routine is spent, or reserved for other runs"
DOLLARS_A_BYTE: Final = 1.25 / 4 / 1_000_000
"""The estimated cost of a prompt (contract: routines-dsl.cost)."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The end of a run."""

    outcome: Literal["completed", "failed"]
    output: str = ""
    failed_at: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Paused:
    """The run continues at `until`, or when something else wakes it up. `waiting`: for a person or an event."""

    step: str
    until: datetime | None
    waiting: bool = False


class _StepFailed(Exception):
    def __init__(self, step: str, text: str) -> None:
        super().__init__(text)
        self.step, self.text = step, text


class _StepPaused(Exception):
    def __init__(self, step: str, until: datetime | None, *, waiting: bool = False) -> None:
        super().__init__(step)
        self.step, self.until, self.waiting = step, until, waiting


class Interpreter:
    """Executes one run until it ends or pauses."""

    def __init__(self, program: RunProgram, ledger: Ledger, world: World) -> None:
        self._program, self._ledger, self._world = program, ledger, world
        self._plan = plan_of(program.routine)

    async def run(self) -> RunEnd | Paused:
        outputs = dict[str, str]()
        if self._plan.refused is not None:
            return RunEnd("failed", error=self._plan.refused, failed_at=self._plan.steps[0].id)
        try:
            await self._hook("before_all")
            for wave in self._plan.waves:
                values = self._values(outputs)
                steps = [partial(self._step, step, step.id, values) for step in wave]
                for step, output in zip(wave, await _together(steps, SIDE_BY_SIDE), strict=True):
                    outputs[step.id] = output
            return await self._ended(RunEnd("completed", output_of(self._plan, outputs)))
        except _StepPaused as pause:
            return Paused(pause.step, pause.until, pause.waiting)
        except _StepFailed as failure:
            return await self._ended(RunEnd("failed", failed_at=failure.step, error=failure.text))

    def _values(self, outputs: Mapping[str, str]) -> Values:
        of = self._program
        return Values(inputs=of.inputs, outputs=dict(outputs), env=of.env, metadata=of.metadata, state=of.state)

    # ---- hooks ---------------------------------------------------------------------------------------------------

    async def _hook(self, name: Literal["before_all", "after_all", "on_failure"]) -> None:
        hook = getattr(self._program.routine.hooks, name)
        if hook is None:
            return
        try:
            await self._step(hook, f"hook:{name}", self._values({}))
        except _StepFailed as failure:
            raise _StepFailed(hook.id, failure.text) from None

    async def _ended(self, finished: RunEnd) -> RunEnd | Paused:
        """The hook after the end: its failure is a warning."""
        name: Literal["after_all", "on_failure"] = "after_all" if finished.outcome == "completed" else "on_failure"
        try:
            await self._hook(name)
        except _StepFailed as failure:
            await self._ledger.warn(f"hook {name}", failure.text)
        except _StepPaused as pause:
            return Paused(pause.step, pause.until, pause.waiting)
        return finished

    # ---- one step ------------------------------------------------------------------------------------------------

    async def _step(self, step: Step, path: str, values: Values) -> str:
        """The output of a step, from the ledger or by its work."""
        record = self._ledger.find(path)
        if record is None:
            if not await self._is_met(step, path, values):
                await self._ledger.skip(path, step)
                return SKIPPED
            await self._before(step, path, values)
        elif record.state in ENDED:
            return await self._earlier(step, path, values, record)
        attempt = 1 if record is None else record.attempt
        costs = list[float]()
        if record is not None and record.state == StepState.retrying:
            costs.append(record.cost / attempt)
            await self._until(path, record.due)
            attempt += 1
        return await self._attempts(step, path, values, attempt, costs)

    async def _earlier(self, step: Step, path: str, values: Values, record: StepRecord) -> str:
        """The outcome that is recorded; what follows a success may not have been done."""
        if record.state == StepState.failed:
            raise _StepFailed(path, record.error)
        if record.state == StepState.skipped:
            return SKIPPED
        self._check_spent(path)
        await self._after(step, path, replace(values, outputs={**values.outputs, step.id: record.output}))
        return record.output

    async def _attempts(self, step: Step, path: str, values: Values, attempt: int, costs: list[float]) -> str:
        retry = None if isinstance(step, WaitStep) else retry_of(step)
        while True:
            try:
                self._check_cost()
                return await self._attempt(step, path, values, attempt)
            except StepError as error:
                costs.append(error.cost)
                again = await is_retried(retry, error, attempt, self._world.evaluate)
                if retry is None or not again or not is_affordable(self._ledger.spent(), costs, self._program.limit):
                    await self._ledger.fail(path, step, error.text, error.cost)
                    raise _StepFailed(path, error.text) from None
                delay = delay_ms(retry.backoff, attempt, self._world.part())
                due = self._world.now() + timedelta(milliseconds=delay)
                await self._ledger.retry(path, step, error.text, error.cost, due)
            await self._until(path, due)
            attempt += 1

    async def _attempt(self, step: Step, path: str, values: Values, attempt: int) -> str:
        if isinstance(step, WaitStep):
            effect = await self._wait(step, path, values)
        elif isinstance(step, AgentRunStep):
            effect = await self._ask(step, path, values, attempt)
        else:
            await self._ledger.begin(path, step, attempt)
            effect = await self._performed(step, path, values)
        done = replace(values, outputs={**values.outputs, step.id: effect.output})
        state = {key: _rendered(text, done) for key, text in step.state_write.items()}
        await self._ledger.complete(path, step, effect.output, effect.cost, state)
        self._check_spent(path)
        await self._after(step, path, done)
        return effect.output

    async def _performed(self, step: Step, path: str, values: Values) -> Effect:
        try:
            match step:
                case TransformStep(transform=body):
                    return Effect(transform(_rendered(body.input, values), body.expression))
                case CodeStep(code=body) if body.runtime in ("expr", "cel"):
                    return Effect(await self._code(step, values))
                case ForeachStep():
                    return Effect(await self._loop(step, path, values))
            return await self._world.reach(step, values, self._program.key(path))
        except RenderedTooLargeError as error:
            raise StepError(str(error), final=True) from None

    async def _code(self, step: CodeStep, values: Values) -> str:
        code = _rendered(step.code.code, values)
        if step.code.runtime == "expr":
            env = {name: _rendered(text, values) for name, text in step.code.env.items()}
            return compare(code, variables_of({name: text_of(each) for name, each in values.inputs.items()}, env))
        try:
            answer = await self._world.evaluate(code, CODE, {"inputs": dict(values.inputs)})
        except ExpressionError as error:
            raise StepError(str(error), final=True) from None
        return "null" if answer is None else text_of(answer)

    async def _wait(self, step: WaitStep, path: str, values: Values) -> Effect:
        """A wait that is recorded is not begun again."""
        now = self._world.now()
        record = self._ledger.find(path)
        if record is None or record.state != StepState.parked:
            wait = wait_of(step, lambda text: _rendered(text, values), now)
            if wait.kind == "datetime" and wait.until is not None and wait.until <= now:
                await self._ledger.begin(path, step, 1)
                return Effect("waited:datetime:past")
            record = await self._ledger.park(path, step, wait)
        if step.wait.kind == "datetime":
            if record.due is None or record.due <= now:
                return Effect("waited:datetime")
            raise _StepPaused(path, record.due)
        answer = self._ledger.answer(path)
        if answer is None and record.due is not None and record.due <= now:
            answer = await self._ledger.time_out(path)
        if answer is None:
            raise _StepPaused(path, record.due, waiting=True)
        if answer.refusal:
            raise StepError(answer.refusal, final=True)
        return Effect(answer.output)

    async def _ask(self, step: AgentRunStep, path: str, values: Values, attempt: int) -> Effect:
        """An agent works beside the run, which holds no process meanwhile."""
        now, record = self._world.now(), self._ledger.find(path)
        if record is None or record.state != StepState.parked:
            try:
                fence = fenced if self._program.restricted else None
                wait = question_of(step, lambda text: render(text, values, fence=fence), now, attempt)
            except RenderedTooLargeError as error:
                raise StepError(str(error), final=True) from None
            self._check_prompt(wait.text)
            self._check_estimate(wait.text)
            record = await self._ledger.park(path, step, replace(wait, most=self._share(step)))
        answer = self._ledger.answer(path)
        if answer is None and record.due is not None and record.due <= now:
            answer = await self._ledger.time_out(path)
        if answer is None:
            raise _StepPaused(path, record.due)
        if answer.refusal:
            raise StepError(answer.refusal, final=True, cost=answer.cost)
        return Effect(answer.output, answer.cost)

    def _check_prompt(self, prompt: str) -> None:
        """contract: routines-dsl.document.guardrails"""
        found = scan(prompt) if self._program.routine.guardrails.input.prompt_injection.action == "block" else None
        if found is not None:
            raise StepError(f"the prompt may try to steer the agent ({found.pattern})", final=True)

    # ---- loops ---------------------------------------------------------------------------------------------------

    async def _loop(self, step: ForeachStep, path: str, values: Values) -> str:
        elements = _elements(_rendered(step.foreach.items, values))
        most = min(step.foreach.parallelism or SIDE_BY_SIDE, SIDE_BY_SIDE)
        bodies = [partial(self._element, step, path, n, each, values) for n, each in enumerate(elements)]
        try:
            outputs = await _together(bodies, most)
        except _StepFailed as failure:
            element = failure.step.removeprefix(f"{path}[").partition("]")[0]
            raise StepError(f"element {element}: {failure.text}") from None
        return written([_as_json(output) for output in outputs])

    async def _element(self, step: ForeachStep, path: str, n: int, element: Any, values: Values) -> str:
        own = replace(values, inputs={**values.inputs, step.foreach.item_name: element})
        output = ""
        for each in step.foreach.steps:
            output = await self._step(each, f"{path}[{n}].{each.id}", own)
            own = replace(own, outputs={**own.outputs, each.id: output})
        return output

    # ---- around a step -------------------------------------------------------------------------------------------

    async def _is_met(self, step: Step, path: str, values: Values) -> bool:
        try:
            return await is_met(step.condition, values, self._world.evaluate)
        except RenderedTooLargeError as error:
            raise await self._failed(step, path, str(error)) from None

    async def _failed(self, step: Step, path: str, text: str) -> _StepFailed:
        await self._ledger.fail(path, step, text, 0.0)
        return _StepFailed(path, text)

    async def _before(self, step: Step, path: str, values: Values) -> None:
        if step.hooks.before is None:
            return
        try:
            await self._step(step.hooks.before, f"{path}:before", values)
        except _StepFailed as failure:
            raise await self._failed(step, path, f"the hook before the step failed: {failure.text}") from None

    async def _after(self, step: Step, path: str, values: Values) -> None:
        if step.hooks.after is None:
            return
        try:
            await self._step(step.hooks.after, f"{path}:after", values)
        except _StepFailed:
            return  # contract: routines-dsl.hooks

    async def _until(self, path: str, due: datetime | None) -> None:
        seconds = 0.0 if due is None else (due - self._world.now()).total_seconds()
        if seconds > INLINE:
            raise _StepPaused(path, due)
        if seconds > 0:
            await self._world.sleep(seconds)

    def _share(self, step: AgentRunStep) -> float | None:
        """US dollars for an agent: agents that are asked side by side share the rest of the run's limit."""
        if self._program.most is None:
            return None
        beside = next(wave for wave in self._plan.waves if step in wave)
        return (self._program.most - self._ledger.spent()) / sum(isinstance(each, AgentRunStep) for each in beside)

    def _check_estimate(self, prompt: str) -> None:
        limit, spent = self._program.limit, self._ledger.spent()
        estimate = len(prompt.encode(errors="replace")) * DOLLARS_A_BYTE
        if 0 < limit < spent + estimate:
            text = f"{COST_CAP}: {spent:.6g} of {limit:g} USD are spent, and the prompt may cost {estimate:.6g}"
            raise StepError(text, final=True)

    def _check_cost(self) -> None:
        limit, budget = self._program.limit, self._program.budget
        if budget is not None and budget - self._ledger.spent() < LEAST:
            raise StepError(NO_BUDGET, final=True)
        if 0 < limit <= self._ledger.spent():
            raise StepError(f"{COST_CAP}: {self._ledger.spent():.6g} of {limit:g} USD are spent", final=True)

    def _check_spent(self, path: str) -> None:
        limit = self._program.limit
        if 0 < limit < self._ledger.spent():
            raise _StepFailed(path, f"{COST_CAP}: {self._ledger.spent():.6g} of {limit:g} USD are spent")


def _rendered(text: str, values: Values) -> str:
    return render(text, values)


def _elements(text: str) -> list[Any]:
    try:
        elements = parsed(text, digits=False)
    except ValueError:
        elements = None
    if not isinstance(elements, list):
        raise StepError("items is no JSON array", final=True)
    if len(elements) > MOST_ELEMENTS:
        raise StepError(f"items has {len(elements)} elements, and at most {MOST_ELEMENTS}", final=True)
    return elements


def _as_json(output: str) -> Any:
    try:
        return exactly(output)
    except ValueError:
        return output


async def _together(bodies: Sequence[Callable[[], Coroutine[Any, Any, str]]], most: int) -> list[str]:
    """The outputs of bodies, of which at most so many run at once. After a failure no further body begins, and those
    under way end their work; a failure counts more than a pause.
    """
    results = list[Any]([None] * len(bodies))
    failures, pauses = list[BaseException](), list[_StepPaused]()
    waiting = iter(enumerate(bodies))

    async def lane() -> None:
        for n, body in waiting:
            try:
                results[n] = await body()
            except _StepPaused as pause:
                pauses.append(pause)
            except Exception as error:
                failures.append(error)
            if failures:
                return

    await asyncio.gather(*[lane() for _ in range(min(most, len(bodies)))])
    if failures:
        raise next((each for each in failures if not isinstance(each, _StepFailed)), failures[0])
    if pauses:
        dues = [pause.until for pause in pauses if pause.until is not None]
        raise _StepPaused(pauses[0].step, min(dues, default=None), waiting=all(pause.waiting for pause in pauses))
    return results
