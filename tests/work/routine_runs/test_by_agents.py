"""Routines over the internal API: agents test, save and run them; chains of runs end, and no agent changes its own."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from models.staff.agents import Agent
from models.staff.crews import Crew
from models.staff.runs import Run, RunStatus
from models.work.routine_runs import RoutineRun, RoutineTrigger
from models.work.saved_routines import SavedRoutine
from resolvers.errors import Code, Refusal
from resolvers.identity.caller import Caller, CredentialKind
from resolvers.work import routine_runs, routines
from resolvers.work.routine_runs.ending import wait_for_end
from rest_compat.http.table import shape_of
from rest_compat.work.routine_runs import RoutineRunRecordJSON, StartedRoutineRunJSON
from rest_compat.work.routines import RoutineJSON, RoutineRowJSON
from tests.work.routine_runs.yard import Counting, RoutineYard, http, text

pytestmark = pytest.mark.anyio
FAR = datetime(2999, 1, 1, tzinfo=UTC)


def document(*steps: dict[str, Any], **more: Any) -> str:
    return json.dumps({"name": "tides", "steps": list(steps)} | more)


def machine() -> Caller:
    return Caller(CredentialKind.INTERNAL, "internal", any_workspace=True)


async def act(yard: RoutineYard, operation: Any, raw: dict[str, Any], wire: Any = None) -> Any:
    sent = {"workspace_id": yard.estate.workspace.id} | raw
    return await yard.ask(operation, sent, wire, machine())


async def refused(asked: Any) -> Refusal:
    with pytest.raises(Refusal) as found:
        await asked
    return found.value


async def saved(yard: RoutineYard, definition: str, slug: str, **more: Any) -> Any:
    """After a test run, as agents do."""
    crew = {"definition": definition, "author_crew_id": yard.crew.id}
    tested = await act(yard, routine_runs.test_agent_routine, crew)
    sent = crew | {"slug": slug, "save_token": tested["save_token"]} | more
    return await act(yard, routine_runs.save_agent_routine, sent, RoutineJSON)


async def at_work(yard: RoutineYard, routine: SavedRoutine, agent: Agent, **more: Any) -> RoutineRun:
    """An agent works for a run of the routine, until the end of the test."""
    here = {"workspace_id": yard.estate.workspace.id}
    run = RoutineRun(routine_id=routine.id, definition_hash=routine.definition_hash, **more, **here)
    data = {"routine_run_id": run.id, "step": "ask", "attempt": 1}
    times = {"started_at": datetime.now(UTC), "leased_until": FAR}
    live = Run(agent_id=agent.id, status=RunStatus.RUNNING, trigger_type="ROUTINE", data=data, **times, **here)
    await yard.estate.add(run, live)
    return run


async def test_what_can_reach_out_waits_for_a_person_each_time(yard: RoutineYard) -> None:
    harmless, risky = document(text("a", "7")), document(http("a", "http://127.0.0.1/"))
    made = await saved(yard, harmless, "agents-own", name="Own")
    assert (made["status"], made["authored_via"], made["name"]) == ("active", "agent_tool_call", "Own")
    made = await saved(yard, risky, "agents-own")
    assert (made["status"], made["risk_reasons"]) == ("proposed", ["http_step"])
    item = await yard.found("SELECT * FROM inbox_items WHERE source_id LIKE '%:agents-own'")
    assert (item["sender_name"], item["target_role"], item["state"]) == ("Agent routine author", "MANAGER", "unread")
    told = await refused(act(yard, routine_runs.run_agent_routine, {"slug": "agents-own"}, StartedRoutineRunJSON))
    assert (told.code, told.extra["status"]) == (Code.CONFLICT, "proposed")
    await yard.ask(routines.approve_routine, {"slug": "agents-own"})
    again = await saved(yard, document(http("a", "http://127.0.0.1/"), text("b", "c")), "agents-own")
    assert again["status"] == "proposed", "a person's save would have stayed active"
    [version] = await yard.estate.owner.fetch(
        "SELECT * FROM routine_versions WHERE number = 1 AND routine_id = $1", made["id"]
    )
    assert (version["author_type"], version["author_id"]) == ("agent", yard.crew.id)


async def test_a_token_is_of_a_crew_and_of_no_user(yard: RoutineYard) -> None:
    definition = document(text("a", "8"))
    crew = {"definition": definition, "author_crew_id": yard.crew.id}
    theirs = await act(yard, routine_runs.test_agent_routine, crew)
    mine = await yard.ask(routine_runs.test_run_routine, {"definition": definition})
    other = Crew(name="Hold", slug="hold", workspace_id=yard.estate.workspace.id)
    await yard.estate.add(other)
    sent = crew | {"slug": "of-a-crew"}
    for bad in (
        {},
        {"save_token": mine["save_token"]},
        {"save_token": theirs["save_token"], "author_crew_id": other.id},
    ):
        told = await refused(act(yard, routine_runs.save_agent_routine, sent | bad, RoutineJSON))
        assert told.code is Code.UNPROCESSABLE
    told = await refused(
        yard.ask(routines.save_routine, {"slug": "mine", "definition": definition, "save_token": theirs["save_token"]})
    )
    assert told.code is Code.UNPROCESSABLE
    assert await yard.found("SELECT 1 FROM routines WHERE slug IN ('of-a-crew', 'mine')") is None


async def test_refusals_of_an_agents_test_run(yard: RoutineYard) -> None:
    async def told(**raw: Any) -> Refusal:
        return await refused(act(yard, routine_runs.test_agent_routine, raw))

    good = document(text("a", "b"))
    assert (await told(author_crew_id=yard.crew.id)).code is Code.BAD_REQUEST
    assert (await told(definition=good)).code is Code.BAD_REQUEST
    assert (await told(definition=good, author_crew_id="none")).code is Code.FORBIDDEN
    assert (await told(definition="[]", author_crew_id=yard.crew.id)).code is Code.UNPROCESSABLE
    needy = document(text("a", "b"), integrations_required=["charts"])
    assert (await told(definition=needy, author_crew_id=yard.crew.id)).extra == {"missing_integrations": ["charts"]}
    poor = document(text("a", "b"), credentials_required=[{"type": "API_KEY"}])
    passed = await act(yard, routine_runs.test_agent_routine, {"definition": poor, "author_crew_id": yard.crew.id})
    assert passed["save_token"], "credentials are asked when it runs"


async def test_an_agent_starts_a_run_and_waits_for_it(yard: RoutineYard) -> None:
    routine = await yard.routine(text("a", "{{ inputs.x }}"))
    raw = {"slug": routine.slug, "inputs": {"x": "7"}, "invoking_crew_id": yard.crew.id}
    made = await act(yard, routine_runs.run_agent_routine, raw, StartedRoutineRunJSON)
    body = json.dumps(made).encode()
    place, read = yard.estate.workspace.id, routine_runs.get_agent_routine_run
    ended = json.loads(await wait_for_end(machine(), body, shape_of(StartedRoutineRunJSON), place, 10, read))
    assert (ended["status"], ended["output"]) == ("COMPLETED", "7")
    row = await yard.row(made["run_id"])
    assert (row["triggered_via"], row["triggered_by_id"], row["chain_depth"]) == ("call_pipeline", None, 0)
    rows = await act(yard, routine_runs.list_agent_routines, {}, list[RoutineRowJSON])
    assert routine.slug in [each["slug"] for each in rows]
    told = await refused(act(yard, routine_runs.run_agent_routine, {"slug": "none"}, StartedRoutineRunJSON))
    assert told.code is Code.NOT_FOUND


async def test_a_run_of_an_agent_stays_in_its_chain(yard: RoutineYard) -> None:
    agent = await yard.estate.agent(crew_id=yard.crew.id)
    outer, inner = await yard.routine(text("a", "b")), await yard.routine(text("a", "b"))
    parent = await at_work(yard, outer, agent, chain_depth=3, invoking_user_id=yard.estate.user_id)
    raw = {"slug": inner.slug, "invoking_agent_id": agent.id}
    made = await act(yard, routine_runs.run_agent_routine, raw, StartedRoutineRunJSON)
    row = await yard.ended(made["run_id"])
    assert (row["chain_depth"], row["triggered_by_id"]) == (4, parent.id)
    assert row["invoking_user_id"] == yard.estate.user_id, "it ends with that person's membership"
    [record] = await yard.ask(routine_runs.list_routine_run_records, {"slug": inner.slug}, list[RoutineRunRecordJSON])
    assert record["chain_depth"] == 4


async def test_a_run_that_a_restricted_one_starts_is_restricted(yard: RoutineYard) -> None:
    agent, routine = await yard.estate.agent(crew_id=yard.crew.id), await yard.routine(text("a", "b"))
    raw = {"slug": routine.slug, "invoking_agent_id": agent.id}
    for restricted in (False, True):
        live = Run(
            agent_id=agent.id, crew_id=yard.crew.id, status=RunStatus.RUNNING, restricted=restricted,
            started_at=datetime.now(UTC), leased_until=FAR, workspace_id=yard.estate.workspace.id,
        )  # fmt: skip
        await yard.estate.add(live)
        made = await act(yard, routine_runs.run_agent_routine, raw, StartedRoutineRunJSON)
        assert (await yard.ended(made["run_id"]))["restricted"] is restricted
    await yard.ask(routine_runs.replay_routine_runs, {"run_ids": [made["run_id"]]})
    again = await yard.found("SELECT * FROM routine_runs WHERE replay_of = $1", made["run_id"])
    assert again["restricted"] is True


async def test_a_chain_has_no_cycle(yard: RoutineYard) -> None:
    agent = await yard.estate.agent(crew_id=yard.crew.id)
    first, second = await yard.routine(text("a", "b")), await yard.routine(text("a", "b"))
    here = {"workspace_id": yard.estate.workspace.id}
    top = RoutineRun(routine_id=first.id, definition_hash=first.definition_hash, **here)
    await yard.estate.add(top)
    called = {"triggered_via": RoutineTrigger.call_pipeline, "triggered_by_id": top.id, "chain_depth": 1}
    await at_work(yard, second, agent, **called)
    for routine in (first, second):
        before = await yard.runs_of(routine)
        raw = {"slug": routine.slug, "invoking_agent_id": agent.id}
        told = await refused(act(yard, routine_runs.run_agent_routine, raw, StartedRoutineRunJSON))
        assert (told.code, "already runs in this chain" in told.detail) == (Code.CONFLICT, True)
        assert await yard.runs_of(routine) == before


async def test_a_chain_is_at_most_so_deep(yard: RoutineYard) -> None:
    agent = await yard.estate.agent(crew_id=yard.crew.id)
    outer, inner = await yard.routine(text("a", "b")), await yard.routine(text("a", "b"))
    parent = await at_work(yard, outer, agent, chain_depth=8)
    for named in ({"invoking_agent_id": agent.id}, {"invoking_crew_id": yard.crew.id}):
        told = await refused(
            act(yard, routine_runs.run_agent_routine, {"slug": inner.slug} | named, StartedRoutineRunJSON)
        )
        assert (told.code, "8 levels" in told.detail) == (Code.CONFLICT, True)
    assert await yard.runs_of(inner) == 0
    sql = "SELECT * FROM journal_entries WHERE entry_type = 'automation.depth_exceeded'"
    entries = await yard.estate.owner.fetch(sql)
    assert len(entries) == 2
    told_of = {"chain_depth": 9, "max_chain_depth": 8, "chain_origin": parent.id, "edge": "agent"}
    assert {**entries[0]["payload"]} == told_of
    events = await yard.estate.events(f"workspace:{yard.estate.workspace.id}")
    assert ("automation.depth_exceeded", told_of) in events


async def test_no_agent_changes_the_routine_that_runs_it(yard: RoutineYard) -> None:
    agent = await yard.estate.agent(crew_id=yard.crew.id)
    own = await saved(yard, document(text("a", "1")), "its-own")
    routine = SavedRoutine(id=own["id"], slug="its-own", definition_hash=own["definition_hash"], manifest={})
    run = await at_work(yard, routine, agent)
    for named in ({"author_agent_id": agent.id}, {}):
        told = await refused(saved(yard, document(text("a", "2")), "its-own", **named))
        assert (told.code, "cannot change it meanwhile" in told.detail) == (Code.CONFLICT, True)
    other = await saved(yard, document(text("a", "2")), "another", author_agent_id=agent.id)
    assert other["author_agent_id"] == agent.id
    await yard.estate.owner.execute(
        "UPDATE runs SET status = 'COMPLETED', finished_at = now() WHERE data ->> 'routine_run_id' = $1", run.id
    )
    changed = await saved(yard, document(text("a", "2")), "its-own", author_agent_id=agent.id)
    assert changed["definition"]["steps"][0]["transform"]["input"] == "2"


async def test_saved_calls_have_no_cycle(yard: RoutineYard) -> None:
    await saved(yard, document({"id": "c", "type": "call_pipeline", "pipeline_slug": "to"}), "from")
    back = {"id": "c", "type": "call_pipeline", "pipeline_slug": "from"}
    told = await refused(saved(yard, document(back), "to"))
    assert (told.code, told.detail.startswith("The calls are a cycle")) == (Code.UNPROCESSABLE, True)


async def test_a_run_of_an_agent_is_asked_what_any_start_is(yard: RoutineYard) -> None:
    server = Counting()
    async with server.listening() as url:
        routine = await yard.routine(http("a", url), credentials_required=[{"type": "API_KEY"}])
        raw = {"slug": routine.slug}
        told = await refused(act(yard, routine_runs.run_agent_routine, raw, StartedRoutineRunJSON))
        assert told.extra == {"missing_credentials": ["API_KEY"]}
        await yard.estate.owner.execute("UPDATE routines SET status = 'disabled' WHERE id = $1", routine.id)
        told = await refused(act(yard, routine_runs.run_agent_routine, raw, StartedRoutineRunJSON))
        assert told.code is Code.CONFLICT
    assert not server.got
