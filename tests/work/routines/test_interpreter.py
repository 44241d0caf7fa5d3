"""The interpreter: order, conditions, retries, waits, loops, costs, and what a process that ends leaves behind."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.work.routine_runs import RoutineStepState as StepState
from models.work.routines.reading import read_value
from runtime.work.evaluation import Evaluator
from runtime.work.routines.interpreter import Interpreter, Paused, RunEnd
from runtime.work.routines.ledger import RunProgram, StepRecord, StoppedError, WaitOutcome
from tests.every import each_of
from tests.work.routines.rehearsal import START, Stage, played

pytestmark = pytest.mark.anyio


def http(id: str, url: str = "https://a.example/", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "http", "http": {"method": "POST", "url": url}} | more


def text(id: str, input: str, expression: str = ".", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "transform", "transform": {"input": input, "expression": expression}} | more


def wait(id: str, kind: str, **more: Any) -> dict[str, Any]:
    names = {"approval": "approval_prompt", "datetime": "until", "event": "event_type"}
    timeout = {"timeout_seconds": more.pop("timeout")} if "timeout" in more else {}
    return {"id": id, "type": "wait", "wait": {"kind": kind, names[kind]: more.pop("what")}} | timeout | more


def document(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "tides", "inputs": [{"name": "x"}], "steps": list(steps)} | more


async def test_steps_run_in_order_and_read_what_is_before_them() -> None:
    stage = Stage()
    said = document(
        text("a", "{{ inputs.x }}"), text("b", "{{ steps.a.output }}!", state_write={"k": "{{ steps.b.output }}"})
    )
    assert await played(said, stage, inputs={"x": "Ahoy"}) == RunEnd("completed", "Ahoy!")
    assert stage.log == [("begin", "a"), ("complete", "a"), ("begin", "b"), ("complete", "b")]
    assert stage.state == {"k": "Ahoy!"}


async def test_a_wave_of_a_graph_ends_before_the_next_one_begins() -> None:
    stage = Stage()
    said = document(
        text("sum", "{{ steps.left.output }}{{ steps.right.output }}", needs=["left", "right"]),
        text("left", "1"), text("right", "2"), text("alone", "3"),
    )  # fmt: skip
    assert await played(said, stage) == RunEnd("completed", "12")
    assert [path for kind, path in stage.log if kind == "complete"][-1] == "sum"


async def test_auto_finds_needs_in_texts() -> None:
    said = document(text("a", "1"), text("b", "2"), text("c", "{{ steps.a.output }}"), parallelism="auto")
    stage = Stage()
    await played(said, stage)
    assert [path for kind, path in stage.log if kind == "begin"] == ["a", "b", "c"]
    assert await played(said | {"parallelism": "off"}, Stage()) == RunEnd("completed", "1")


async def test_a_call_in_a_graph_fails_the_run() -> None:
    said = document(text("a", "1"), {"id": "b", "type": "call_pipeline", "pipeline_slug": "other", "needs": ["a"]})
    ending = await played(said, stage := Stage())
    assert isinstance(ending, RunEnd)
    assert (ending.outcome, stage.log) == ("failed", [])


CONDITIONS = {
    "absent": (None, True), "rendered": ("{{ inputs.x }}", True), "no": ("{{ inputs.no }}", False),
    "word": ("off", False),
    "expression": ("yes()", True), "false": ("no()", False),
    "mistyped": ("run.oops()", True),
}  # fmt: skip


@each_of(("condition", "met"), list(CONDITIONS.values()))
async def test_conditions(condition: str | None, met: bool) -> None:
    step = text("a", "done") | ({} if condition is None else {"if": condition})
    said = document(step, text("b", "{{ steps.a.output }}"))
    said["inputs"] += [{"name": "no"}]
    program = RunProgram("run_1", _unchecked(said), inputs={"x": "y", "no": "off"})
    stage = Stage()
    assert await Interpreter(program, stage, stage).run() == RunEnd("completed", "done" if met else "")
    assert stage.records["a"].state == (StepState.completed if met else StepState.skipped)
    assert stage.records["b"].output == ("done" if met else "<skipped>")


def _unchecked(said: dict[str, Any]) -> Any:
    from models.work.routines.document import Routine

    return Routine.model_validate(said)


async def test_code_is_evaluated_in_another_process() -> None:
    class WithExpressions(Stage):
        evaluator = Evaluator()

        async def evaluate(self, expression: str, kind: Any, variables: Mapping[str, Any]) -> Any:
            return await self.evaluator.evaluate(expression, kind, variables)

    cel = {
        "n": "inputs.x * 2.0",
        "list": "[inputs.x, 1.0]",
        "null": "null",
        "text": "'a' + 'b'",
        "broken": "inputs.none",
    }
    steps = [{"id": id, "type": "code", "code": {"runtime": "cel", "code": code}} for id, code in cel.items()]
    expr = {"id": "expr", "type": "code", "code": {"runtime": "expr", "code": "{{ steps.n.output }} >= 5"}}
    steps.insert(4, expr | {"if": "steps['text'] == 'ab' && inputs.x == 2.5"})
    stage = WithExpressions()
    try:
        ending = await played(document(*steps), stage, inputs={"x": 2.5})
    finally:
        await stage.evaluator.close()
    assert isinstance(ending, RunEnd)
    assert (ending.outcome, ending.failed_at) == ("failed", "broken")
    outputs = {path: record.output for path, record in stage.records.items()}
    assert outputs | {"broken": ""} == {
        "n": "5", "list": "[2.5,1]", "null": "null", "text": "ab", "expr": "true", "broken": ""
    }  # fmt: skip


async def test_a_retried_step_keeps_its_key() -> None:
    stage = Stage(failing={"run_1/a": ["got HTTP 503 from the server", "got HTTP 429"]})
    said = document(http("a", retry={"max_attempts": 3, "backoff": {"min_ms": 500, "factor": 10, "jitter": False}}))
    assert await played(said, stage) == RunEnd("completed", "https://a.example/")
    assert stage.effects == {"run_1/a": 1}
    assert stage.records["a"].attempt == 3
    assert stage.slept == 0.5
    assert stage.clock == START + timedelta(seconds=5.5)  # the second delay ended the process's work


async def test_a_spent_retry_fails_the_run_and_nothing_else_begins() -> None:
    stage = Stage(failing={"run_1/a": ["no"] * 9})
    said = document(http("a", on_fail="retry_step"), http("b"))
    assert await played(said, stage) == RunEnd("failed", failed_at="a", error="no")
    assert len(stage.failing["run_1/a"]) == 6
    assert stage.effects == {}


async def test_a_failure_that_passes_not_is_not_retried() -> None:
    said = document(http("a", retry={"max_attempts": 5, "retry_on": "transient"}))
    stage = Stage(failing={"run_1/a": ["got HTTP 404", "x"]})
    assert await played(said, stage) == RunEnd("failed", failed_at="a", error="got HTTP 404")
    assert stage.failing["run_1/a"] == ["x"]


async def test_an_approval_pauses_and_a_decision_ends_it() -> None:
    said = document(wait("gate", "approval", what="Sail, {{ inputs.x }}?"), http("a"))
    stage = Stage()
    program = RunProgram("run_1", read_value(said).routine, inputs={"x": "now"})
    pause = await Interpreter(program, stage, stage).run()
    assert pause == Paused("gate", START + timedelta(hours=24), waiting=True)
    assert stage.records["gate"].error == "Sail, now?"
    assert await Interpreter(program, stage, stage).run() == pause
    assert stage.log == [("park", "gate")]
    stage.answers["gate"] = WaitOutcome("waited:approval:approved")
    assert await Interpreter(program, stage, stage).run() == RunEnd("completed", "https://a.example/")


async def test_a_denial_and_the_end_of_the_time_fail() -> None:
    said = document(wait("gate", "approval", what="Sail?"), http("a"))
    stage = Stage(answers={"gate": WaitOutcome(refusal="denied")})
    assert await played(said, stage) == RunEnd("failed", failed_at="gate", error="denied")
    stage = Stage()
    assert await played(said, stage) == RunEnd("failed", failed_at="gate", error="timed out")
    assert stage.effects == {}


async def test_times_and_events() -> None:
    said = document(wait("t", "datetime", what="2026-01-02T00:00:00Z"), text("a", "{{ steps.t.output }}"))
    stage = Stage()
    assert await played(said, stage) == RunEnd("completed", "waited:datetime")
    assert stage.clock == START + timedelta(days=1)
    said = document(wait("t", "datetime", what="2020-01-02T00:00:00+02:00"))
    assert await played(said, Stage()) == RunEnd("completed", "waited:datetime:past")
    ending = await played(document(wait("t", "datetime", what="tomorrow")), Stage())
    assert isinstance(ending, RunEnd)
    assert ending.outcome == "failed"
    said = document(wait("e", "event", what="docked.{{ inputs.x }}"))
    stage = Stage()
    assert await played(said, stage, inputs={"x": "1"}) == Paused("e", None, waiting=True)
    assert stage.records["e"].error == "docked.1"
    stage.answers["e"] = WaitOutcome("payload")
    assert await played(said, stage, inputs={"x": "1"}) == RunEnd("completed", "payload")


def loop(items: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": "each", "type": "foreach", "foreach": {"items": items, "as": "el", "steps": list(steps)}} | more


async def test_a_loop_runs_its_body_for_each_element() -> None:
    body = (text("get", "{{ inputs.el }}"), text("twice", "[{{ steps.get.output }},{{ steps.get.output }}]"))
    ending = await played(document(loop("{{ inputs.x }}", *body)), stage := Stage(), inputs={"x": [1, 2.50, "c"]})
    assert ending == RunEnd("completed", '[[1,1],[2.5,2.5],"[c,c]"]')
    assert stage.records["each[2].twice"].output == "[c,c]"
    assert await played(document(loop("[]", *body)), Stage()) == RunEnd("completed", "[]")
    ending = await played(document(loop("{{ inputs.x }}", *body)), Stage(), inputs={"x": "none"})
    assert ending == RunEnd("failed", failed_at="each", error="items is no JSON array")


async def test_a_failing_element_ends_the_loop_and_a_retry_repeats_it_alone() -> None:
    said = document(loop("[0,1,2]", http("get", "https://a.example/{{ inputs.el }}")))
    stage = Stage(failing={"run_1/each[1].get": ["got HTTP 500"]})
    ending = await played(said, stage)
    assert ending == RunEnd("failed", failed_at="each", error="element 1: got HTTP 500")
    said["steps"][0]["retry"] = {"max_attempts": 2}
    stage = Stage(failing={"run_1/each[1].get": ["got HTTP 500"]})
    assert isinstance(ending := await played(said, stage), RunEnd)
    assert ending.outcome == "completed"
    assert stage.effects == {f"run_1/each[{n}].get": 1 for n in range(3)}


async def test_costs_end_a_run() -> None:
    said = document(http("a"), http("b"), http("c"), max_cost_usd=2.5)
    stage = Stage()
    ending = await played(said, stage, inputs={"cost": 2})
    assert isinstance(ending, RunEnd)
    assert (ending.outcome, ending.failed_at) == ("failed", "b")
    assert "cost cap exceeded" in ending.error
    assert sorted(stage.effects) == ["run_1/a", "run_1/b"]
    again = await played(said, stage, inputs={"cost": 2})
    assert (again.outcome, stage.effects["run_1/c"]) == ("failed", 0)  # type: ignore[union-attr]


async def test_hooks() -> None:
    hooks = {name: http(name) for name in ("before_all", "after_all", "on_failure")}
    stage = Stage()
    await played(document(http("a", hooks={"before": http("pre"), "after": http("post")}), hooks=hooks), stage)
    assert list(stage.effects) == [
        f"run_1/{path}" for path in ("hook:before_all", "a:before", "a", "a:after", "hook:after_all")
    ]
    stage = Stage(failing={"run_1/hook:before_all": ["no"]})
    assert await played(document(http("a"), hooks=hooks), stage) == RunEnd("failed", failed_at="before_all", error="no")
    assert "run_1/a" not in stage.effects
    stage = Stage(failing={"run_1/hook:after_all": ["no"]})
    ending = await played(document(http("a"), hooks=hooks), stage)
    assert isinstance(ending, RunEnd)
    assert (ending.outcome, stage.warnings) == ("completed", [("hook after_all", "no")])


async def test_a_run_that_was_ended_elsewhere_does_no_more() -> None:
    stage = Stage(stopped=True)
    with pytest.raises(StoppedError):
        await played(document(http("a"), http("b")), stage)
    assert stage.effects == {}


ALL = document(
    http("a", hooks={"before": http("pre"), "after": http("post")}),
    wait("t", "datetime", what="2026-01-02T00:00:00Z"),
    loop("[0,1,2,3]", http("get", "https://a.example/{{ inputs.el }}"), text("s", "{{ steps.get.output }}", "length")),
    text("z", "{{ steps.each.output }}", ".[3]"),
    http("last", retry={"max_attempts": 2, "backoff": {"min_ms": 9000, "max_ms": 9000}}),
    hooks={"after_all": http("end")},
)  # fmt: skip
GRAPH = document(http("a"), http("b"), http("c", needs=["a", "b"]), http("d", needs=["a"]), http("e", needs=["d", "c"]))


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.sets(st.integers(1, 60), max_size=6), st.booleans(), st.sampled_from([ALL, GRAPH]))
async def test_a_process_that_ends_loses_no_step_and_doubles_none(
    crashes: set[int], fails: bool, said: dict[str, Any]
) -> None:
    """The record is that of a run without crashes; only an effect whose record was lost is repeated, under its key."""
    calm, torn = (Stage(failing={"run_1/last": ["got HTTP 503"]} if fails else {}) for _ in range(2))
    torn.crashes = set(crashes)
    assert await played(said, torn) == await played(said, calm)

    def ended(stage: Stage) -> dict[str, StepRecord]:
        """Without the number of the attempt: an attempt whose failure was not recorded is made again."""
        return {path: StepRecord(record.state, output=record.output) for path, record in stage.records.items()}

    assert ended(torn) == ended(calm)
    assert set(torn.effects) == set(calm.effects)
    assert sum(torn.effects.values()) - len(calm.effects) <= len(crashes)
    completed = [path for kind, path in torn.log if kind == "complete"]
    assert len(completed) == len(set(completed))
