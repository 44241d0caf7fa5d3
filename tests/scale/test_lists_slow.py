"""The lists of test_lists.py, of a hundred thousand rows each."""

from typing import Any

import pytest

from tests.every import each_of
from tests.scale.measuring import Measured, check, check_writes, measure
from tests.scale.reading import READS, Read

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SIZES = (1_000, 100_000)


@pytest.fixture(scope="module")
async def measured(module_database: Any, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> Measured:
    return await measure(module_database, tmp_path_factory.mktemp("scale"), SIZES)


@each_of("read", [pytest.param(read, id=read.name) for read in READS])
async def test_a_list_costs_its_page(read: Read, measured: Measured) -> None:
    check(read, measured)


async def test_a_command_costs_the_same_at_every_size(measured: Measured) -> None:
    check_writes(measured)
