from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.generation.estate import Estate, estate  # noqa: F401
from tests.tenant.door import LOCKS, row_security_off, taken_out


@pytest.fixture(scope="module", params=LOCKS)
async def lock(request: Any, estate: Estate) -> AsyncIterator[str]:  # noqa: F811
    """Which of the two locks holds the rows of a tenant; the other one is open."""
    if request.param == LOCKS[0]:
        async with row_security_off(estate.recorder.superuser):
            yield request.param
    else:
        with taken_out():
            yield request.param
