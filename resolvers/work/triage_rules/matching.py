"""Which rule holds for a title: the first one that matches."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlmodel import col

from models.staff.agents import Agent
from models.staff.crews import Crew
from models.work.projects import Milestone
from models.work.triage_rules import MatchType, TriageRule
from resolvers.kernel import Context, Existence, plus
from resolvers.rules.patterns import compiled
from resolvers.work.triage_rules.triage_rules import IN_ORDER

FOR_NEW_ISSUES = Existence(TriageRule, col(TriageRule.enabled), col(TriageRule.on_create))

Matches = Callable[[str, str], Any]
"""`(title, the title in lower case)`."""


class Matcher:
    """Rules in their order, ready to be asked: in a thread, as what users write may be slow all the same."""

    def __init__(self, rules: Sequence[TriageRule]) -> None:
        """A rule whose pattern does not compile is left out."""
        made = [(rule, _matching(rule)) for rule in rules]
        self._rules = [(rule, matches) for rule, matches in made if matches is not None]
        self.seconds = 0.0
        """Processor time for all titles."""
        self._of_rules = dict.fromkeys((rule.id for rule in rules), 0.0)

    def firsts(self, titles: Sequence[tuple[str, str]]) -> list[tuple[str, TriageRule]]:
        """For pairs (id, title): the ids, each with the first rule that matches, if any."""
        begun = time.thread_time()
        found = [(id, self._first(title)) for id, title in titles]
        self.seconds += time.thread_time() - begun
        return [(id, rule) for id, rule in found if rule is not None]

    def _first(self, title: str) -> TriageRule | None:
        lower = title.lower()
        for rule, matches in self._rules:
            begun = time.perf_counter()
            found = matches(title, lower)
            self._of_rules[rule.id] += time.perf_counter() - begun
            if found:
                return rule
        return None

    @property
    def slowest(self) -> TriageRule:
        return max((rule for rule, _ in self._rules), key=lambda rule: self._of_rules[rule.id])


def _matching(rule: TriageRule) -> Matches | None:
    if rule.match_type is MatchType.exact:
        return lambda title, _: title == rule.pattern
    if rule.match_type is MatchType.contains:
        part = rule.pattern.lower()
        return lambda _, lower: part in lower
    expression = compiled(rule.pattern)
    return None if expression is None else lambda title, _: expression.search(title)


async def rules_in_order(ctx: Context, *conditions: Any) -> list[TriageRule]:
    """The enabled rules."""
    return await ctx.select(TriageRule, col(TriageRule.enabled), *conditions).order_by(*IN_ORDER).all()


async def written_by(ctx: Context, rules: Sequence[TriageRule]) -> dict[str, dict[str, Any]]:
    """The values that each rule writes into an issue, by the rule's id, without deleted crews and agents."""
    crews = await _live(ctx, Crew, {rule.crew_id for rule in rules})
    agents = await _live(ctx, Agent, {rule.assignee_id for rule in rules})
    made = dict[str, dict[str, Any]]()
    for rule in rules:
        values: dict[str, Any] = {"crew_id": rule.crew_id} if rule.crew_id in crews else {}
        if rule.assignee_id in agents:
            values |= {"assignee_type": "agent", "assignee_id": rule.assignee_id}
        values |= {"priority": rule.priority} if rule.priority else {}
        made[rule.id] = values | ({"project_id": rule.project_id} if rule.project_id else {})
    return made


async def _live(ctx: Context, model: type[Crew] | type[Agent], ids: set[str | None]) -> set[str]:
    known = [id for id in ids if id is not None]
    if not known:
        return set()
    return {row.id for row in await ctx.select(model, col(model.id).in_(known)).all()}


async def applied_on_creation(ctx: Context, values: dict[str, Any]) -> dict[str, Any]:
    """The values of a new issue, changed by the first rule for new issues that matches its title. Assigned issues are
    not triaged. Most workspaces have no such rule: a command that `asks` for FOR_NEW_ISSUES learns this from its gate.
    """
    if values.get("assignee_id") or FOR_NEW_ISSUES.none(ctx):
        return values
    rules = await rules_in_order(ctx, col(TriageRule.on_create))
    found = await asyncio.to_thread(lambda: Matcher(rules).firsts([("", values["title"])])) if rules else []
    if not found:
        return values
    rule = found[0][1]
    written = (await written_by(ctx, [rule]))[rule.id]
    if values.get("milestone_id") and not await _is_of(ctx, values["milestone_id"], written.get("project_id")):
        written = written | {"milestone_id": None}
    await ctx.update(TriageRule, rule.id, match_count=plus(1))
    return values | written


async def _is_of(ctx: Context, milestone_id: str, project_id: str | None) -> bool:
    if project_id is None:
        return True
    here = (col(Milestone.id) == milestone_id, col(Milestone.project_id) == project_id)
    return await ctx.select(Milestone, *here).exists()
