"""Runs of pipelines, and their steps."""

from typing import Literal

from resolvers.kernel import Event, Long


class PipelineRunEvent(Event):
    """What every event of a pipeline's run says."""

    pipeline_id: str
    pipeline_slug: str
    run_id: str


class PipelineRunStarted(
    PipelineRunEvent, type="pipeline.run.started", channel="workspace:{workspace_id}", planned=True
):
    """A pipeline run has started: on request, by schedule, by webhook, or as a replay."""

    mode: str
    author_crew_id: str
    invoking_crew_id: str
    invoking_agent_id: str
    step_count: int
    inputs_preview: str


class PipelineRunResumed(
    PipelineRunEvent, type="pipeline.run.started", channel="workspace:{workspace_id}", planned=True
):
    """A pipeline run has resumed after a restart of the service or the approval of a waitpoint."""

    mode: str
    author_crew_id: str
    invoking_crew_id: str
    invoking_agent_id: str
    step_count: int
    resumed: Literal[True]
    resume_reason: Literal["restart", "approval"]
    restored_steps: int


class PipelineRunCompleted(
    PipelineRunEvent, type="pipeline.run.completed", channel="workspace:{workspace_id}", planned=True
):
    """A pipeline run has completed. Costs are in US dollars."""

    total_duration_ms: Long
    total_cost_usd: float


class PipelineRunFailed(PipelineRunEvent, type="pipeline.run.failed", channel="workspace:{workspace_id}", planned=True):
    """A pipeline run has failed."""

    failed_at_step: str
    error_message: str


class PipelineStepStarted(
    PipelineRunEvent, type="pipeline.step.started", channel="workspace:{workspace_id}", planned=True
):
    """A step of a pipeline has started."""

    step_id: str
    step_index: int
    step_type: str
    tier_adapter: str
    tier_model: str


class PipelineStepCompleted(
    PipelineRunEvent, type="pipeline.step.completed", channel="workspace:{workspace_id}", planned=True
):
    """A step of a pipeline has completed. Costs are in US dollars."""

    step_id: str
    output_preview: str
    duration_ms: Long
    cost_usd: float


class PipelineStepSkipped(
    PipelineRunEvent, type="pipeline.step.skipped", channel="workspace:{workspace_id}", planned=True
):
    """A step of a pipeline was skipped because its condition is not met."""

    step_id: str
    condition: str


class PipelineStepRetried(
    PipelineRunEvent, type="pipeline.step.retry", channel="workspace:{workspace_id}", planned=True
):
    """A step of a pipeline has failed and will be retried after a pause."""

    step_id: str
    attempt: int
    error_message_preview: str
    sleep_ms: Long


class PipelineStepFailed(
    PipelineRunEvent, type="pipeline.step.failed", channel="workspace:{workspace_id}", planned=True
):
    """A step of a pipeline has failed permanently."""

    step_id: str
    error_class: str
    error_message_preview: str


class PipelineStepRejected(
    PipelineRunEvent, type="pipeline.step.validation_failed", channel="workspace:{workspace_id}", planned=True
):
    """The output of a pipeline step did not pass its validation; `action` is the consequence."""

    step_id: str
    reason: str
    action: str


class PipelineWaitpointCreated(
    PipelineRunEvent, type="pipeline.waitpoint.created", channel="workspace:{workspace_id}", planned=True
):
    """A pipeline run is waiting for a user to continue it."""
