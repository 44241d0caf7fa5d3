"""Documents of routines: what is taken, and each fault with its path and line."""

import json
from typing import Any

import pytest
import yaml

from models.work.routines.document import AgentRunStep, ForeachStep
from models.work.routines.faults import RefusedRoutine
from models.work.routines.reading import MOST_FAULTS, read_routine, read_value
from tests.every import each_of
from tests.work.routines.documents import HOOK, INPUTS, STEPS, VALID, WHOLE, routine, step


def faults(document: Any) -> dict[str, str]:
    with pytest.raises(RefusedRoutine) as caught:
        read_value(document)
    return {fault.pointer: fault.text for fault in caught.value.faults}


@each_of("name", list(VALID))
def test_valid_documents(name: str) -> None:
    texts = (json.dumps(VALID[name]), json.dumps(VALID[name], indent="\t"), yaml.safe_dump(VALID[name]))
    read = [read_routine(text) for text in texts]
    assert all(each.value == VALID[name] for each in read)
    assert len({each.hash for each in read}) == 1
    assert read[0].routine == read[1].routine == read[2].routine


def test_the_model_has_all_parts() -> None:
    read = read_value(WHOLE).routine
    assert [each.type for each in read.steps] == list(STEPS)
    first, loop = read.steps[0], read.steps[9]
    assert isinstance(first, AgentRunStep)
    assert isinstance(loop, ForeachStep)
    assert first.outcomes is not None
    assert (first.agent_slug, first.outcomes.on_fail, loop.foreach.item_name) == ("writer", "abort", "each")
    assert (read.complexity_of(first), read.complexity_of(loop)) == ("fast", "smart")
    assert read.integrations_required == ["github"]
    assert read.hooks.on_failure is not None


@each_of(
    ("changed", "pointer", "text"),
    [
        (routine(name="A b"), "/name", "pattern"),
        (routine(dsl_version="2.0"), "/dsl_version", "'1.0'"),
        (routine(parallelism="maybe"), "/parallelism", "'off'"),
        (routine(steps=[]), "/steps", "at least 1"),
        (routine(steps=[HOOK] * 501), "/steps", "501 steps"),
        (routine(steps="no"), "/steps", "list"),
        (routine({"type": "query", "query": {"source": "pipeline_runs"}}), "/steps/0/id", "required"),
        (routine({"id": "a", "type": "shell"}), "/steps/0/type", "allowed: agent_run, call_pipeline"),
        (routine({"id": "a"}), "/steps/0/type", "required"),
        (routine(step("http", http={"method": "HEAD", "url": "x"})), "/steps/0/http/method", "GET, POST"),
        (routine(step("http", http={"method": "GET", "url": " "})), "/steps/0/http/url", "pattern"),
        (routine(step("code", code={"runtime": "lua", "code": "x"})), "/steps/0/code/runtime", "'python'"),
        (routine(step("wait", wait={"kind": "datetime"})), "/steps/0/wait", "requires until"),
        (routine(step("notify", notify={"to": "everyone", "body": "x"})), "/steps/0/notify", "crew:<slug>"),
        (routine(step("notify", notify={"to": "trigger"})), "/steps/0/notify", "title or a body"),
        (routine(step("script", script={"path": "../x.py"})), "/steps/0/script", "under /crew/shared/"),
        (routine(step("script", script={"path": "x.xyz"})), "/steps/0/script", "interpreter"),
        (routine(step("crewship", action="issue.crate")), "/steps/0/action", "'issue.create'"),
        (routine(step("crewship", args={"identifier": "A-1"})), "/steps/0", "argument 'body'"),
        (routine(step("transform", retry={"max_attempts": 11})), "/steps/0/retry/max_attempts", "10"),
        (routine(step("transform", retry={"max_attempts": True})), "/steps/0/retry/max_attempts", "integer"),
        (routine(step("agent_run", validation={"min_length": 2, "max_length": 1})), "/steps/0/validation", "exceeds"),
        (routine(step("transform", outcomes=STEPS["agent_run"]["outcomes"])), "/steps/0/outcomes", "agent_run"),
        (routine(egress_targets=["*"]), "/egress_targets/0", "no host"),
        (routine(slash={"label": "a\nb"}), "/slash/label", "one line"),
        (routine(inputs=[{"name": "a", "type": "uuid"}]), "/inputs/0/type", "'string'"),
        (routine(inputs=[{"name": "a b"}, *INPUTS]), "/inputs/0", "no blanks"),
        (routine(inputs=[{"name": "a", "min": 5, "max": 1}, *INPUTS]), "/inputs/0", "exceeds max"),
        (routine(inputs=[INPUTS[0], INPUTS[0]]), "/inputs/1/name", "declared twice"),
        (routine(inputs=[{"name": "topic", "default": 5}]), "/inputs/0/default", "type string"),
    ],
)  # fmt: skip
def test_faulty_parts(changed: dict[str, Any], pointer: str, text: str) -> None:
    found = faults(changed)
    assert list(found) == [pointer]
    assert text in found[pointer]


def said(text: str, id_: str = "a", **more: Any) -> dict[str, Any]:
    return step("transform", id_, transform={"input": text, "expression": "."}, **more)


