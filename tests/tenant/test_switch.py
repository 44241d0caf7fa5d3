"""The counter-check of this directory: without either lock, a foreign id is found."""

import pytest

from resolvers.kernel.declarations.operation import OPERATIONS
from tests.generation.estate import Estate
from tests.generation.inputs import valid
from tests.tenant.door import row_security_off, taken_out
from tests.tenant.test_ids import away_ids, mentioned, touches

pytestmark = pytest.mark.anyio


async def test_without_both_locks_a_foreign_id_is_found(estate: Estate) -> None:
    """So the switch does take the door out, and row-level security held where it was out."""
    op = OPERATIONS["labels.update"]
    raw = valid(op, estate) | {"id": estate.away["label"].id}
    owner = estate.person("owner")
    async with row_security_off(estate.recorder.superuser):
        assert (await estate.call("rest", op, raw, owner)).code == "NOT_FOUND"
        with taken_out():
            leaked = await estate.call("rest", op, raw, owner)
    assert leaked.code is None
    assert touches(leaked, estate, raw["id"])
    assert mentioned(leaked.body, away_ids(estate))
    with taken_out():
        assert (await estate.call("rest", op, raw, owner)).code == "NOT_FOUND"
