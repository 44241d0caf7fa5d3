"""The capacity of the runtime: no start waits here, and any signed-in user is shown that."""

import pytest

from resolvers.oversight.system.capacity import NO_ADMISSION
from tests.world import World

pytestmark = pytest.mark.anyio


async def test_no_start_is_held_back(world: World) -> None:
    answer = await world.rest(world.viewer, "GET", "/api/v1/runtime/capacity")
    assert answer.status_code == 200
    assert answer.json() == {
        "enabled": False,
        "limits": {"MaxConcurrentStarts": 0, "MinStartInterval": 0, "RequiredFreeMB": 0, "MaxPressurePct": 0.0},
        "in_flight_starts": 0,
        "held": [],
        "held_total": 0,
        "host_signal_available": False,
        "host_signal_error": NO_ADMISSION,
    }
    told = await world.graphql(world.viewer, "{ runtimeCapacity { enabled limits { requiredFreeMb } heldTotal } }")
    assert told["data"]["runtimeCapacity"] == {"enabled": False, "limits": {"requiredFreeMb": 0}, "heldTotal": 0}
