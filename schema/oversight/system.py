"""GraphQL: the server about itself."""

import strawberry

from models.staff.agents import CliAdapter
from resolvers.instance.license import Edition
from resolvers.oversight import system as system_ops
from resolvers.oversight.system import aux_models, runtimes
from resolvers.rules.coding_agents import FoundCodingAgent
from schema.bridge.fields import output, query


@output(system_ops.SetupStatus)
class SetupStatusType:
    """Whether the first user still has to be created, and whether sign-up is allowed."""

    needs_bootstrap: bool
    allow_signup: bool


@output(system_ops.Telemetry)
class TelemetryType:
    """`installId`: 32 hex digits, empty before the first consent."""

    enabled: bool
    install_id: str


@output(system_ops.Version)
class VersionType:
    """The release of this server; `latest` and `url` are null if the newest release is not known."""

    current: str
    latest: str | None
    newer: bool
    url: str | None


@output(system_ops.License)
class LicenseType:
    """The current license and its limits; a limit of zero or less means unlimited."""

    edition: Edition
    license_id: str
    licensee_org: str
    max_crews: int
    max_agents_per_crew: int
    max_members: int
    features: list[str]


@output(system_ops.Engine)
class EngineType:
    """The process that answers. `uptime` is a duration such as `1h2m3.5s`; `connections` are its open WebSockets."""

    status: str
    uptime: str
    connections: int


@output(runtimes.FoundRuntime)
class FoundRuntimeType:
    """What workers run agents' commands with. `socket` is empty: nothing is run by a daemon."""

    runtime: str
    version: str
    socket: str


@output(runtimes.InstallLinks)
class InstallLinksType:
    """Where runtimes come from. This release uses bubblewrap."""

    bubblewrap: str
    docker: str
    podman: str
    colima: str
    orbstack: str
    apple: str


@output(FoundCodingAgent)
class FoundCodingAgentType:
    """A coding agent that agents can be set to. `missing`: why no worker can run it; `fix`: how to get it."""

    adapter: CliAdapter
    name: str
    installed: bool
    version: str | None
    missing: str | None
    fix: str | None


@output(system_ops.Runtime)
class RuntimeType:
    """`available`: there is a worker that runs agents' commands. `installLinks` is null then.

    `languageVersion` and `uptimeSeconds` are of the process that answers.
    """

    available: bool
    runtime: str | None
    version: str | None
    socket: str | None
    runtimes: list[FoundRuntimeType]
    install_links: InstallLinksType | None
    coding_agents: list[FoundCodingAgentType]
    language_version: str
    uptime_seconds: int


@output(aux_models.AuxModel)
class AuxModelType:
    """What does the tasks of a slot. Provider and model are empty, and the timeout is 0, if it is unconfigured."""

    slot: aux_models.AuxSlot
    provider: str
    model: str
    timeout_ms: int
    source: aux_models.AuxSource


@output(system_ops.AuxSlots)
class AuxSlotsType:
    """The models of auxiliary tasks."""

    slots: list[AuxModelType]


@strawberry.type
class SystemQuery:
    setup_status = query(system_ops.setup_status, SetupStatusType)
    telemetry = query(system_ops.telemetry, TelemetryType)
    version = query(system_ops.version, VersionType)
    license = query(system_ops.license, LicenseType)
    engine = query(system_ops.engine, EngineType)
    runtime = query(system_ops.runtime, RuntimeType)
    aux_status = query(system_ops.aux_status, AuxSlotsType)
