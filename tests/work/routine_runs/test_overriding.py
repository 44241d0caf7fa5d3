"""Overrides of steps: another prompt or model, in runs that begin later."""

from typing import Any

import orjson
import pytest

from models.people.workspaces import Role
from models.staff.agents import CliAdapter, LlmProvider
from resolvers.errors import Code, Refusal
from resolvers.staff.runs.briefing import brief
from resolvers.staff.runs.routine_steps import agent_run_id
from resolvers.work import routine_runs
from resolvers.work.routine_runs import overriding
from tests.every import each_of
from tests.work.routine_runs.yard import RoutineYard, text

pytestmark = pytest.mark.anyio
GATE = {"id": "gate", "type": "wait", "wait": {"kind": "approval", "approval_prompt": "Sail?"}}


def asks(slug: str, prompt: str = "Row {{ inputs.x }}", **more: Any) -> dict[str, Any]:
    return {"id": "ask", "type": "agent_run", "agent_slug": slug, "prompt": prompt} | more


async def override(yard: RoutineYard, slug: str, step: str = "ask", **raw: Any) -> None:
    made = await yard.ask(routine_runs.set_step_override, {"slug": slug, "step_id": step, **raw})
    assert made == {"ok": True, "step_id": step}


async def refusal_of(yard: RoutineYard, slug: str, step: str = "ask", **raw: Any) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await override(yard, slug, step, **raw)
    return refused.value


async def overrides(yard: RoutineYard, slug: str) -> Any:
    return (await yard.ask(routine_runs.list_step_overrides, {"slug": slug}))["overrides"]


async def prompted(yard: RoutineYard, run_id: str) -> str:
    row = await yard.ended(run_id)
    assert row["status"] == "completed", row["error_message"]
    run = await yard.found("SELECT prompt FROM runs WHERE id = $1", agent_run_id(run_id, "ask", 1))
    return str(run["prompt"])


async def test_another_prompt_is_used_until_it_is_cleared(yard: RoutineYard) -> None:
    agent = await yard.estate.agent(crew_id=yard.crew.id)
    routine = await yard.routine(asks(agent.slug))
    assert await overrides(yard, routine.slug) == []
    await override(yard, routine.slug, prompt="Sail {{ inputs.x }}")
    assert await overrides(yard, routine.slug) == [{"step_id": "ask", "prompt": "Sail {{ inputs.x }}"}]
    assert await prompted(yard, await yard.started(routine, inputs={"x": "far"})) == "Sail far"
    for _ in range(2):
        await yard.ask(routine_runs.clear_step_override, {"slug": routine.slug, "step_id": "ask"})
    assert await overrides(yard, routine.slug) == []
    assert await prompted(yard, await yard.started(routine, inputs={"x": "far"})) == "Row far"
    sql = "SELECT action, data::text FROM audit_logs WHERE entity_id = $1 ORDER BY seq"
    log = await yard.estate.owner.fetch(sql, routine.id)
    assert [line["action"] for line in log] == ["routine.step_overridden", "routine.step_override_cleared"]


async def test_a_run_under_way_continues_as_it_began(yard: RoutineYard) -> None:
    agent = await yard.estate.agent(crew_id=yard.crew.id)
    routine = await yard.routine(GATE, asks(agent.slug))
    await override(yard, routine.slug, prompt="First")
    run_id = await yard.started(routine, inputs={"x": "far"})
    await yard.reached(run_id, "waiting")
    await override(yard, routine.slug, prompt="Second")
    sent = {"token": await yard.token(run_id), "approved": True}
    await yard.ask(routine_runs.decide_waitpoint, sent)
    assert await prompted(yard, run_id) == "First"


async def model_of(yard: RoutineYard, run_id: str) -> str | None:
    """The model that the worker of the agent is given."""
    row = await yard.ended(run_id)
    assert row["status"] == "completed", row["error_message"]
    answer = await brief(yard.caller, {"id": agent_run_id(run_id, "ask", 1)})
    return orjson.loads(answer.body or b"")["agent"]["llm_model"]  # type: ignore[no-any-return]


