"""The check of the journal: the faults of the sealed log, entry by entry, over REST and GraphQL."""

from typing import Any

import pytest

from models.kernel import AuditLog
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.oversight.admin import journal_chain
from resolvers.oversight.audit import seals, verification
from tests.oversight.audit.test_chain import ROWS, chain
from tests.world import World

__all__ = ["chain"]
pytestmark = pytest.mark.anyio
PATH = "/api/v1/admin/journal/verify"


async def told(world: World, **query: Any) -> Any:
    async with world.client(world.admin) as client:
        answer = await client.get(PATH, params={"workspace_id": world.workspace.id, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def seq_of(world: World, id: str) -> int:
    return int(await world.database.fetchval("SELECT seq FROM audit_logs WHERE id = $1", id))


async def test_a_whole_journal_is_ok(world: World, chain: list[str]) -> None:
    whole = {"workspace_id": world.workspace.id, "ok": True, "count": ROWS, "checkpoints": 3}
    assert await told(world) == whole
    answer = await world.graphql(
        world.admin, "query($ws: ID) { journalVerification(workspaceId: $ws) { ok count breaks { seq } nextSeal } }"
    )
    assert answer["data"]["journalVerification"] == {"ok": True, "count": ROWS, "breaks": None, "nextSeal": None}


async def test_changed_entries_are_listed_and_the_first_is_named(world: World, chain: list[str]) -> None:
    await world.database.execute("UPDATE audit_logs SET data = '{}' WHERE id = ANY ($1)", [chain[3], chain[25]])
    found = await told(world)
    places = [(await seq_of(world, id), id) for id in (chain[3], chain[25])]
    assert (found["ok"], found["broken_seq"], found["broken_id"]) == (False, *places[0])
    assert found["reason"] == f"row {chain[3]} was changed since seal 1"
    assert [(each["seq"], each["id"], each["kind"]) for each in found["breaks"]] == [
        (*place, "content") for place in places
    ]
    assert (found["break_count"], "breaks_truncated" in found) == (2, False)


async def test_a_missing_entry_breaks_the_chain_without_an_id(world: World, chain: list[str]) -> None:
    following = await seq_of(world, chain[15])
    await world.database.execute("DELETE FROM audit_logs WHERE id = $1", chain[14])
    found = await told(world)
    assert (found["ok"], found["broken_seq"]) == (False, following)
    assert found["reason"] == f"1 row is missing between row {chain[13]} and row {chain[15]}"
    assert not found.keys() & {"broken_id", "breaks", "break_count"}


async def test_a_missing_seal_breaks_the_chain(world: World, chain: list[str]) -> None:
    await world.database.execute("DELETE FROM audit_seals WHERE number = 2")
    found = await told(world)
    assert (found["ok"], found["reason"]) == (False, "seal 3 follows seal 1: 1 seals between them are missing")


async def test_breaks_are_cut_and_all_are_counted(
    world: World, chain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_chain, "MOST_BREAKS", 4)
    monkeypatch.setattr(verification, "MOST_SEALS", 1)
    await world.database.execute("UPDATE audit_logs SET action = 'forged'")
    found = await told(world)
    assert (len(found["breaks"]), found["break_count"], found["breaks_truncated"]) == (4, ROWS, True)


async def test_a_long_journal_continues_in_the_next_call(
    world: World, chain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_chain, "SECONDS", -1.0)
    monkeypatch.setattr(verification, "MOST_SEALS", 2)
    await world.database.execute("UPDATE audit_logs SET action = 'forged' WHERE id = $1", chain[25])
    first = await told(world)
    assert (first["ok"], first["next_seal"], first["count"]) == (True, 2, 20)
    second = await told(world, after_seal=2)
    assert (second["ok"], second["broken_id"], "next_seal" in second) == (False, chain[25], False)


async def test_a_bad_place_is_refused(world: World, chain: list[str]) -> None:
    async with world.client(world.admin) as client:
        for bad in ("-1", "x", "1e9", str(2**31)):
            answer = await client.get(PATH, params={"workspace_id": world.workspace.id, "after_seal": bad})
            assert answer.status_code == 400, bad


async def test_only_the_own_workspace_is_checked_and_only_by_administrators(world: World, chain: list[str]) -> None:
    await world.add(AuditLog(entity_id="b", workspace_id=world.other.id, action="update", entity_type="AGENT", data={}))
    await seals.seal(across_workspaces)
    await world.database.execute("UPDATE audit_logs SET action = 'forged' WHERE workspace_id = $1", world.other.id)
    assert (await told(world))["ok"]
    assert (await world.rest(world.manager, "GET", PATH)).status_code == 403
