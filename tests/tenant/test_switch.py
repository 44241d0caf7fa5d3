"""What the other cases of this directory would see: without either lock, a foreign id is found."""

import pytest

from resolvers.kernel.operation import OPERATIONS
from tests.generation.estate import Estate
from tests.generation.inputs import valid
from tests.tenant.door import taken_out
from tests.tenant.test_ids import away_ids, mentioned, touches

pytestmark = pytest.mark.anyio


async def test_without_both_locks_a_foreign_id_is_found(estate: Estate) -> None:
    """So the switch does take the door out, and row-level security held where it was out."""
    op = OPERATIONS["labels.update"]
    raw = valid(op, estate) | {"id": estate.away["label"].id}
    await estate.recorder.superuser.execute("ALTER TABLE labels NO FORCE ROW LEVEL SECURITY; ALTER TABLE labels DISABLE ROW LEVEL SECURITY")
    try:
        assert (await estate.call("rest", op, raw, estate.person("owner"))).code == "NOT_FOUND"
        with taken_out():
            leaked = await estate.call("rest", op, raw, estate.person("owner"))
        assert leaked.code is None
        assert touches(leaked, estate, raw["id"])
        assert mentioned(leaked.body, away_ids(estate))
    finally:
        await estate.recorder.superuser.execute("ALTER TABLE labels ENABLE ROW LEVEL SECURITY; ALTER TABLE labels FORCE ROW LEVEL SECURITY")
