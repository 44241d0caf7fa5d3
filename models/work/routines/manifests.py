"""The manifest of a definition: what it reaches and needs, and why it would have to be reviewed."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from models.work.routines.checks import placed
from models.work.routines.document import (
    AgentRunStep,
    CallPipelineStep,
    CodeStep,
    CrewshipStep,
    HttpStep,
    Routine,
)
from models.work.routines.faults import Path

UNMET = "unmet_integration:"
AS_AGENT = frozenset({"issue.comment"})
"""Actions that require an author agent (contract: routines-dsl, crewship.verbs)."""


class RiskReason(StrEnum):
    """The reasons for a review, in their order; an integration that the crew lacks follows as `unmet_integration:`."""

    egress_targets = "egress_targets"
    http_step = "http_step"
    code_step = "code_step"
    credentials_required = "credentials_required"


def manifest_of(routine: Routine) -> dict[str, Any]:
    """contract: routines.Manifest. Lists are sorted, without duplicates."""
    steps = [step for _, step in placed(routine)]
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


def agents_named(routine: Routine) -> Iterator[tuple[Path, str]]:
    """The slugs of agents, each with its place."""
    for path, step in placed(routine):
        if isinstance(step, AgentRunStep):
            yield (*path, "agent_slug"), step.agent_slug
        if step.outcomes is not None:
            yield (*path, "outcomes", "grader_agent_slug"), step.outcomes.grader_agent_slug


def acts_as_agent(routine: Routine) -> Iterator[tuple[Path, str]]:
    """The actions that only an agent takes, each with its place."""
    for path, step in placed(routine):
        if isinstance(step, CrewshipStep) and step.action in AS_AGENT:
            yield (*path, "action"), step.action


def risks_of(routine: Routine, manifest: dict[str, Any], offered: Iterable[str] | None) -> list[str]:
    """The reasons for a review, in the order of the contract. `offered`: names of the crew's integrations; without a
    crew, none is required.
    """
    found = {
        RiskReason.egress_targets: bool(routine.egress_targets),
        RiskReason.http_step: manifest["has_http"],
        RiskReason.code_step: manifest["has_code"],
        RiskReason.credentials_required: bool(routine.credentials_required),
    }
    reasons = [reason.value for reason, holds in found.items() if holds]
    if offered is None:
        return reasons
    known = {name.strip().lower() for name in offered}
    unmet = [name for name in dict.fromkeys(routine.integrations_required) if name not in known]
    return reasons + [f"{UNMET}{name}" for name in unmet]


def _host(url: str) -> str | None:
    """The host of an address, unless it is only known when the step runs."""
    try:
        host = urlsplit(url.strip()).hostname
    except ValueError:
        return None
    return None if not host or "{" in host or "}" in host else host


def _distinct(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [dict(row) for row in sorted({tuple(sorted(row.items())) for row in rows})]
