"""Cases of triage rules, for the tests that are made for every operation."""

from models.work.triage_rules import MatchType, TriageRule
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


@entity
def triage_rule(plot: Plot) -> TriageRule:
    return TriageRule(
        name="Leaks",
        pattern="no title has this",
        match_type=MatchType.contains,
        crew_id=plot["crew"].id,
        assignee_id=plot["agent"].id,
        priority="high",
        project_id=plot["project"].id,
        labels_json="[]",
        position=1,
        **plot.here,
    )


IDS = {"rule_id": "triage_rule"}
LABELS = {"labels_json": '["clabel"]'}  # ids of labels, and no secret
RECIPES = {"triage_rules.create": Recipe(LABELS), "triage_rules.update": Recipe(LABELS | {"name": "Drops"})}
