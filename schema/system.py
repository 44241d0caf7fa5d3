"""GraphQL: the server about itself."""

import strawberry

from resolvers import system as system_ops
from resolvers.instance.license import Edition
from schema.bridge import output, query

strawberry.enum(Edition, description="Edition of the license.")


@output(system_ops.SetupStatus)
class SetupStatusType:
    """Whether the first user still has to be created, and whether sign-up is allowed."""

    needs_bootstrap: bool
    allow_signup: bool


@output(system_ops.Telemetry)
class TelemetryType:
    """`installId`: 32 hex digits, empty until somebody has consented for the first time."""

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


@strawberry.type
class SystemQuery:
    setup_status = query(system_ops.setup_status, SetupStatusType)
    telemetry = query(system_ops.telemetry, TelemetryType)
    version = query(system_ops.version, VersionType)
    license = query(system_ops.license, LicenseType)
    engine = query(system_ops.engine, EngineType)
