"""The admission of containers on this host. This server admits each start at once; limits of crews apply to each."""

from typing import Annotated, Final

from pydantic import Field

from resolvers.kernel import Absent, Action, Context, NoInput, Output, Tenancy, procedure

NO_ADMISSION: Final = "Starts of containers are not held back on this server"


class CapacityLimits(Output):
    """The limits of admission; zero without admission. `min_start_interval` is in nanoseconds."""

    max_concurrent_starts: int = Field(default=0, alias="MaxConcurrentStarts")
    min_start_interval: int = Field(default=0, alias="MinStartInterval")
    required_free_mb: int = Field(default=0, alias="RequiredFreeMB")
    max_pressure_pct: float = Field(default=0.0, alias="MaxPressurePct")


class HeldStart(Output):
    """A start that waits."""

    crew_id: str
    reason: str
    waited_ms: int


class RuntimeCapacity(Output):
    """`enabled`: starts of containers wait for free resources of the host. `held` lists those that wait."""

    enabled: bool = False
    limits: CapacityLimits
    in_flight_starts: int = 0
    held: list[HeldStart]
    held_total: int = 0
    host_signal_available: bool = False
    host_signal_error: Annotated[str | None, Absent()] = NO_ADMISSION


@procedure("runtime.capacity", Action.NONE, tenancy=Tenancy.NONE)
async def runtime_capacity(ctx: Context, data: NoInput) -> RuntimeCapacity:
    """Get the capacity of the runtime.

    This server starts containers at once: no start waits for resources of the host.
    """
    return RuntimeCapacity(limits=CapacityLimits(), held=[])
