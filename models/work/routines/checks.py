"""Checks between the parts of a document: ids, needs, references, and what steps may stand where.

Stricter than the public server, because a fault is cheaper when a document is saved than when it runs: inputs have
known types and fitting defaults, conditions are valid CEL, and the texts of hooks and `state_write` are checked, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from models.work.routines.document import (
    AgentRunStep,
    CallPipelineStep,
    CrewshipStep,
    ForeachStep,
    Routine,
    Step,
)
from models.work.routines.expressions import fault_in
from models.work.routines.faults import Found, Path
from models.work.routines.inputs import unfit_for
from models.work.routines.sites import Site, expressions, sites
from models.work.routines.templates import Reach, fault_of, literal, near, references

IN_HOOKS = ("http", "code", "transform")
NOT_IN_LOOPS = ("wait", "call_pipeline", "foreach")
MOST_EXPRESSIONS = 128 << 10
"""Characters of all expressions of a document: compiling these takes about a second."""


@dataclass(frozen=True, slots=True)
class Partial:
    """A document whose faulty parts were replaced: `broken` has the paths of steps that only stand for their ids,
    and the inputs are unknown if their list is faulty.
    """

    routine: Routine
    broken: frozenset[Path] = frozenset()
    inputs_known: bool = True


def faults_of(partial: Partial) -> Iterator[Found]:
    """All faults that a document has beyond the shape of its parts, one at a time: a caller may want only the first."""
    routine = partial.routine
    length = sum(len(text) for _, step in placed(routine) for _, text, _ in expressions(step))
    if length > MOST_EXPRESSIONS:
        yield Found((), f"all expressions have {length} characters, and at most {MOST_EXPRESSIONS}")
        return
    names = frozenset(each.name for each in routine.inputs) if partial.inputs_known else None
    if partial.inputs_known:
        yield from _of_inputs(routine)
    yield from _of_needs(routine.steps, ("steps",))
    sure = _sure(routine.steps)
    for n, step in enumerate(routine.steps):
        path: Path = ("steps", n)
        if path in partial.broken:
            continue
        yield from _of_step(step, path, names, sure[n])
        yield from _of_hooks(step, path, names, sure[n])
        if isinstance(step, ForeachStep):
            yield from _of_loop(step, path, names, sure[n])
        if isinstance(step, CallPipelineStep) and step.pipeline_slug == routine.name:
            yield Found((*path, "pipeline_slug"), f"step {step.id!r} calls its own routine")
    for hook in ("before_all", "after_all", "on_failure"):
        each = getattr(routine.hooks, hook)
        if each is not None:
            yield from _of_hook(each, ("hooks", hook), names, frozenset())
    yield from _of_key(routine, names)
    if routine.agentless:
        yield from _of_agents(routine, partial.broken)


def _of_inputs(routine: Routine) -> Iterator[Found]:
    seen: set[str] = set()
    for n, each in enumerate(routine.inputs):
        if each.name in seen:
            yield Found(("inputs", n, "name"), f"the input {each.name!r} is declared twice")
        seen.add(each.name)
        if each.default is not None and (text := unfit_for(each, each.default)) is not None:
            yield Found(("inputs", n, "default"), f"the default of {each.name!r} {text}")


def _of_needs(steps: Sequence[Step], path: Path) -> Iterator[Found]:
    ids = {step.id for step in steps}
    seen: set[str] = set()
    graph: dict[str, list[str]] = {}
    for n, step in enumerate(steps):
        if step.id in seen:
            yield Found((*path, n, "id"), f"duplicate step id {step.id!r}")
            continue
        seen.add(step.id)
        graph[step.id] = []
        for k, need in enumerate(step.needs):
            if need == step.id:
                yield Found((*path, n, "needs", k), f"step {step.id!r} needs itself")
            elif need not in ids:
                yield Found(
                    (*path, n, "needs", k), f"step {step.id!r} needs the unknown step {need!r}{near(need, ids)}"
                )
            else:
                graph[step.id].append(need)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = [str(each) for each in error.args[1]]
        first = min(range(len(steps)), key=lambda n: (steps[n].id not in cycle, n))
        yield Found((*path, first, "needs"), f"the needs of these steps are a cycle: {' -> '.join(cycle)}")


def _sure(steps: Sequence[Step]) -> list[frozenset[str]]:
    """For each step, the ids of the steps that have run or been skipped before it."""
    if not any(step.needs for step in steps):
        before: list[frozenset[str]] = []
        ids: frozenset[str] = frozenset()
        for step in steps:
            before.append(ids)
            ids |= {step.id}
        return before
    needs = {step.id: dict.fromkeys(step.needs) for step in steps}
    reached: dict[str, frozenset[str]] = {}
    try:
        for id_ in TopologicalSorter(needs).static_order():
            found: set[str] = set()
            for need in needs.get(id_, ()):
                if need not in found:
                    found |= reached[need] | {need}
            reached[id_] = frozenset(found)
    except CycleError:
        return [frozenset(needs)] * len(steps)  # the cycle is the fault
    return [reached[step.id] for step in steps]


def _of_step(step: Step, path: Path, names: frozenset[str] | None, before: frozenset[str]) -> Iterator[Found]:
    for site in sites(step):
        yield from _of_text(site, path, names, before | {step.id} if site.after else before)
    for place, expression, kind in expressions(step):
        if (text := fault_in(expression, kind)) is not None:
            yield Found((*path, *place), text)
    if step.outcomes is not None and not isinstance(step, AgentRunStep):
        yield Found((*path, "outcomes"), f"only steps of type agent_run have outcomes, and {step.id!r} is {step.type}")


def _of_text(site: Site, path: Path, names: frozenset[str] | None, before: frozenset[str]) -> Iterator[Found]:
    reach = Reach(names, before, foreign=site.foreign)
    for reference in dict.fromkeys(references(site.text)):
        if (text := fault_of(reference, reach)) is not None:
            yield Found((*path, *site.path), text)


def _of_hooks(step: Step, path: Path, names: frozenset[str] | None, before: frozenset[str]) -> Iterator[Found]:
    for hook, reached in (("before", before), ("after", before | {step.id})):
        each = getattr(step.hooks, hook)
        if each is not None:
            yield from _of_hook(each, (*path, "hooks", hook), names, reached)


def _of_hook(hook: Step, path: Path, names: frozenset[str] | None, before: frozenset[str]) -> Iterator[Found]:
    if hook.type not in IN_HOOKS:
        yield Found((*path, "type"), f"a hook is of type http, code or transform, and not {hook.type}")
    elif hook.hooks.before is not None or hook.hooks.after is not None:
        yield Found((*path, "hooks"), "a hook has no hooks")
    else:
        yield from _of_step(hook, path, names, before)


def _of_loop(step: ForeachStep, path: Path, names: frozenset[str] | None, before: frozenset[str]) -> Iterator[Found]:
    body, place = step.foreach.steps, (*path, "foreach", "steps")
    inside = names | {step.foreach.item_name} if names is not None else None
    yield from _of_needs(body, place)
    reached = before
    for n, each in enumerate(body):
        if each.type in NOT_IN_LOOPS:
            yield Found((*place, n, "type"), f"a step of type {each.type} cannot be in the body of a foreach")
        else:
            yield from _of_step(each, (*place, n), inside, reached)
            yield from _of_hooks(each, (*place, n), inside, reached)
        reached |= {each.id}


def _of_key(routine: Routine, names: frozenset[str] | None) -> Iterator[Found]:
    key = routine.concurrency_key
    if key is None:
        return
    reach = Reach(names, frozenset(), namespaces=("inputs",))
    named = list(dict.fromkeys(references(key)))
    faults = [text for each in named if (text := fault_of(each, reach)) is not None]
    yield from (Found(("concurrency_key",), text) for text in faults)
    if faults or names is None or literal(key).strip():
        return
    sure = {f"inputs.{each.name}" for each in routine.inputs if each.required or each.default not in (None, "")}
    if not sure & set(named):
        text = "the key can be empty: name an input that is required or has a default, or add a literal text"
        yield Found(("concurrency_key",), text)


def _of_agents(routine: Routine, broken: frozenset[Path]) -> Iterator[Found]:
    for path, step in placed(routine):
        if path not in broken and isinstance(step, (AgentRunStep, CallPipelineStep, CrewshipStep)):
            yield Found((*path, "type"), f"a routine without agents has no step of type {step.type}")
    if routine.evaluation.online.sample_rate > 0:
        yield Found(("eval", "online", "sample_rate"), "a routine without agents is not judged by one")


def placed(routine: Routine) -> Iterator[tuple[Path, Step]]:
    """All steps with their paths: also hooks, and the bodies of loops at any depth."""
    left: list[tuple[Path, Step | None]] = [(("steps", n), step) for n, step in enumerate(routine.steps)]
    left += [(("hooks", name), getattr(routine.hooks, name)) for name in ("before_all", "after_all", "on_failure")]
    while left:
        path, step = left.pop()
        if step is None:
            continue
        yield path, step
        left += [((*path, "hooks", "before"), step.hooks.before), ((*path, "hooks", "after"), step.hooks.after)]
        if isinstance(step, ForeachStep):
            left += [((*path, "foreach", "steps", n), each) for n, each in enumerate(step.foreach.steps)]
