from collections.abc import Iterator
from typing import Any

import pytest

from tests.generation.estate import estate  # noqa: F401
from tests.tenant.door import taken_out


@pytest.fixture(scope="module", params=["door", "row security alone"])
def lock(request: Any, estate: Any) -> Iterator[str]:  # noqa: F811
    """Which of the two locks holds the rows of a tenant."""
    if request.param == "door":
        yield request.param
        return
    with taken_out():
        yield request.param
