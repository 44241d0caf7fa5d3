"""Carries a run of a routine on, until it ends or waits: the body of the job."""

import asyncio
import random
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from models.base import new_id
from models.staff.crews import NetworkMode
from models.work.routine_runs import RoutineRun, RoutineRunStatus
from models.work.routines.bodies import LONGEST_WINDOW
from models.work.routines.document import HttpStep, NotifyStep, QueryStep, Routine, Step
from models.work.routines.faults import RefusedRoutine
from models.work.routines.overriding import overridden
from models.work.routines.reading import read_routine
from models.work.routines.templates import Values, render
from resolvers.instance.telemetry import log
from resolvers.kernel.background.steps import Gone
from resolvers.work.routine_runs.advancing import ATTEMPTS, BegunRun, begin, end, pause, stop
from resolvers.work.routine_runs.figures import figures_of
from resolvers.work.routine_runs.notices import notify
from resolvers.work.routine_runs.recording import RunStoppedError
from runtime.engine.background import Work
from runtime.work.evaluation import Evaluator
from runtime.work.routines.failures import StepError, fingerprint
from runtime.work.routines.interpreter import Interpreter, Paused, RunEnd
from runtime.work.routines.ledger import Effect, RunProgram, StoppedError
from runtime.work.routines.recorded import RecordedLedger, storable
from runtime.work.routines.requests import RequestPolicy, send

UNREADABLE = "the definition cannot be read"
BROKEN = "the service failed repeatedly"
DAY = 24
"""Hours of the default window of a query (contract: routines-dsl.query)."""


async def carry_on(work: Work, run_id: str) -> None:
    begun = await _write(work, "begin", partial(begin, run_id=run_id))
    if isinstance(begun, RoutineRun):
        from runtime.work.routines.admitting import admit  # runs that begin at once do not need it

        begun = await _write(work, "begin", partial(begin, run_id=run_id)) if await admit(work, run_id) else None
    if not isinstance(begun, BegunRun):
        return
    try:
        read = await asyncio.to_thread(read_routine, begun.source)
    except RefusedRoutine:
        ending: RunEnd | Paused = RunEnd("failed", error=UNREADABLE)
    else:
        try:
            ending = await _interpreted(work, begun, overridden(read.routine, begun.run.overrides))
        except StoppedError:
            await _write(work, "stop", partial(stop, run_id=run_id))
            return
        except Gone:
            raise
        except Exception as error:
            if work.attempt < ATTEMPTS:
                raise
            log.error("a run of a routine was given up", run_id=run_id, error=type(error).__name__)
            ending = RunEnd("failed", error=BROKEN, failed_at=begun.run.current_step_id or "")
    if isinstance(ending, Paused):
        await _pause(work, run_id, ending)
    else:
        await _end(work, run_id, ending)


async def _interpreted(work: Work, begun: BegunRun, routine: Routine) -> RunEnd | Paused:
    run = begun.run
    env = {
        "author_crew_id": begun.routine.author_crew_id or "",
        "invoking_crew_id": run.invoking_crew_id or "",
        "invoking_agent_id": run.invoking_agent_id or "",
        "run_id": run.id,
        "pipeline_slug": begun.routine.slug,
        "is_replay": "true" if run.replay_of else "",
        "replay_of": run.replay_of or "",
    }
    metadata = run.run_metadata if run.started_metadata is None else run.started_metadata
    limits = (routine.max_cost_usd, begun.budget)
    program = RunProgram(run.id, routine, run.inputs, env, metadata, run.state, *limits, restricted=run.restricted)
    world = RoutineWorld(work, begun, routine)
    try:
        return await Interpreter(program, RecordedLedger(work, begun, routine), world).run()
    finally:
        await world.close()


async def _pause(work: Work, run_id: str, paused: Paused) -> None:
    again = await _write(work, "pause", partial(pause, run_id=run_id, waiting=paused.waiting))
    if again:
        work.again(work.now)
    elif paused.until is not None:
        work.again(paused.until)


async def _end(work: Work, run_id: str, ending: RunEnd) -> None:
    said: dict[str, Any] = {"output": ending.output, "error": ending.error, "failed_at": ending.failed_at}
    if ending.outcome == "failed":
        said["fingerprint"] = fingerprint(ending.failed_at, ending.error)
    await _write(work, "end", partial(end, run_id=run_id, status=RoutineRunStatus(ending.outcome), **said))


async def _write(work: Work, name: str, change: Any) -> Any:
    """The rows say what was done: a step of this name is no mark."""
    return await work.write(f"{name} {new_id()}", change)


class RoutineWorld:
    """The services that the steps of one run reach. The process for expressions starts with the first of them."""

    def __init__(self, work: Work, begun: BegunRun, routine: Routine) -> None:
        self._work, self._begun, crew = work, begun, begun.crew
        self._evaluator = Evaluator()
        mode = NetworkMode.restricted if begun.routine.author_crew_id else None  # of a deleted crew, too
        mode = mode if crew is None else crew.network_mode
        self._policy = RequestPolicy(
            NetworkMode.restricted if begun.run.restricted else mode,
            () if crew is None else crew.allowed_domains,
            routine.egress_targets,
        )

    def now(self) -> datetime:
        return self._work.now

    def part(self) -> float:
        return random.random()  # noqa: S311 - so that retries do not meet

    async def sleep(self, seconds: float) -> None:
        await self._work.sleep(seconds)

    async def evaluate(self, expression: str, kind: Any, variables: Mapping[str, Any]) -> Any:
        return await self._evaluator.evaluate(expression, kind, variables)

    async def reach(self, step: Step, values: Values, key: str) -> Effect:
        match step:
            case HttpStep():
                return Effect(await send(step, values, key, self._policy))
            case QueryStep(query=query):
                hours = min(query.window_hours or DAY, LONGEST_WINDOW)
                return Effect(await self._work.read(partial(figures_of, hours=hours)))
            case NotifyStep():
                return Effect(await self._notify(step, values, key.partition("/")[2]))
        raise StepError(f"steps of the type {step.type} are not supported", final=True)

    async def _notify(self, step: NotifyStep, values: Values, path: str) -> str:
        notice = step.notify
        said: dict[str, Any] = {
            "title": storable(render(notice.title or "", values)),
            "body": storable(render(notice.body or "", values)),
            "priority": notice.priority,
            "category": notice.category,
        }
        if not (said["title"].strip() or said["body"].strip()):
            raise StepError("the notice has neither a title nor a body", final=True)
        to = storable(render(notice.to, values))
        change = partial(notify, routine=self._begun.routine, run_id=self._begun.run.id, path=path, to=to, **said)
        try:
            return str(await _write(self._work, "notify", change))
        except RunStoppedError:
            raise StoppedError from None

    async def close(self) -> None:
        await self._evaluator.close()
