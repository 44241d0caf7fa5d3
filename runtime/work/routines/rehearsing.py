"""Walks a routine without executing it, and executes single steps by themselves. Neither is recorded."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from models.bounds import CONFIG, cut
from models.work.routines.document import AgentRunStep, CallPipelineStep, HttpStep, Routine, Step, TransformStep
from models.work.routines.reading import read_routine
from models.work.routines.sites import sites
from models.work.routines.templates import SKIPPED, RenderedTooLargeError, Values, render
from resolvers.instance.ports import RoutineTrial, TriedStep, WalkedRoutine, WalkedStep
from resolvers.rules.content_scan import scan
from runtime.work.evaluation import Evaluator
from runtime.work.routines.conditions import is_met
from runtime.work.routines.failures import StepError
from runtime.work.routines.recorded import storable
from runtime.work.routines.requests import RequestPolicy, send
from runtime.work.routines.transforming import transform

DRY: Final = "<dry-run>"
"""The output of every step of a walk (contract: routines.dry_run)."""
MOST_TEXT: Final = 32 << 20
"""Characters that one walk renders in all."""
MOST_PROMPTS: Final = 4 << 20
"""Characters of all prompts in the answer."""
SECONDS: Final = 30.0
LONGEST_ATTEMPT: Final = 120.0
TOO_LONG: Final = "the conditions take too long"
TOO_MUCH: Final = "the texts of the steps are too large together"
_DOLLARS_PER_BYTE: Final = 1.25 / 4 / 1_000_000
"""contract: routines-dsl.cost"""


class _TooMuchError(Exception):
    """The texts of a walk exceed its limits."""


@dataclass
class _Rendering:
    """Renders texts of a walk, within limits."""

    values: Values
    left: int = MOST_TEXT
    prompts: int = MOST_PROMPTS

    def text(self, text: str) -> str:
        shown = render(text, self.values)
        self.left -= len(shown)
        if self.left < 0:
            raise _TooMuchError
        return shown

    def step(self, step: Step, prompt: str | None) -> WalkedStep:
        """Renders all texts of a step, for the faults of their sizes; only a prompt is kept."""
        for site in sites(step):
            if not site.after and not (isinstance(step, AgentRunStep) and site.path == ("prompt",)):
                self.text(site.text)
        if isinstance(step, AgentRunStep):
            asked = self.text(step.prompt if prompt is None else prompt)
            self.prompts -= len(asked)
            if self.prompts < 0:
                raise _TooMuchError
            cost = len(asked.encode(errors="replace")) * _DOLLARS_PER_BYTE
            return WalkedStep(step.id, step.type, agent=step.agent_slug, prompt=asked, cost_usd=cost)
        called = step.pipeline_slug if isinstance(step, CallPipelineStep) else None
        return WalkedStep(step.id, step.type, routine=called)


async def walk(trial: RoutineTrial) -> WalkedRoutine:
    """Steps in the order of the document: conditions are judged, and each step that would be executed has the output
    `<dry-run>`.
    """
    routine = (await asyncio.to_thread(read_routine, trial.source)).routine
    outputs = dict(trial.outputs)
    rendering = _Rendering(_values(trial, outputs))
    evaluator, steps, current = Evaluator(), list[WalkedStep](), ""
    try:
        async with asyncio.timeout(SECONDS):
            for step in routine.steps:
                current = step.id
                if not await is_met(step.condition, rendering.values, evaluator.evaluate):
                    outputs[step.id] = SKIPPED
                    continue
                steps.append(await asyncio.to_thread(rendering.step, step, trial.prompts.get(step.id)))
                outputs[step.id] = DRY
    except (RenderedTooLargeError, _TooMuchError, TimeoutError) as error:
        reason = str(error) if isinstance(error, RenderedTooLargeError) else TOO_MUCH
        reason = TOO_LONG if isinstance(error, TimeoutError) else reason
        return WalkedRoutine(steps, outputs, failed_at=current, error=reason)
    finally:
        await evaluator.close()
    return WalkedRoutine(steps, outputs, output=DRY if steps else "")


async def attempt(trial: RoutineTrial, step_id: str) -> TriedStep:
    """One attempt at a step, without its condition, hooks and retries, and without writing state."""
    routine = (await asyncio.to_thread(read_routine, trial.source)).routine
    step = next(each for each in routine.steps if each.id == step_id)
    if isinstance(step, AgentRunStep):
        return await asyncio.to_thread(_prompt, routine, step, trial)
    try:
        async with asyncio.timeout(LONGEST_ATTEMPT):
            return TriedStep(await _attempted(routine, step, trial))
    except (StepError, RenderedTooLargeError) as error:
        return TriedStep(error=str(error))
    except TimeoutError:
        return TriedStep(error=f"the step takes more than {LONGEST_ATTEMPT:g} seconds")


def _prompt(routine: Routine, step: AgentRunStep, trial: RoutineTrial) -> TriedStep:
    """The text for an agent, with the guard of a run (contract: routines-dsl.document.guardrails)."""
    try:
        prompt = render(trial.prompts.get(step.id, step.prompt), _values(trial, trial.outputs))
    except RenderedTooLargeError as error:
        return TriedStep(error=str(error))
    if not prompt.strip():
        return TriedStep(error="the prompt is empty")
    found = scan(prompt) if routine.guardrails.input.prompt_injection.action == "block" else None
    if found is not None:
        return TriedStep(error=f"the prompt may try to steer the agent ({found.pattern})")
    return TriedStep(prompt=cut(storable(prompt), CONFIG))


async def _attempted(routine: Routine, step: Any, trial: RoutineTrial) -> str:
    values = _values(trial, trial.outputs)
    match step:
        case TransformStep(transform=body):
            text = await asyncio.to_thread(render, body.input, values)
            return await asyncio.to_thread(transform, text, body.expression)
        case HttpStep():
            policy = RequestPolicy(trial.network, trial.domains, routine.egress_targets)
            return await send(step, values, f"{trial.run_id}/{step.id}", policy)
    raise StepError(f"steps of the type {step.type} are not tried by themselves", final=True)


def _values(trial: RoutineTrial, outputs: Mapping[str, str]) -> Values:
    return Values(inputs=trial.inputs, outputs=outputs, env=trial.env, state=trial.state)
