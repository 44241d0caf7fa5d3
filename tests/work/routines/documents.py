"""Documents for the tests of the language: valid ones that together have each part."""

from typing import Any

STEPS: dict[str, dict[str, Any]] = {
    "agent_run": {
        "agent_slug": "writer",
        "prompt": "Write about {{ inputs.topic }}, after {{ routine.state.last }}.",
        "complexity": "fast",
        "validation": {"schema": {"type": "object"}, "min_length": 2, "max_length": 900, "must_not_contain": ["TODO"]},
        "outcomes": {"criteria": [{"name": "short", "rule": "is brief"}], "grader_agent_slug": "grader"},
        "on_fail": "abort",
    },
    "call_pipeline": {"pipeline_slug": "other", "inputs": {"a": "{{ inputs.topic }}", "b": 2}},
    "http": {
        "http": {
            "method": "post",
            "url": "https://api.example.com/{{ inputs.topic }}",
            "headers": {"X-Run": "{{ env.run_id }}"},
            "body": "{}",
            "credential_ref": {"type": "API_KEY", "inject_as": "header", "header_name": "X-Key"},
            "success_codes": [200, 418],
        },
        "retry": {
            "max_attempts": 3,
            "backoff": {"min_ms": 5, "factor": 1.5},
            "retry_on": "transient || status >= 500",
        },
    },
    "code": {"code": {"runtime": "cel", "code": "inputs.topic == 'x' && size(inputs.topic) < 9"}, "if": "off"},
    "wait": {"wait": {"kind": "approval", "approval_prompt": "Publish {{ inputs.topic }}?"}, "timeout_seconds": 60},
    "transform": {"transform": {"input": "{{ inputs.topic }}", "expression": "."}, "if": "{{ inputs.topic }}"},
    "notify": {"notify": {"to": "trigger", "title": "Done: {{ handlebars }}", "category": "routines.completed"}},
    "script": {"script": {"path": "bin/report.py", "args": ["{{ inputs.topic }}"], "env": {"A": "{{ secrets.k }}"}}},
    "query": {"query": {"source": "pipeline_runs", "window_hours": 48}, "if": "inputs.topic != ''"},
    "foreach": {
        "foreach": {
            "items": "{{ inputs.topics }}",
            "as": "each",
            "parallelism": 4,
            "steps": [
                {"id": "one", "type": "transform", "transform": {"input": "{{ inputs.each }}", "expression": "."}},
                {"id": "two", "type": "transform", "transform": {"input": "{{ steps.one.output }}", "expression": "."}},
            ],
        },
        "state_write": {"last": "{{ steps.a-foreach.output }}"},
    },
    "crewship": {"action": "issue.comment", "args": {"identifier": "OPS-1", "body": "{{ inputs.topic }}"}},
}

HOOK = {"id": "hook", "type": "transform", "transform": {"input": "x", "expression": "."}}


def step(type_: str, id_: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": id_ or f"a-{type_}", "type": type_, **STEPS[type_], **more}


def routine(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "sample", "steps": list(steps) or [step("transform")], "inputs": INPUTS, **more}


INPUTS: list[dict[str, Any]] = [
    {"name": "topic", "type": "string", "required": True, "min": 1, "max": 90},
    {"name": "topics", "type": "array", "default": ["a", "b"]},
    {"name": "limit", "type": "number", "default": 1.5},
]

WHOLE = routine(
    *(step(each) for each in STEPS),
    dsl_version="1.0",
    display_name="A sample",
    outputs=[{"name": "text", "type": "string"}],
    parallelism="auto",
    egress_targets=["example.com"],
    integrations_required=[" GitHub "],
    credentials_required=[{"type": "API_KEY"}],
    resources={"datastores": [{"type": "redis"}], "tools": [{"type": "git", "name": "git"}]},
    concurrency_key="{{ inputs.topic }}",
    max_concurrent=2,
    max_cost_usd=0.5,
    execution_tier={"preferred": "smart", "fallback": ["fast"]},
    guardrails={"input": {"prompt_injection": {"action": "log"}}},
    hooks={"before_all": HOOK, "after_all": HOOK, "on_failure": HOOK},
    eval={"online": {"sample_rate": 0.5, "grader_agent_slug": "grader"}},
    slash={"enabled": True, "label": "Go", "icon": "play"},
    later_versions_may_add={"more": [1, None]},
)
NEEDS = routine(
    step("transform", "left", hooks={"before": HOOK, "after": HOOK}),
    step("transform", "right"),
    {
        "id": "both", "type": "transform", "needs": ["left", "right"], "if": "steps.left != steps.right",
        "transform": {"input": "{{ steps.left.output }}{{ steps.right.output.a.b }}", "expression": "length"},
    },
)  # fmt: skip
VALID = {"smallest": {"name": "x", "steps": [HOOK]}, "whole": WHOLE, "needs": NEEDS}
