"""Cases of runs, for the tests that are made for every operation."""

from datetime import timedelta
from typing import Any

from models.staff.run_spans import RunSpan, SpanKind, SpanStatus
from models.staff.runs import NEVER, Run, RunFrame, RunStatus
from models.work.work_pauses import WorkPause
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


def _run(plot: Plot, **changes: Any) -> Run:
    given: dict[str, Any] = {
        "agent_id": plot["agent"].id,
        "triggered_by": plot.owner.user_id,
        "prompt": "Look out",
        "started_at": now(),
    }
    return Run(**(given | changes), **plot.here)


@entity
def run(plot: Plot) -> Run:
    """It has ended."""
    ended = {"status": RunStatus.TIMEOUT, "finished_at": now(), "exit_code": 1, "error_message": "It took too long"}
    return _run(
        plot,
        assignment_id=plot["assignment"].id,
        chat_id=plot["chat"].id,
        message_seq=2,
        max_turns=5,
        model="model",
        parent_id=plot["run_before"].id,
        retry_of=plot["run_before"].id,
        waits_for="approval",
        waits_since=now(),
        data={"tags": ["chat"], "model": "model"},
        **ended,
    )


@entity
def run_before(plot: Plot) -> Run:
    """It gave work to the other one, which was started again."""
    return _run(plot, status=RunStatus.COMPLETED, finished_at=now())


@entity
def live_run(plot: Plot) -> Run:
    """A program elsewhere works on it, for the lead."""
    return _run(plot, agent_id=plot["lead"].id, leased_until=now() + timedelta(days=1))


@entity
def waiting_run(plot: Plot) -> Run:
    """It waits for an approval, and no worker holds it."""
    waits = {"waits_for": plot["approval"].id, "waits_since": now(), "leased_until": NEVER}
    return _run(plot, agent_id=plot["lead"].id, **waits)


@entity
def run_of_issue(plot: Plot) -> Run:
    ended = {"status": RunStatus.COMPLETED, "finished_at": now()}
    return _run(plot, assignment_id=plot["assignment_of_issue"].id, chat_id=plot["chat_of_issue"].id, **ended)


@entity
def run_frame(plot: Plot) -> RunFrame:
    payload = {"type": "tool_call", "content": "forecast", "metadata": {"tool_name": "forecast", "tool_id": "t1"}}
    return RunFrame(
        chat_id=plot["chat"].id,
        seq=2,
        run_id=plot["run"].id,
        agent_id=plot["agent"].id,
        type="chat_event",
        payload=payload,
        **plot.here,
    )


@entity
def run_span(plot: Plot) -> RunSpan:
    return RunSpan(
        run_id=plot["run"].id,
        seq=2,
        parent_seq=1,
        kind=SpanKind.TOOL_CALL,
        name="forecast",
        status=SpanStatus.COMPLETED,
        started_at=now(),
        finished_at=now(),
        summary="Wind",
        input={"day": 1},
        output="Wind",
        model_call_id=plot["model_call"].id,
        approval_id=plot["approval"].id,
        changed="0",
        created_at=now(),
        **plot.here,
    )


@entity
def work_pause(plot: Plot) -> WorkPause:
    return WorkPause(
        agent_id=plot["agent"].id, mission_id=plot["mission"].id, runs=5, last_error="No wind", **plot.here
    )


RECIPES = {
    "work_pauses.list": Recipe(ids={"mission_id": "mission"}),
    "runs.create_internal": Recipe({"id": "run-of-a-program"}, chosen=frozenset({"id"})),
    "runs.find": Recipe(ids={"mission_id": "mission", "issue_id": "mission"}),
    "runs.cancel": Recipe(ids={"id": "live_run"}),
    "runs.finish_internal": Recipe({"status": "COMPLETED"}, ids={"id": "live_run"}),
}
PROSE = frozenset({"runs.cancel"})
