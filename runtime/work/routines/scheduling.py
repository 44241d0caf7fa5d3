"""The order of steps: one after the other, or in waves of all steps whose needs are done."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from models.work.routines.document import Routine, Step
from models.work.routines.templates import SKIPPED

SIDE_BY_SIDE: Final = 12
_NAMED: Final = re.compile(r"\bsteps\.([a-zA-Z0-9][a-zA-Z0-9_-]{0,63})")


@dataclass(frozen=True, slots=True)
class Plan:
    """A wave begins when the one before has ended. `graph` is false for steps one after the other."""

    waves: tuple[tuple[Step, ...], ...]
    graph: bool
    last: tuple[str, ...]
    """The steps that no step needs, in the order of the document."""

    @property
    def refused(self) -> str | None:
        """The reason why a run of this plan fails before its first step."""
        for step in self.steps:
            if self.graph and step.type == "call_pipeline":
                return f"step {step.id!r} calls a routine, which steps with needs cannot"
        return None

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for wave in self.waves for step in wave)


def plan_of(routine: Routine, *, linear: bool = False) -> Plan:
    """`linear`: one step after the other in any case, as in a dry run."""
    needs = {} if linear else needs_of(routine)
    order = tuple(step.id for step in routine.steps)
    if not needs:
        return Plan(tuple((step,) for step in routine.steps), False, order)
    levels = dict[str, int]()
    while len(levels) < len(order):  # the needs are no cycle: reading and `needs_of` see to it
        for id_ in order:
            if id_ not in levels and all(need in levels for need in needs[id_]):
                levels[id_] = max((levels[need] + 1 for need in needs[id_]), default=0)
    waves = tuple(
        tuple(step for step in routine.steps if levels[step.id] == level) for level in range(max(levels.values()) + 1)
    )
    needed = {need for each in needs.values() for need in each}
    return Plan(waves, True, tuple(id_ for id_ in order if id_ not in needed))


def needs_of(routine: Routine) -> dict[str, set[str]]:
    """The needs of each step; empty if the steps run one after the other."""
    steps, mode = routine.steps, routine.parallelism
    if mode == "off" or (mode == "auto" and any(step.type == "call_pipeline" for step in steps)):
        return {}
    needs = {step.id: set(step.needs) for step in steps}
    if mode == "explicit":
        return needs if any(needs.values()) else {}
    for step in steps:
        if step.needs:
            continue
        for named in dict.fromkeys(_NAMED.findall(step.model_dump_json(by_alias=True))):
            if named in needs and not _reaches(needs, named, step.id):
                needs[step.id].add(named)
    return needs


def _reaches(needs: Mapping[str, set[str]], start: str, goal: str) -> bool:
    """Returns true if `start` is `goal`, or needs it."""
    left, seen = [start], {start}
    while left:
        id_ = left.pop()
        if id_ == goal:
            return True
        left += needs[id_] - seen
        seen |= needs[id_]
    return False


def output_of(plan: Plan, outputs: Mapping[str, str]) -> str:
    """The output of a run: of the first last step that has one, else the last output of all."""
    if plan.graph:
        for id_ in plan.last:
            if _counts(outputs.get(id_, "")):
                return outputs[id_]
    for step in reversed(plan.steps):
        if _counts(outputs.get(step.id, "")):
            return outputs[step.id]
    return ""


def _counts(output: str) -> bool:
    return output not in ("", SKIPPED)
