"""Runs of pipelines, and their steps."""

from typing import Literal

from resolvers.kernel import Event, Long


class PipelineRunEvent(Event):
    """What every event of a pipeline's run says."""

    pipeline_id: str
    pipeline_slug: str
    run_id: str


class PipelineRunStarted(PipelineRunEvent, type="pipeline.run.started", channel="workspace:{workspace_id}", planned=True):
    """A pipeline begins to run: asked for, scheduled, triggered by a webhook, or replayed."""

    mode: str
    author_crew_id: str
    invoking_crew_id: str
    invoking_agent_id: str
    step_count: int
    inputs_preview: str


class PipelineRunResumed(PipelineRunEvent, type="pipeline.run.started", channel="workspace:{workspace_id}", planned=True):
    """A pipeline's run goes on, after a restart of the service or because a waitpoint was approved."""

    mode: str
    author_crew_id: str
    invoking_crew_id: str
    invoking_agent_id: str
    step_count: int
    resumed: Literal[True]
    resume_reason: Literal["restart", "approval"]
    restored_steps: int


class PipelineRunCompleted(PipelineRunEvent, type="pipeline.run.completed", channel="workspace:{workspace_id}", planned=True):
    """A pipeline's run has ended well. Costs are US dollars."""

    total_duration_ms: Long
    total_cost_usd: float


class PipelineRunFailed(PipelineRunEvent, type="pipeline.run.failed", channel="workspace:{workspace_id}", planned=True):
    """A pipeline's run has failed."""

    failed_at_step: str
    error_message: str


class PipelineStepStarted(PipelineRunEvent, type="pipeline.step.started", channel="workspace:{workspace_id}", planned=True):
    """A step of a pipeline begins."""

    step_id: str
    step_index: int
    step_type: str
    tier_adapter: str
    tier_model: str


class PipelineStepCompleted(PipelineRunEvent, type="pipeline.step.completed", channel="workspace:{workspace_id}", planned=True):
    """A step of a pipeline has ended well. Costs are US dollars."""

    step_id: str
    output_preview: str
    duration_ms: Long
    cost_usd: float


class PipelineStepSkipped(PipelineRunEvent, type="pipeline.step.skipped", channel="workspace:{workspace_id}", planned=True):
    """A step of a pipeline is left out, because its condition does not hold."""

    step_id: str
    condition: str


class PipelineStepRetried(PipelineRunEvent, type="pipeline.step.retry", channel="workspace:{workspace_id}", planned=True):
    """A step of a pipeline has failed and is tried again after a pause."""

    step_id: str
    attempt: int
    error_message_preview: str
    sleep_ms: Long


class PipelineStepFailed(PipelineRunEvent, type="pipeline.step.failed", channel="workspace:{workspace_id}", planned=True):
    """A step of a pipeline has failed for good."""

    step_id: str
    error_class: str
    error_message_preview: str


class PipelineStepRejected(PipelineRunEvent, type="pipeline.step.validation_failed", channel="workspace:{workspace_id}", planned=True):
    """What a step of a pipeline has put out does not pass its validation; `action` says what is done about it."""

    step_id: str
    reason: str
    action: str


class PipelineWaitpointCreated(PipelineRunEvent, type="pipeline.waitpoint.created", channel="workspace:{workspace_id}", planned=True):
    """A pipeline's run waits until somebody lets it go on."""
