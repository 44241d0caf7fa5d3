"""Triage rules themselves: list, create, update, delete."""

import asyncio
from typing import Annotated

from pydantic import Field
from sqlalchemy import func, select
from sqlmodel import col

from models import bounds
from models.people.workspaces import Workspace
from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.projects import Project
from models.work.triage_rules import LONGEST_PATTERN, MatchType, TriageRule
from resolvers.kernel import (
    EVERYONE,
    Action,
    Bool,
    ById,
    Code,
    Context,
    Deleted,
    Emptied,
    Id,
    Input,
    Int,
    NoInput,
    Patch,
    Prompt,
    QueryScope,
    Ref,
    Refusal,
    Rows,
    Subject,
    command,
    extend,
    graph,
    invalid,
    many,
    one,
    query,
)
from resolvers.kernel.ground.inputs import INT32
from resolvers.kernel.reader import closed
from resolvers.rules.issue_fields import IssuePriority, Priority
from resolvers.rules.patterns import compiled
from resolvers.work.triage_rules.events import TriageRuleCreated, TriageRuleDeleted, TriageRuleUpdated

MOST_RULES = 200
NO_REGEX = "must be a regular expression of RE2's syntax, without look-around and back-references, and not too large"
RuleName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LABEL)]
Pattern = Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_PATTERN)]
CrewId = Annotated[Id, Ref(Crew)]
AgentId = Annotated[Id, Ref(Agent)]
ProjectId = Annotated[Id, Ref(Project)]
IN_ORDER = (col(TriageRule.position), col(TriageRule.created_at), col(TriageRule.id))
RULE = Subject(TriageRule, "id", called="Triage rule")

graph(
    TriageRule,
    gate=Action.READ,
    scope="issues:read",
    visible=EVERYONE,
    priority_level=closed(IssuePriority, "priority"),
    crew=one(Crew, "crew_id"),
    assignee=one(Agent, "assignee_id"),
    project=one(Project, "project_id"),
)
extend(Workspace, triage_rules=many(TriageRule, "workspace_id", order_by=IN_ORDER))


class CreateTriageRule(Input):
    """`contains` ignores case, `regex` (RE2 syntax) searches anywhere in the title, `exact` compares whole titles.

    `assignee_id` is an agent. `labels_json` is stored but not applied. With `on_create` the rule also applies to
    new issues.
    """

    name: RuleName
    pattern: Pattern
    match_type: MatchType
    crew_id: Emptied[CrewId] = None
    assignee_id: Emptied[AgentId] = None
    priority: Priority | None = None
    project_id: Emptied[ProjectId] = None
    labels_json: Prompt | None = None
    on_create: Bool = False


class UpdateTriageRule(Patch, ById):
    """Null clears nullable fields; an empty string clears the crew, the assignee and the project as well."""

    name: Annotated[str, Field(strict=True, max_length=bounds.LABEL)]
    pattern: Pattern
    match_type: MatchType
    crew_id: Emptied[CrewId]
    assignee_id: Emptied[AgentId]
    priority: Priority | None
    project_id: Emptied[ProjectId]
    labels_json: Prompt | None
    position: Int
    enabled: Bool
    on_create: Bool


@query("triage_rules.list", Action.READ)
def list_triage_rules(scope: QueryScope, data: NoInput) -> Rows[TriageRule]:
    """List triage rules.

    Sorted by position; ties by creation time.
    """
    return scope.select(TriageRule).order_by(*IN_ORDER)


@command("triage_rules.create", Action.CREATE, audit="triage_rule.created", emits=TriageRuleCreated)
async def create_triage_rule(ctx: Context, data: CreateTriageRule) -> TriageRule:
    """Create a triage rule.

    The rule is enabled and placed after existing rules. A workspace has at most 200 rules.
    """
    await _reads(data.pattern, data.match_type)
    await ctx.lock(f"triage_rules:{ctx.workspace_id}")
    own = ctx.table(TriageRule)
    [[last, number]] = await ctx.report(select(func.coalesce(func.max(own.c.position), 0), func.count()))
    if number >= MOST_RULES:
        raise Refusal(Code.BAD_REQUEST, f"A workspace has at most {MOST_RULES} triage rules")
    rule = TriageRule(position=min(last + 1, INT32), **data.model_dump())
    ctx.emit(TriageRuleCreated(id=rule.id))
    return await ctx.insert(rule)


@command(
    "triage_rules.update",
    Action.CREATE,
    audit="triage_rule.updated",
    subject=RULE,
    locked=True,
    emits=TriageRuleUpdated,
    versioned=TriageRule,
)
async def update_triage_rule(ctx: Context, rule: TriageRule, data: UpdateTriageRule) -> TriageRule:
    """Update a triage rule.

    Other rules keep their positions.
    """
    changes = data.something()
    await _reads(changes.get("pattern", rule.pattern), changes.get("match_type", rule.match_type))
    ctx.emit(TriageRuleUpdated(id=rule.id))
    return await ctx.edit(rule, **changes)


@command(
    "triage_rules.delete",
    Action.MANAGE,
    audit="triage_rule.deleted",
    subject=RULE,
    emits=TriageRuleDeleted,
    versioned=TriageRule,
)
async def delete_triage_rule(ctx: Context, rule: TriageRule, data: ById) -> Deleted:
    """Delete a triage rule.

    Issues keep the values that the rule has set.
    """
    await ctx.delete(TriageRule, rule.id)
    ctx.emit(TriageRuleDeleted(id=rule.id))
    return Deleted(id=rule.id)


async def _reads(pattern: str, match_type: MatchType) -> None:
    if match_type is MatchType.regex and await asyncio.to_thread(compiled, pattern) is None:
        raise invalid("pattern", NO_REGEX)
