"""Standing approvals: granted for one step of one definition, used by runs, and never where people have to be asked."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models.people.workspaces import Role
from models.staff.crews import AutonomyLevel, Crew
from models.work.saved_routines import SavedRoutine
from resolvers.errors import Code, Refusal
from resolvers.work import routine_runs, routine_trust
from tests.every import each_of
from tests.work.routine_runs import yard as acts
from tests.work.routine_runs.yard import RoutineYard, text

pytestmark = pytest.mark.anyio
GATE = {"id": "gate", "type": "wait", "wait": {"kind": "approval", "approval_prompt": "Sail?"}}
AFTER = text("b", "after {{ steps.gate.output }}")


async def gated(yard: RoutineYard, **more: Any) -> SavedRoutine:
    return await yard.routine(GATE, AFTER, **more)


async def granted(yard: RoutineYard, routine: SavedRoutine, caller: Any = None, **raw: Any) -> str:
    sent = {"slug": routine.slug, "step_id": "gate", **raw}
    made = await yard.ask(routine_trust.grant_routine_trust, sent, None, caller)
    assert (made["slug"], made["step_id"], made["definition_hash"]) == (routine.slug, "gate", routine.definition_hash)
    return str(made["id"])


async def refusal_of(yard: RoutineYard, routine: SavedRoutine, **raw: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await granted(yard, routine, **raw)
    return refused.value


async def grants(yard: RoutineYard, routine: SavedRoutine) -> list[dict[str, Any]]:
    shown = await yard.ask(routine_trust.list_routine_trust, {"slug": routine.slug})
    assert (shown["slug"], shown["definition_hash"]) == (routine.slug, routine.definition_hash)
    return list(shown["grants"])


async def asks(yard: RoutineYard, routine: SavedRoutine, **raw: Any) -> bool:
    """Returns true if a run of the routine waits for people; a run that does not has passed the step."""
    row = await yard.reached(await yard.started(routine, **raw), "waiting", *acts.ENDED)
    if row["status"] == "waiting":
        await yard.ask(routine_runs.cancel_routine_run, {"id": row["id"]})
        return True
    assert (row["status"], row["output"]) == ("completed", "after waited:approval:approved")
    return False


async def test_a_grant_spares_the_wait_and_counts_its_uses(yard: RoutineYard) -> None:
    routine = await gated(yard)
    assert await asks(yard, routine)
    id = await granted(yard, routine, reason="boring", prior_approvals=4, max_uses=2)
    run_id = await yard.started(routine)
    row = await yard.ended(run_id)
    assert (row["status"], row["output"]) == ("completed", "after waited:approval:approved")
    point = await yard.found("SELECT * FROM routine_waitpoints WHERE routine_run_id = $1", run_id)
    assert (point["status"], point["decided_by_user_id"], point["grant_id"]) == ("approved", yard.estate.user_id, id)
    assert json.loads(point["comment"]) == {
        "auto_approved": True, "grant_id": id, "granted_by_user_id": yard.estate.user_id, "grant_uses": 1,
        "definition_hash": routine.definition_hash,
    }  # fmt: skip
    assert await yard.item(run_id) is None
    assert not await asks(yard, routine)
    assert await asks(yard, routine), "it is used up"
    [grant] = await grants(yard, routine)
    assert (grant["uses"], grant["live"], grant["reason"], grant["prior_approvals"]) == (2, False, "boring", 4)
    renewed = await granted(yard, routine)
    newest, former = await grants(yard, routine)
    assert (newest["id"], newest["live"], "max_uses" in newest) == (renewed, True, False)
    assert (former["live"], former["revoke_reason"]) == (False, routine_trust.SUPERSEDED)
    assert former["revoked_by_user_id"] == yard.estate.user_id


async def test_a_grant_is_revoked_and_runs_ask_at_once(yard: RoutineYard) -> None:
    routine = await gated(yard)
    id = await granted(yard, routine)
    assert not await asks(yard, routine)
    sent = {"slug": routine.slug, "grant_id": id, "reason": "changed my mind"}
    assert await yard.ask(routine_trust.revoke_routine_trust, sent) == {"id": id, "status": "revoked"}
    assert await asks(yard, routine)
    [grant] = await grants(yard, routine)
    assert (grant["live"], grant["revoke_reason"], grant["uses"]) == (False, "changed my mind", 1)
    with pytest.raises(Refusal) as refused:
        await yard.ask(routine_trust.revoke_routine_trust, sent)
    assert (refused.value.code, refused.value.detail) == (Code.NOT_FOUND, routine_trust.NO_GRANT)
    other = await gated(yard)
    with pytest.raises(Refusal) as refused:
        await yard.ask(routine_trust.revoke_routine_trust, sent | {"slug": other.slug})
    assert refused.value.code is Code.NOT_FOUND


async def test_grants_are_in_the_journal_the_log_and_the_events(yard: RoutineYard) -> None:
    routine = await gated(yard)
    id = await granted(yard, routine, reason="boring", max_uses=3)
    await yard.ask(routine_trust.revoke_routine_trust, {"slug": routine.slug, "grant_id": id})
    sql = "SELECT * FROM journal_entries WHERE refs ->> 'trust_grant_id' = $1 ORDER BY created_at"
    first, second = await yard.estate.owner.fetch(sql, id)
    assert [entry["entry_type"] for entry in (first, second)] == ["approval.trust_granted", "approval.trust_revoked"]
    assert (first["severity"], first["actor_type"], first["actor_id"]) == ("notice", "user", yard.estate.user_id)
    hash = routine.definition_hash
    assert first["payload"] == {
        "definition_hash": hash, "reason": "boring", "prior_approvals": 0, "max_uses": 3, "expires_at": ""
    }  # fmt: skip
    assert first["refs"] == {
        "trust_grant_id": id, "pipeline_id": routine.id, "pipeline_slug": routine.slug, "step_id": "gate"
    }  # fmt: skip
    assert second["payload"] == {"definition_hash": hash, "reason": ""}
    log = await yard.estate.owner.fetch("SELECT action FROM audit_logs WHERE entity_id = $1 ORDER BY seq", id)
    assert [line["action"] for line in log] == ["routine_trust_grant.created", "routine_trust_grant.revoked"]
    events = await yard.estate.events(f"workspace:{yard.estate.workspace.id}")
    told = [payload for type_, payload in events if type_ == "inbox.updated" and "reason" in payload]
    assert told[-2:] == [{"reason": "trust_granted"}, {"reason": "trust_revoked"}]


async def test_a_changed_definition_asks_again(yard: RoutineYard) -> None:
    routine = await gated(yard)
    await granted(yard, routine)
    sql = "UPDATE {} SET definition_hash = $1 WHERE {} = $2"
    await yard.estate.owner.execute(sql.format("routines", "id"), "9" * 64, routine.id)
    await yard.estate.owner.execute(sql.format("routine_versions", "routine_id"), "9" * 64, routine.id)
    assert await asks(yard, routine)
    refusal = await refusal_of(yard, routine, definition_hash=routine.definition_hash)
    assert (refusal.code, refusal.extra) == (Code.CONFLICT, {"definition_hash": "9" * 64})


async def test_an_overridden_step_ends_the_trust(yard: RoutineYard) -> None:
    """The definition is the same, and does something else."""
    agent = await yard.estate.agent(crew_id=yard.crew.id)
    asked = {"id": "ask", "type": "agent_run", "agent_slug": agent.slug, "prompt": "Row"}
    routine = await yard.routine(GATE, asked)
    await granted(yard, routine)
    step = {"slug": routine.slug, "step_id": "ask"}
    await yard.ask(routine_runs.set_step_override, step | {"prompt": "Delete all"})
    [grant] = await grants(yard, routine)
    assert (grant["live"], grant["revoke_reason"]) == (False, "a step was overridden")
    assert await asks(yard, routine)
    await granted(yard, routine)
    await yard.ask(routine_runs.clear_step_override, step)
    assert not any(grant["live"] for grant in await grants(yard, routine))
    assert await asks(yard, routine)


@each_of("by", ["invoking", "author"])
async def test_a_strict_crew_is_never_trusted(yard: RoutineYard, by: str) -> None:
    here: dict[str, Any] = {"workspace_id": yard.estate.workspace.id}
    levels = (AutonomyLevel.strict, AutonomyLevel.guided)
    strict, guided = (Crew(name=f"{it} {by}", slug=f"{it}-{by}", autonomy_level=it, **here) for it in levels)
    await yard.estate.add(strict, guided)
    routine = await gated(yard)
    await granted(yard, routine)
    if by == "author":
        await yard.estate.owner.execute("UPDATE routines SET author_crew_id = $1 WHERE id = $2", strict.id, routine.id)
        assert await asks(yard, routine)
        assert not await asks(yard, routine, invoking_crew_id=guided.id), "the invoking crew counts more"
    else:
        assert await asks(yard, routine, invoking_crew_id=strict.id)
        assert not await asks(yard, routine)
    [grant] = await grants(yard, routine)
    assert grant["uses"] == 1


async def test_a_granter_who_may_not_approve_any_more_is_not_trusted(yard: RoutineYard) -> None:
    manager = await yard.member(Role.MANAGER)
    routine = await gated(yard)
    await granted(yard, routine, manager)
    assert not await asks(yard, routine)
    [grant] = await grants(yard, routine)
    sql = "UPDATE memberships SET role = $1 WHERE user_id = $2"
    await yard.estate.owner.execute(sql, "MEMBER", grant["granted_by_user_id"])
    assert await asks(yard, routine)
    await yard.estate.owner.execute("DELETE FROM memberships WHERE user_id = $1", grant["granted_by_user_id"])
    assert await asks(yard, routine)


async def test_an_expired_grant_is_not_used(yard: RoutineYard) -> None:
    routine = await gated(yard)
    later = datetime.now(UTC) + timedelta(hours=1)
    await granted(yard, routine, expires_at=later.isoformat())
    assert not await asks(yard, routine)
    sql = "UPDATE routine_trust_grants SET expires_at = now() WHERE routine_id = $1"
    await yard.estate.owner.execute(sql, routine.id)
    assert await asks(yard, routine)
    assert [grant["live"] for grant in await grants(yard, routine)] == [False]


async def test_another_step_and_an_event_wait_all_the_same(yard: RoutineYard) -> None:
    event = {"id": "gate", "type": "wait", "wait": {"kind": "event", "event_type": "docked"}}
    routine = await yard.routine(event)
    await granted(yard, routine)
    assert await asks(yard, routine)
    second = GATE | {"id": "second"}
    routine = await yard.routine(GATE, second, AFTER)
    await granted(yard, routine)
    row = await yard.reached(await yard.started(routine), "waiting", *acts.ENDED)
    assert (row["status"], row["current_step_id"]) == ("waiting", "second")
    await yard.ask(routine_runs.cancel_routine_run, {"id": row["id"]})


async def test_the_last_use_is_taken_once(yard: RoutineYard) -> None:
    routine = await gated(yard)
    await granted(yard, routine, max_uses=2)
    runs = [await yard.started(routine) for _ in range(6)]
    rows = [await yard.reached(run_id, "waiting", *acts.ENDED) for run_id in runs]
    assert sorted(row["status"] for row in rows) == ["completed"] * 2 + ["waiting"] * 4
    assert (await grants(yard, routine))[0]["uses"] == 2
    for row in rows:
        if row["status"] == "waiting":
            await yard.ask(routine_runs.cancel_routine_run, {"id": row["id"]})


@each_of(
    "raw, code",
    [
        ({"step_id": ""}, Code.BAD_REQUEST),
        ({"max_uses": 0}, Code.BAD_REQUEST),
        ({"prior_approvals": -1}, Code.BAD_REQUEST),
        ({"definition_hash": "0" * 64}, Code.CONFLICT),
        ({"expires_at": "2001-01-01T00:00:00Z"}, Code.BAD_REQUEST),
        ({"expires_at": "soon"}, Code.BAD_REQUEST),
        ({"expires_at": "2999-01-01"}, Code.BAD_REQUEST),
        ({"slug": "nope"}, Code.NOT_FOUND),
        ({"slug": "nope", "max_uses": 0}, Code.BAD_REQUEST),
    ],
)
async def test_bad_grants_are_refused(yard: RoutineYard, raw: dict[str, Any], code: Code) -> None:
    routine = await gated(yard)
    assert (await refusal_of(yard, routine, **raw)).code is code
    assert await grants(yard, routine) == []


async def test_one_grant_is_live_for_a_step(yard: RoutineYard) -> None:
    routine = await gated(yard)
    made = await asyncio.gather(*[granted(yard, routine) for _ in range(4)], return_exceptions=True)
    refused = [each for each in made if isinstance(each, Refusal)]
    assert [each.code for each in refused] == [Code.CONFLICT] * 3
    assert len(await grants(yard, routine)) == 1
    assert await granted(yard, await gated(yard))


async def test_members_do_not_grant(yard: RoutineYard) -> None:
    routine, member = await gated(yard), await yard.member(Role.MEMBER)
    with pytest.raises(Refusal) as refused:
        await granted(yard, routine, member)
    assert refused.value.code is Code.FORBIDDEN


async def test_a_grant_is_offered_after_three_approvals_by_people(yard: RoutineYard) -> None:
    routine = await gated(yard)
    offers = []
    for _ in range(4):
        run_id = await yard.started(routine)
        await yard.reached(run_id, "waiting")
        offers.append((await yard.item(run_id))["payload"]["trust_offer"])
        sent = {"token": await yard.token(run_id), "approved": True}
        await yard.ask(routine_runs.decide_waitpoint, sent)
        await yard.ended(run_id)
    assert offers[:3] == [{"eligible": False, "prior_approvals": n} for n in range(3)]
    assert offers[3] == {
        "eligible": True, "threshold": 3, "prior_approvals": 3, "pipeline_id": routine.id, "step_id": "gate",
        "definition_hash": routine.definition_hash,
    }  # fmt: skip
    id = await granted(yard, routine)
    assert not await asks(yard, routine)
    await yard.ask(routine_trust.revoke_routine_trust, {"slug": routine.slug, "grant_id": id})
    run_id = await yard.started(routine)
    await yard.reached(run_id, "waiting")
    offer = (await yard.item(run_id))["payload"]["trust_offer"]
    assert offer["prior_approvals"] == 4, "the automatic approval does not count"
    await yard.estate.owner.execute("UPDATE crews SET autonomy_level = 'strict' WHERE id = $1", yard.crew.id)
    try:
        run_id = await yard.started(routine)
        await yard.reached(run_id, "waiting")
        assert (await yard.item(run_id))["payload"]["trust_offer"] == {"eligible": False}
    finally:
        await yard.estate.owner.execute("UPDATE crews SET autonomy_level = 'guided' WHERE id = $1", yard.crew.id)
