"""The generators themselves: every operation gets a valid input, and the recorder sees and undoes every write."""

from types import SimpleNamespace

import pytest

from tests.generation.domains import CASES, IDS, merged
from tests.generation.entities import ENTITIES, entity
from tests.generation.estate import Estate
from tests.generation.inputs import valid
from tests.generation.registry import operations, surfaces_of

pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_the_recorder_agrees_with_a_digest_of_all_tables(estate: Estate) -> None:
    """For every write, the recorder notes each changed row, and `undo` restores it."""
    before = await estate.world.snapshot()
    for op in operations():
        if op.kind != "command" or not surfaces_of(op):
            continue
        outcome = await estate.call(surfaces_of(op)[0], op, valid(op, estate), estate.caller(op), keep=True)
        after = await estate.world.snapshot()
        assert {t for t in after if after[t] != before[t]} == {c.table for c in outcome.changes if c.old != c.new}, (
            op.name
        )
        await estate.recorder.undo()
        assert await estate.world.snapshot() == before, op.name


async def test_every_table_is_recorded(estate: Estate) -> None:
    recorded = "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'recorder'"
    assert (
        await estate.world.database.fetch(
            f"SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ({recorded})"
        )
        == []
    )


def test_two_domains_do_not_say_something_of_one_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert merged("IDS") == IDS
    assert ENTITIES.keys() >= set(IDS.values())
    monkeypatch.setitem(CASES, "other", SimpleNamespace(IDS={"token_id": "session"}))
    with pytest.raises(TypeError, match="other: token_id is in IDS of another domain"):
        merged("IDS")
    with pytest.raises(TypeError, match="two entities are called crew"):
        entity(ENTITIES["crew"])
