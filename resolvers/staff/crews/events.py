"""Crews' containers: what they use, how they are built, which files change and which ports are open."""

from typing import Annotated, Literal

from pydantic import Field

from resolvers.kernel import Event, Routing
from resolvers.kernel.declarations.events import Distinct, Long, Time

ProvisionStep = Literal[
    "provision.start", "resolve_features", "image_build_start", "feature_install", "image_build_done",
    "container_create", "containerEnv_apply", "ready",
    "provision.cache_hit", "provision.failed",
]  # fmt: skip


StepStatus = Literal["started", "completed", "failed"]


class ContainerMeasured(Event, type="container.stats", channel="workspace:{workspace_id}"):
    """Sent every five seconds for each running container of a crew.

    Memory is in bytes; network traffic is in bytes since the start of the container.
    """

    container_id: str
    crew_id: str
    cpu_percent: float
    memory_used: Long
    memory_limit: Long
    memory_percent: float
    net_rx_bytes: Long
    net_tx_bytes: Long
    pids: int
    timestamp: Time


class ProvisionStartedEvent(Event, type="provision.started", channel="workspace:{workspace_id}"):
    """The build of a crew's container is planned: on request, or after a change, a message or an assignment."""

    crew_id: str
    steps: list[str]


class ProvisionAdvanced(Event, type="provision.progress", channel="workspace:{workspace_id}"):
    """A build has reached a step of its plan; `message` is the exact text of the step."""

    crew_id: str
    step: int
    total: int
    message: str


class ProvisionStepReported(Event, type="provision.event", channel="workspace:{workspace_id}"):
    """Progress of a build, or of preparing a container for a run."""

    crew_id: str
    phase: str
    step: Annotated[ProvisionStep, Distinct("step_name")]
    feature: str | None = None
    status: Annotated[StepStatus | None, Distinct("step_status")] = None
    detail: str | None = None
    error: Annotated[str | None, Distinct("step_error")] = None
    tag: str | None = None
    duration_ms: Long | None = None


class ProvisionCompleted(Event, type="provision.completed", channel="workspace:{workspace_id}"):
    """A build has completed; the crew's container starts from this image."""

    crew_id: str
    cached_image: str
    config_hash: str


class ProvisionFailed(Event, type="provision.failed", channel="workspace:{workspace_id}"):
    """A build has failed."""

    crew_id: str
    error: str


class FileChanged(Event, type="file.event", channel="crew:{crew_id}"):
    """A file in the crew's output folder was created, changed or deleted by an agent or the service.

    `size` is in bytes.
    """

    crew_id: Annotated[str, Routing()]
    event: Literal["file_created", "file_modified", "file_deleted"]
    path: str
    agent: Annotated[str, Field(description="The first part of the path.")]
    size: Long
    timestamp: Time
