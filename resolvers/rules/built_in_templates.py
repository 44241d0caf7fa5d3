"""The four built-in templates: every new workspace has them, and they are restored if a user removes one."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from sqlmodel import col

from models.work.templates import WorkflowTemplate, new_pattern_id
from resolvers.kernel import Context


class Pattern(NamedTuple):
    name: str
    description: str
    icon: str
    color: str
    steps: Sequence[Mapping[str, Any]]


def _step(id: str, title: str, role: str = "agent", *needs: str, **more: Any) -> dict[str, Any]:
    needed = {"depends_on": list(needs)} if needs else {}
    return {"id": id, "title": title, "agent_role": role} | needed | more


PATTERNS: Final = (
    Pattern(
        "sequential",
        "One task after the other",
        "arrow-right",
        "#3b82f6",
        (
            _step("step-1", "Step 1"),
            _step("step-2", "Step 2", "agent", "step-1"),
            _step("step-3", "Step 3", "agent", "step-2"),
        ),
    ),
    Pattern(
        "parallel",
        "Tasks side by side, and one that puts their results together",
        "git-branch",
        "#22c55e",
        (
            _step("task-a", "Parallel Task A"),
            _step("task-b", "Parallel Task B"),
            _step("task-c", "Parallel Task C"),
            _step("aggregate", "Aggregate Results", "lead", "task-a", "task-b", "task-c"),
        ),
    ),
    Pattern(
        "pipeline",
        "One task that prepares, two side by side, and one that finishes",
        "git-merge",
        "#8b5cf6",
        (
            _step("prepare", "Prepare"),
            _step("work-a", "Work Stream A", "agent", "prepare"),
            _step("work-b", "Work Stream B", "agent", "prepare"),
            _step("finalize", "Finalize", "lead", "work-a", "work-b"),
        ),
    ),
    Pattern(
        "dev-test-loop",
        "Development and test by turns, three times at most",
        "repeat",
        "#f59e0b",
        (
            _step("develop", "Implement feature", "developer", max_iterations=3),
            _step("test", "Test and review", "tester", "develop", max_iterations=3, loop_back_to="develop"),
        ),
    ),
)


def _row(pattern: Pattern) -> WorkflowTemplate:
    definition = {"name": pattern.name, "description": pattern.description, "steps": pattern.steps}
    return WorkflowTemplate(
        id=new_pattern_id(),
        name=pattern.name,
        description=pattern.description,
        template_json=orjson.dumps(definition).decode(),
        icon=pattern.icon,
        color=pattern.color,
        is_builtin=True,
    )


def add_built_in_templates(ctx: Context) -> None:
    """Adds the templates to a new workspace."""
    ctx.record(*[_row(pattern) for pattern in PATTERNS])


async def restore_built_in_templates(ctx: Context) -> None:
    """Adds the templates whose names are missing (contract: templates.list restores them)."""
    named = col(WorkflowTemplate.name).in_([pattern.name for pattern in PATTERNS])
    known = {row.name for row in await ctx.select(WorkflowTemplate, named).all()}
    ctx.record(*[_row(pattern) for pattern in PATTERNS if pattern.name not in known])