async def test_another_model_is_used(yard: RoutineYard) -> None:
    own = {"llm_provider": LlmProvider.ANTHROPIC, "llm_model": "own", "cli_adapter": CliAdapter.CLAUDE_CODE}
    agent = await yard.estate.agent(crew_id=yard.crew.id, **own)
    routine = await yard.routine(asks(agent.slug))
    assert await model_of(yard, await yard.started(routine)) == "own"
    for named, model in (
        ("claude:claude-x", "claude-x"),
        ("claude-y", "claude-y"),
        ("gpt:small", "gpt:small"),
        ("smart", "claude-opus-4-7"),
        ("fast", "claude-haiku-4-5-20251001"),
    ):
        await override(yard, routine.slug, model_override=named)
        assert await model_of(yard, await yard.started(routine)) == model
    await override(yard, routine.slug, prompt="Row")
    assert await model_of(yard, await yard.started(routine)) == "own", "the whole override is replaced"
    own_model = await yard.routine(asks(agent.slug, model_override="claude:claude-z"))
    assert await model_of(yard, await yard.started(own_model)) == "claude-z"
    await override(yard, own_model.slug, model_override="moderate")
    assert await model_of(yard, await yard.started(own_model)) == "claude-sonnet-4-6"


async def test_a_model_of_another_provider_fails_the_step(yard: RoutineYard) -> None:
    agent = await yard.estate.agent(crew_id=yard.crew.id, llm_provider=LlmProvider.OPENAI)
    routine = await yard.routine(asks(agent.slug))
    await override(yard, routine.slug, model_override="smart")
    row = await yard.ended(await yard.started(routine))
    assert (row["status"], row["failed_at_step"]) == ("failed", "ask")
    assert row["error_message"].endswith(f"is not of the provider of the agent {agent.slug!r}")


@each_of(
    "step, raw, code",
    [
        ("nope", {"prompt": "Row"}, Code.NOT_FOUND),
        ("ask", {}, Code.BAD_REQUEST),
        ("ask", {"prompt": " ", "model_override": " "}, Code.BAD_REQUEST),
        ("ask", {"prompt": "{{ inputs.y }}"}, Code.UNPROCESSABLE),
        ("ask", {"prompt": "{{ steps.later.output }}"}, Code.UNPROCESSABLE),
        ("ask", {"prompt": "x" * 64_001}, Code.BAD_REQUEST),
    ],
)
async def test_bad_overrides_are_refused(yard: RoutineYard, step: str, raw: dict[str, Any], code: Code) -> None:
    routine = await yard.routine(asks("mate"), text("later", "x"))
    refusal = await refusal_of(yard, routine.slug, step, **raw)
    assert refusal.code is code
    if code is Code.UNPROCESSABLE:
        assert [fault["pointer"] for fault in refusal.extra["faults"]] == ["/steps/0/prompt"]
    assert await overrides(yard, routine.slug) == []


async def test_a_prompt_with_parts_that_are_not_executed_is_refused_at_the_start(yard: RoutineYard) -> None:
    routine = await yard.routine(asks("mate"))
    await override(yard, routine.slug, prompt="{{ secrets.API_KEY }}")
    with pytest.raises(Refusal) as refused:
        await yard.started(routine)
    assert "`secrets`" in refused.value.detail


async def test_overrides_have_a_largest_size_and_number(yard: RoutineYard, monkeypatch: pytest.MonkeyPatch) -> None:
    routine = await yard.routine(asks("mate"), text("a", "x"))
    for name, most in (("MOST_OVERRIDES", 1), ("LARGEST", 50)):
        with monkeypatch.context() as patched:
            patched.setattr(overriding, name, most)
            await override(yard, routine.slug, prompt="Row")
            assert (await refusal_of(yard, routine.slug, "a", model_override="fast")).code is Code.UNPROCESSABLE
    assert len(await overrides(yard, routine.slug)) == 1


async def test_members_do_not_override(yard: RoutineYard) -> None:
    routine, member = await yard.routine(asks("mate")), await yard.member(Role.MEMBER)
    for operation, raw in (
        (routine_runs.set_step_override, {"prompt": "Row"}),
        (routine_runs.clear_step_override, {}),
    ):
        with pytest.raises(Refusal) as refused:
            await yard.ask(operation, {"slug": routine.slug, "step_id": "ask", **raw}, None, member)
        assert refused.value.code is Code.FORBIDDEN
