"""The check of the audit log through the API: the same faults as on the command line, portion by portion."""

from datetime import timedelta
from typing import Any

import pytest

from models.kernel import AuditLog
from resolvers.kernel.background.clocks import across_workspaces
from resolvers.oversight.audit import seals, verification
from tests.oversight.audit.test_chain import ROWS, chain, faults, write
from tests.world import World, now

__all__ = ["chain"]
pytestmark = pytest.mark.anyio
FIELDS = "whole faults faultCount since until rows expired seals seal lastSeal nextSeal"


async def verdict(world: World, **given: Any) -> Any:
    args = "".join([f", {name}: {value}" for name, value in given.items()])
    document = f"query($ws: ID) {{ auditVerify(workspaceId: $ws{args}) {{ {FIELDS} }} }}"
    answer = await world.graphql(world.admin, document)
    assert "errors" not in answer, answer
    return answer["data"]["auditVerify"]


async def walk(world: World) -> list[Any]:
    found = [await verdict(world)]
    while found[-1]["nextSeal"] is not None:
        assert found[-1]["nextSeal"] == found[-1]["seal"]
        found.append(await verdict(world, afterSeal=found[-1]["nextSeal"]))
    return found


async def test_a_whole_log_is_whole(world: World, chain: list[str]) -> None:
    (told,) = await walk(world)
    assert (told["whole"], told["faults"], told["rows"], told["seals"], told["lastSeal"]) == (True, [], ROWS, 3, 3)
    assert told["since"] <= told["until"]
    await write(world, 5)
    assert (await verdict(world))["whole"], "rows that are not sealed yet are no fault"


@pytest.mark.parametrize("most", ["MOST_SEALS", "MOST_ROWS", "SECONDS"])
async def test_portions_find_what_one_walk_finds(
    world: World, chain: list[str], monkeypatch: pytest.MonkeyPatch, most: str
) -> None:
    monkeypatch.setattr(verification, most, 0 if most == "SECONDS" else 1)
    await world.database.execute("UPDATE audit_logs SET data = '{}' WHERE id = $1", chain[14])
    await world.database.execute("DELETE FROM audit_logs WHERE id = $1", chain[27])
    parts = await walk(world)
    assert [part["seal"] for part in parts][:3] == [1, 2, 3]
    texts, _ = await faults(world)
    assert len(texts) == 2
    assert sorted(text for part in parts for text in part["faults"]) == sorted(texts)
    assert [part["whole"] for part in parts][:3] == [True, False, False]


async def test_a_change_after_the_first_portion_is_found_in_the_next(
    world: World, chain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "MOST_SEALS", 2)
    await world.database.execute("UPDATE audit_logs SET action = 'forged' WHERE id = $1", chain[25])
    first, second = await walk(world)
    assert (first["whole"], first["nextSeal"], first["lastSeal"]) == (True, 2, 3)
    assert (second["whole"], second["faults"]) == (False, [f"row {chain[25]} was changed since seal 3"])


async def test_faults_that_are_named_are_bounded_and_all_are_counted(
    world: World, chain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "MOST_FAULTS", 4)
    await world.database.execute("UPDATE audit_logs SET action = 'forged'")
    parts = await walk(world)
    assert [len(part["faults"]) for part in parts] == [4, 4, 4]
    assert [part["faultCount"] for part in parts] == [10, 10, 10]


async def test_older_seals_can_be_left_out(world: World, chain: list[str]) -> None:
    await world.database.execute("UPDATE audit_logs SET action = 'forged' WHERE id = $1", chain[2])
    assert not (await verdict(world))["whole"]
    later = (await world.database.fetchval("SELECT last_at FROM audit_seals WHERE number = 1")) + timedelta(
        microseconds=1
    )
    told = await verdict(world, since=f'"{later.isoformat()}"')
    if told["seals"] == 2:
        assert told["whole"]
    await world.database.execute("UPDATE audit_seals SET last_at = last_at - interval '1 day' WHERE number = 1")
    assert (await verdict(world, since=f'"{(now() - timedelta(hours=1)).isoformat()}"'))["seals"] == 2
    told = await verdict(world, since=f'"{(now() + timedelta(days=1)).isoformat()}"')
    assert (told["whole"], told["seals"], told["nextSeal"]) == (True, 0, None)


async def test_a_removed_end_is_named(world: World, chain: list[str]) -> None:
    await world.database.execute("DELETE FROM audit_seals WHERE number = 3")
    assert (await verdict(world))["faults"] == [
        f"row {id} was added after the last seal, or that seal was removed" for id in chain[20:]
    ]


async def test_only_the_own_workspace_is_checked(world: World, chain: list[str]) -> None:
    rows = [AuditLog(entity_id="b", workspace_id=world.other.id, action="update", entity_type="AGENT", data={})]
    await world.add(*rows)
    await seals.seal(across_workspaces)
    await world.database.execute("UPDATE audit_logs SET action = 'forged' WHERE workspace_id = $1", world.other.id)
    assert (await verdict(world))["whole"]


async def test_rows_that_expire_while_their_seal_is_read_are_no_fault(
    world: World, chain: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seal was read before its rows went, and the rows afterwards."""
    real, seen = verification._faults_of, []

    async def interrupted(conn: Any, signed: Any, seal: Any, *rest: Any) -> list[str]:
        if not seen:
            seen.append(seal)
            signature = seals.instance.vault.sign(seals.rows_dropped(seal["hash"], now(), None, None))
            assert signature
            at = await world.database.fetchval("SELECT now()")
            await world.database.execute(
                "UPDATE audit_seals SET digests = NULL, dropped_at = $1, dropped_signature = $2 WHERE number = 1",
                at,
                seals.instance.vault.sign(seals.rows_dropped(seal["hash"], at, None, None)),
            )
            await world.database.execute("DELETE FROM audit_logs WHERE id = ANY ($1)", chain[:10])
        return await real(conn, signed, seal, *rest)

    monkeypatch.setattr(verification, "_faults_of", interrupted)
    told = await verdict(world)
    assert (told["whole"], told["faults"], told["expired"]) == (True, [], 10)


async def test_who_may_not_read_the_log_may_not_check_it(world: World) -> None:
    answer = await world.graphql(world.manager, "query($ws: ID) { auditVerify(workspaceId: $ws) { whole } }")
    assert answer["errors"][0]["extensions"]["code"] == "FORBIDDEN"
