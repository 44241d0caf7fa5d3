"""The manifest of a definition: what it reaches and needs, and why it would have to be reviewed."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from models.work.routines.document import (
    AgentRunStep,
    BaseStep,
    CallPipelineStep,
    CodeStep,
    ForeachStep,
    HttpStep,
    Routine,
)

UNMET = "unmet_integration:"


class RiskReason(StrEnum):
    """The reasons for a review, in their order; an integration that the crew lacks follows as `unmet_integration:`."""

    egress_targets = "egress_targets"
    http_step = "http_step"
    code_step = "code_step"
    credentials_required = "credentials_required"


def steps_of(routine: Routine) -> Iterator[BaseStep]:
    """All steps: hooks and the bodies of loops, too, at any depth."""
    left: list[BaseStep | None] = [*routine.steps]
    left += [routine.hooks.before_all, routine.hooks.after_all, routine.hooks.on_failure]
    while left:
        step = left.pop()
        if step is None:
            continue
        yield step
        left += [step.hooks.before, step.hooks.after]
        if isinstance(step, ForeachStep):
            left += step.foreach.steps


def manifest_of(routine: Routine) -> dict[str, Any]:
    """contract: routines.Manifest. Lists are sorted, without duplicates."""
    steps = list(steps_of(routine))
    requests = [step.http for step in steps if isinstance(step, HttpStep)]
    agents = [step.agent_slug for step in steps if isinstance(step, AgentRunStep)]
    agents += [step.outcomes.grader_agent_slug for step in steps if step.outcomes is not None]
    runtimes = [{"type": step.code.runtime} for step in steps if isinstance(step, CodeStep)]
    return {
        "integrations": sorted(set(routine.integrations_required)),
        "egress": sorted({*routine.egress_targets, *filter(None, (_host(each.url) for each in requests))}),
        "credentials": _distinct(each.model_dump(exclude_none=True) for each in routine.credentials_required),
        "agents": sorted(set(agents)),
        "routines": sorted({step.pipeline_slug for step in steps if isinstance(step, CallPipelineStep)}),
        "datastores": _distinct(each.model_dump(exclude_none=True) for each in routine.resources.datastores),
        "tools": _distinct([*(each.model_dump(exclude_none=True) for each in routine.resources.tools), *runtimes]),
        "has_http": bool(requests),
        "has_code": any(isinstance(step, CodeStep) for step in steps),
    }


def risks_of(routine: Routine, manifest: dict[str, Any], offered: Iterable[str]) -> list[str]:
    """The reasons for a review, in the order of the contract. `offered`: names of the crew's integrations."""
    found = {
        RiskReason.egress_targets: bool(routine.egress_targets),
        RiskReason.http_step: manifest["has_http"],
        RiskReason.code_step: manifest["has_code"],
        RiskReason.credentials_required: bool(routine.credentials_required),
    }
    known = {name.strip().lower() for name in offered}
    unmet = [name for name in dict.fromkeys(routine.integrations_required) if name not in known]
    return [reason.value for reason, holds in found.items() if holds] + [f"{UNMET}{name}" for name in unmet]


def _host(url: str) -> str | None:
    """The host of an address, unless it is only known when the step runs."""
    try:
        host = urlsplit(url.strip()).hostname
    except ValueError:
        return None
    return None if not host or "{" in host or "}" in host else host


def _distinct(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [dict(row) for row in sorted({tuple(sorted(row.items())) for row in rows})]
