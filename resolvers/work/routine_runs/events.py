"""Events of runs of routines, and of their steps."""

from enum import StrEnum
from typing import Annotated

from resolvers.kernel import Event
from resolvers.kernel.declarations.events import Distinct

WORKSPACE = "workspace:{workspace_id}"


class ResumeReason(StrEnum):
    """The reason for which a run continues."""

    approval = "approval"
    signal = "signal"


class RoutineFailure(StrEnum):
    """The kinds of ends of a run that did not complete."""

    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class OfRoutineRun(Event):
    """The keys that all events of runs have."""

    pipeline_id: str
    pipeline_slug: str
    run_id: str


class RoutineRunStarted(OfRoutineRun, type="pipeline.run.started", channel=WORKSPACE):
    """A run of a routine began, or continues after a decision or a signal: `resumed` is true then."""

    mode: str
    author_crew_id: str
    invoking_crew_id: str
    invoking_agent_id: str
    step_count: int
    resumed: bool | None = None
    resume_reason: ResumeReason | None = None
    restored_steps: int | None = None


class RoutineStepStarted(OfRoutineRun, type="pipeline.step.started", channel=WORKSPACE):
    """A step of a run began. `tier_adapter` and `tier_model` are empty for steps without a model."""

    step_id: str
    step_index: int
    step_type: str
    tier_adapter: str
    tier_model: str


class RoutineStepCompleted(OfRoutineRun, type="pipeline.step.completed", channel=WORKSPACE):
    """A step of a run ended; `output_preview` is the beginning of its output."""

    step_id: str
    output_preview: str
    duration_ms: Annotated[int, Distinct("step_duration_ms")]
    cost_usd: float


class RoutineStepSkipped(OfRoutineRun, type="pipeline.step.skipped", channel=WORKSPACE):
    """The condition of a step was false."""

    step_id: str
    condition: str


class RoutineStepRetrying(OfRoutineRun, type="pipeline.step.retrying", channel=WORKSPACE):
    """An attempt at a step failed, and another one follows after `sleep_ms`."""

    step_id: str
    attempt: int
    max: int
    error_message_preview: str
    sleep_ms: int


class RoutineApprovalDecided(OfRoutineRun, type="waitpoint.decided", channel=WORKSPACE):
    """A person decided what a run waits for."""

    step_id: str
    approved: bool


class RoutineRunCompleted(OfRoutineRun, type="pipeline.run.completed", channel=WORKSPACE):
    """A run of a routine ended well."""

    total_duration_ms: int
    total_cost_usd: float


class RoutineRunFailed(OfRoutineRun, type="pipeline.run.failed", channel=WORKSPACE):
    """A run of a routine failed, or was cancelled."""

    failed_at_step: str
    error_message: str
    status: Annotated[RoutineFailure, Distinct("routine_status")]


class RoutineTriggerChanged(Event, type="pipeline.trigger.changed", channel=WORKSPACE):
    """A schedule or a webhook of a routine has a new outcome, or the service disabled it. `id` names it."""

    id: str


class RoutineRunsQueued(Event, type="pipeline.runs.queued", channel=WORKSPACE):
    """Runs of a routine wait for their time: `run_count` of them, of the batch if there is one."""

    pipeline_id: str
    pipeline_slug: str
    run_count: int
    batch_id: str | None = None


class RoutineBatchCancelled(Event, type="pipeline.batch.cancelled", channel=WORKSPACE):
    """A batch was cancelled: `run_count` of its runs had not begun, and never will."""

    pipeline_id: str
    pipeline_slug: str
    run_count: int
    batch_id: str | None = None


class ChainDepthExceeded(Event, type="automation.depth_exceeded", channel=WORKSPACE):
    """A run was refused: too many runs lead to it, each started by an agent of the one before."""

    chain_depth: int
    max_chain_depth: int
    chain_origin: str
    edge: str


RUN_EVENTS = (
    RoutineRunStarted,
    RoutineStepStarted,
    RoutineStepCompleted,
    RoutineStepSkipped,
    RoutineStepRetrying,
    RoutineRunCompleted,
    RoutineRunFailed,
)
RUN_ENDS = (RoutineRunFailed, RoutineRunCompleted)
