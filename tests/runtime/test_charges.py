"""What calls of models use and cost is booked with the outcome of their steps: once, whoever holds the run."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from models.base import new_id
from models.resources.costs import BillingMode
from models.staff.chats import Chat
from models.staff.crews import Crew
from models.work.missions import Assignment, Mission
from resolvers.resources.costs.money import micros
from resolvers.staff.runs import work
from resolvers.staff.runs.booking import Charge
from resolvers.staff.runs.work import Batch
from runtime.adapters.scripted import ScriptedAdapter
from tests.runtime.adapters.sinks import job
from tests.runtime.doubles import E
from tests.runtime.turns import Turn

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_waits")]
CALL = Charge("Anthropic", "claude", 100, 20, 7, 3, 1_500)


async def booked(turn: Turn) -> list[Any]:
    return await turn.estate.owner.fetch(
        "SELECT * FROM model_calls WHERE run_id = $1 ORDER BY created_at, id", turn.run.id
    )


async def summed(turn: Turn) -> list[Any]:
    return await turn.estate.owner.fetch(
        "SELECT day, agent_id, crew_id, model, sum(calls)::int AS calls, sum(input_tokens)::int AS input_tokens,"
        " sum(output_tokens)::int AS output_tokens, sum(cost_micros)::int AS cost_micros FROM cost_days"
        " WHERE workspace_id = $1 AND agent_id = $2 GROUP BY 1, 2, 3, 4 ORDER BY model",
        turn.run.workspace_id,
        turn.run.agent_id,
    )


async def calls(sink: Any, name: str, charge: Charge = CALL, *, shows: str = "") -> None:
    async def body() -> None:
        sink.charge(replace(charge, id=new_id()))
        if shows:
            await sink.emit(E.text, shows)

    await sink.step(name, body)


async def test_a_call_is_booked_with_its_step(turn: Turn) -> None:
    await calls(await turn.sink(), "1 model", shows="hello")
    [row] = await booked(turn)
    told = {name: row[name] for name in ("step", "agent_id", "chat_id", "provider", "model", "estimated")}
    assert told == {
        "step": "1 model",
        "agent_id": turn.run.agent_id,
        "chat_id": turn.run.chat_id,
        "provider": "Anthropic",
        "model": "claude",
        "estimated": False,
    }
    numbers = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_creation_tokens", "cost_micros")
    assert [row[name] for name in numbers] == [100, 20, 7, 3, 1_500]
    assert row["mission_id"] is row["crew_id"] is None
    assert (row["billing_mode"], row["subscription_plan"], row["rate_limited"]) == ("metered", None, False)
    [day] = await summed(turn)
    assert (day["calls"], day["cost_micros"], day["crew_id"]) == (1, 1_500, "")
    assert day["day"] == row["created_at"].date()


async def test_a_step_that_is_begun_again_is_booked_once(turn: Turn) -> None:
    """By the worker that has it on record, and by one whose statement comes too late."""
    sink = await turn.sink()
    await calls(sink, "1 model")
    heir = await turn.taken_over()
    await calls(await heir.sink(), "1 model")
    again = Batch(finished={"1 model": None}, charges={"1 model": CALL})
    assert await work.append(heir.claim, again, 0)
    assert not await work.append(turn.claim, Batch(finished={"2 model": None}, charges={"2 model": CALL}), 0)
    assert [row["step"] for row in await booked(turn)] == ["1 model"]
    [day] = await summed(turn)
    assert day["calls"] == 1


async def test_a_step_that_fails_books_nothing(turn: Turn) -> None:
    sink = await turn.sink()

    async def body() -> None:
        sink.charge(CALL)
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        await sink.step("1 model", body)
    assert await booked(turn) == []


async def test_a_charge_belongs_to_a_step_and_is_its_only_one(turn: Turn) -> None:
    sink = await turn.sink()
    with pytest.raises(RuntimeError, match="inside a step"):
        sink.charge(CALL)

    async def body() -> None:
        sink.charge(CALL)
        sink.charge(CALL)

    with pytest.raises(RuntimeError, match="makes no other"):
        await sink.step("1 model", body)


async def test_a_call_at_a_flat_rate_costs_nothing_and_is_not_unpriced(turn: Turn) -> None:
    flat = Charge("Anthropic", "claude", 100, 20, cost_micros=0, billing_mode=BillingMode.flat_rate)
    await calls(await turn.sink(), "1 model", flat)
    [row] = await booked(turn)
    assert (row["billing_mode"], row["cost_micros"]) == ("flat_rate", 0)


async def test_a_price_that_is_not_known_is_none(turn: Turn) -> None:
    sink = await turn.sink()
    await calls(sink, "1 model", Charge("Ollama", "m" * 300, 1, 1, estimated=True))
    await calls(sink, "2 model", CALL)
    free, dear = await booked(turn)
    assert free["cost_micros"] is None
    assert free["estimated"]
    assert free["model"] == "m" * 200
    assert dear["cost_micros"] == 1_500
    assert [day["cost_micros"] for day in await summed(turn)] == [1_500, 0]


def test_whatever_costs_anything_is_not_free() -> None:
    assert [micros(dollars) for dollars in (None, 0.0, 1e-7, 0.000001, 1.25)] == [None, 0, 1, 1, 1_250_000]


async def test_runs_at_once_lose_no_sum(turn: Turn) -> None:
    """Of one agent and one model, that is of one row of the day, or of a few."""
    agent = await turn.estate.agent()
    turns = []
    for _ in range(12):
        chat = await turn.estate.chat(agent)
        turns.append(await _begun(turn, chat))

    async def books(each: Turn) -> None:
        sink = await each.sink()
        for number in range(5):
            await calls(sink, f"{number} model", shows="." if number % 2 else "")

    await asyncio.gather(*map(books, turns))
    [day] = await summed(turns[0])
    assert (day["calls"], day["cost_micros"], day["input_tokens"]) == (60, 60 * 1_500, 60 * 100)


async def _begun(turn: Turn, chat: Chat) -> Turn:
    run = await turn.estate.ask(chat=chat)
    [claim] = await work.claim("w", 1, seconds=30.0)
    assert claim.run_id == run.id
    return Turn(turn.estate, run, claim)


async def test_a_call_knows_crew_and_mission(turn: Turn) -> None:
    estate, here = turn.estate, {"workspace_id": turn.estate.workspace.id}
    crew = Crew(name="Deck", slug=f"deck-{new_id()}", **here)
    await estate.add(crew)
    agent = await estate.agent(crew_id=crew.id)
    mission = Mission(crew_id=crew.id, lead_agent_id=agent.id, trace_id=new_id(), title="Sail", **here)
    await estate.add(mission, Chat(id=mission.id, agent_id=agent.id, **here))
    assignment = Assignment(chat_id=mission.id, assigned_by_id=agent.id, assigned_to_id=agent.id, task="Hoist", **here)
    await estate.add(assignment)
    begun = await _begun(turn, await estate.chat(agent))
    await estate.owner.execute("UPDATE runs SET assignment_id = $1 WHERE id = $2", assignment.id, begun.run.id)
    await calls(await begun.sink(), "1 model")
    [row] = await booked(begun)
    assert (row["crew_id"], row["mission_id"]) == (crew.id, mission.id)
    [day] = await summed(begun)
    assert day["crew_id"] == crew.id


async def test_a_script_calls_models(turn: Turn) -> None:
    steps = [
        {"call": {"model": "m1", "provider": "p", "input_tokens": 5, "output_tokens": 2, "cost_usd": 0.25}, "times": 2},
        {"text": "done"},
    ]
    outcome = await ScriptedAdapter().run(job(json.dumps({"script": steps})), await turn.sink())
    assert outcome.data["total_cost_usd"] == 0.5
    assert [(row["step"], row["model"], row["cost_micros"]) for row in await booked(turn)] == [
        ("1.1 model", "m1", 250_000),
        ("1.2 model", "m1", 250_000),
    ]


async def test_a_script_ends_at_its_tokens(turn: Turn) -> None:
    steps = [{"call": {"input_tokens": 60}, "times": 5}]
    outcome = await ScriptedAdapter().run(job(json.dumps({"script": steps}), max_tokens=100), await turn.sink())
    assert outcome.error == "The run has used its 100 tokens"
    assert len(await booked(turn)) == 2
