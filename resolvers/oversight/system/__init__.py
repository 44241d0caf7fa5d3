"""The server's own state, and its workers."""

from resolvers.kernel import Domain
from resolvers.kernel.ground.scopes import OPEN
from resolvers.oversight.system.aux_models import AuxSlots, aux_status
from resolvers.oversight.system.capacity import RuntimeCapacity, runtime_capacity
from resolvers.oversight.system.runtimes import Runtime, runtime
from resolvers.oversight.system.search import Found, search
from resolvers.oversight.system.status import (
    Engine,
    Health,
    License,
    Liveness,
    Readiness,
    SetupStatus,
    Telemetry,
    Version,
    engine,
    health,
    healthz,
    license,
    metrics,
    readyz,
    released,
    setup_status,
    telemetry,
    version,
)

DOMAIN = Domain("system", scopes=OPEN)
