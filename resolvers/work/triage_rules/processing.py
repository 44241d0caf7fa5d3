"""The rules applied to the backlog."""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import case, select
from sqlmodel import col

from models.work.missions import Mission, MissionStatus, MissionType
from models.work.triage_rules import TriageRule
from resolvers.kernel import Action, Code, Context, NoInput, Output, Refusal, command, plus
from resolvers.rules.config_text import shown
from resolvers.work.triage_rules.events import TriageProcessed
from resolvers.work.triage_rules.matching import Matcher, rules_in_order, written_by

PORTION = 500
LONGEST = 30.0
"""Seconds of the processor for all titles. Where rules need more nothing is written, and the slowest is named."""


def _waits(issue: Any) -> tuple[Any, ...]:
    """Conditions on unassigned issues."""
    unassigned = issue.assignee_id.is_(None) | (issue.assignee_id == "")
    return issue.mission_type == MissionType.issue, issue.status == MissionStatus.BACKLOG, unassigned


class Processed(Output):
    """The number of unassigned issues in the backlog, and the number that a rule matched."""

    processed: int
    matched: int


@command("triage.process", Action.CREATE, audit="triage.processed", emits=TriageProcessed, late=True)
async def process_backlog(ctx: Context, data: NoInput) -> Processed:
    """Apply the triage rules to the backlog.

    Covers issues without an assignee. The first enabled rule by position that matches the title sets crew,
    assignee, priority and project, if the rule has them; the identifier does not change.
    """
    found, processed = dict[str, list[str]](), 0
    rules = await rules_in_order(ctx)
    if rules:
        found, processed = await _compared(ctx, await asyncio.to_thread(Matcher, rules))
    await ctx.begin()
    if not found:
        return Processed(processed=processed, matched=0)
    counts = dict[str, dict[str, Any]]()
    matched = 0
    written = await written_by(ctx, rules)
    for rule in rules:  # in one order, so that no two calls wait for each other
        number = await _write(ctx, written[rule.id], found.get(rule.id, []))
        if number:
            counts[rule.id] = {"match_count": plus(number)}
            ctx.audit("TRIAGE_RULE", rule.id, name=rule.name, matched=number)
        matched += number
    await ctx.update_each(TriageRule, counts)
    if matched:
        ctx.emit(TriageProcessed(processed=str(processed), matched=str(matched)))
    return Processed(processed=processed, matched=matched)


async def _compared(ctx: Context, matcher: Matcher) -> tuple[dict[str, list[str]], int]:
    """The issues of each rule, and how many were compared. Neither a connection nor the loop is held meanwhile."""
    found, processed, last = dict[str, list[str]](), 0, ""
    while True:
        rows = await _titles(ctx, last)
        processed += len(rows)
        for id, rule in await asyncio.to_thread(matcher.firsts, rows):
            found.setdefault(rule.id, []).append(id)
        if matcher.seconds > LONGEST:
            raise Refusal(Code.BAD_REQUEST, f"The rules take too long; the slowest is {shown(matcher.slowest.name)}")
        if len(rows) < PORTION:
            return found, processed
        last = rows[-1][0]


async def _titles(ctx: Context, after: str) -> list[tuple[str, str]]:
    issues = ctx.table(Mission)
    portion = select(issues.c.id, issues.c.title).where(*_waits(issues.c), issues.c.id > after)
    return [(row[0], row[1]) for row in await ctx.report(portion.order_by(issues.c.id).limit(PORTION))]


async def _write(ctx: Context, values: dict[str, Any], ids: Sequence[str]) -> int:
    """Writes the values into the issues that are still unassigned, and returns their number. They count also if the
    rule has no values.
    """
    if project_id := values.get("project_id"):  # milestones of another project go
        kept = (col(Mission.project_id) == project_id, col(Mission.milestone_id))
        values = values | {"milestone_id": case(kept, else_=None)}
    number = 0
    for begin in range(0, len(ids), PORTION):
        those = (col(Mission.id).in_(ids[begin : begin + PORTION]), *_waits(Mission))
        if values:
            number += len(await ctx.update_where(Mission, *those, **values))
        else:
            number += await ctx.select(Mission, *those).count()
    return number