@each_of(
    ("changed", "pointer", "text"),
    [
        (routine(said("x"), said("x")), "/steps/1/id", "duplicate"),
        (routine(said("x", needs=["gost"]), said("x", "ghost")), "/steps/0/needs/0", "did you mean: ghost?"),
        (routine(said("x", needs=["a"])), "/steps/0/needs/0", "itself"),
        (routine(said("x", needs=["b"]), said("x", "b", needs=["a"])), "/steps/0/needs", "cycle: a -> b -> a"),
        (routine(said("{{ inputs.topik }}")), "/steps/0/transform/input", "did you mean: topic"),
        (routine(said("{{ steps.b.output }}"), said("x", "b")), "/steps/0/transform/input", "not sure to have run"),
        (routine(said("{{ steps.a.output }}")), "/steps/0/transform/input", "not sure to have run"),
        (routine(said("x"), said("{{ steps.a.status }}", "b")), "/steps/1/transform/input", "steps.a.output"),
        (
            routine(said("x"), said("{{ steps.a.output }}", "b", needs=["c"]), said("x", "c")),
            "/steps/1/transform/input",
            "not sure",
        ),
        (routine(said("{{ vault.key }}")), "/steps/0/transform/input", "unknown namespace 'vault'"),
        (routine(said("{{ event.run_id }}")), "/steps/0/transform/input", "unknown namespace"),
        (routine(said("{{ thing }}")), "/steps/0/transform/input", "invalid reference"),
        (routine(said("{{ routine.last }}")), "/steps/0/transform/input", "routine.state.<key>"),
        (routine(step("notify", notify={"to": "trigger", "body": "{{ inputs.no }}"})), "/steps/0/notify/body", "'no'"),
        (routine(said("x", **{"if": "this is no CEL ((("})), "/steps/0/if", "does not compile"),
        (routine(said("x", **{"if": "inputz.a == 1"})), "/steps/0/if", "undeclared reference to 'inputz"),
        (
            routine(said("x", retry={"max_attempts": 2, "retry_on": "error + 'x'"})),
            "/steps/0/retry/retry_on",
            "must be a boolean",
        ),
        (routine(said("x", state_write={"k": "{{ steps.no.output }}"})), "/steps/0/state_write/k", "'no'"),
        (routine(said("x", hooks={"before": said("{{ steps.a.output }}", "h")})),
         "/steps/0/hooks/before/transform/input", "not sure"),
        (routine(hooks={"after_all": step("notify")}), "/hooks/after_all/type", "a hook is of type http"),
        (routine(step("call_pipeline", pipeline_slug="sample")), "/steps/0/pipeline_slug", "its own routine"),
        (routine(step("agent_run"), agentless=True), "/steps/0/type", "without agents"),
        (
            routine(agentless=True, eval={"online": {"sample_rate": 0.1}}),
            "/eval/online/sample_rate",
            "not judged",
        ),
        (routine(concurrency_key="{{ inputs.none }}"), "/concurrency_key", "unknown input"),
        (routine(concurrency_key="{{ env.run_id }}"), "/concurrency_key", "allowed: inputs"),
        (
            routine(inputs=[{"name": "topic"}], concurrency_key="{{ inputs.topic }}"),
            "/concurrency_key",
            "can be empty",
        ),
    ],
)  # fmt: skip
def test_parts_that_do_not_fit(changed: dict[str, Any], pointer: str, text: str) -> None:
    found = faults(changed)
    assert list(found) == [pointer]
    assert text in found[pointer]


@each_of("type_", ["wait", "call_pipeline", "foreach"])
def test_what_no_loop_contains(type_: str) -> None:
    loop = step("foreach", foreach={"items": "{{ inputs.topics }}", "steps": [step(type_)]})
    assert f"type {type_} cannot be" in faults(routine(loop))["/steps/0/foreach/steps/0/type"]


def test_accepted_where_it_could_be_mistaken() -> None:
    """A step before, a need of a need, an element of a loop, braces of other programs, a literal in a key."""
    read_value(routine(said("x"), said("{{ steps.a.output.b }}", "b")))
    read_value(routine(said("x"), said("x", "b", needs=["a"]), said("{{ steps.a.output }}", "c", needs=["b"])))
    read_value(routine(step("code", code={"runtime": "bash", "code": "echo {{ mustache }}"})))
    read_value(routine(inputs=[{"name": "topic"}], concurrency_key="k-{{ inputs.topic }}"))
    read_value(routine(said("x", description=None, needs=None, **{"if": "no"})))


DOCUMENT = """\
name: Not A Name
inputs:
  - {name: topic, type: uuid}
steps:
  - id: a
    type: transform
    transform:
      input: "{{ vault.key }}"
      expression: .
  - id: a
    type: http
  - id: c
    type: query
    needs: [ghost]
    query: {source: secrets}
  - id: d
    type: transform
    if: "1 +"
    transform: {input: x, expression: .}
"""


def test_all_faults_have_their_lines() -> None:
    with pytest.raises(RefusedRoutine) as caught:
        read_routine(DOCUMENT)
    assert [(fault.line, fault.column, fault.pointer) for fault in caught.value.faults] == [
        (1, 1, "/name"),
        (3, 19, "/inputs/0/type"),
        (8, 7, "/steps/0/transform/input"),
        (10, 5, "/steps/1/http"),
        (10, 5, "/steps/1/id"),
        (14, 13, "/steps/2/needs/0"),
        (15, 13, "/steps/2/query/source"),
        (18, 5, "/steps/3/if"),
    ]
    assert str(caught.value).startswith("8 validation errors:\n  - /name: ")


def test_lines_of_json() -> None:
    with pytest.raises(RefusedRoutine) as caught:
        read_routine('{\n\t"name": "x",\n\t"steps": [\n\t\t{"id": "\\ud83d\\ude00", "type": "query"}\n\t]\n}')
    assert {(fault.line, fault.pointer) for fault in caught.value.faults} == {(4, "/steps/0/id"), (4, "/steps/0/query")}


def test_faults_are_bounded() -> None:
    with pytest.raises(RefusedRoutine) as caught:
        read_value(routine(*(said(f"{{{{ inputs.no{n} }}}}", f"s{n}") for n in range(500))))
    assert len(caught.value.faults) == MOST_FAULTS
