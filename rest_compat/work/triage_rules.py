"""REST: triage rules."""

from datetime import datetime

from models.work.triage_rules import MatchType, TriageRule
from resolvers.work import triage_rules
from rest_compat.http.table import DELETE, GET, PATCH, POST, Wire


class TriageRuleJSON(Wire, of=TriageRule):
    id: str
    name: str
    pattern: str
    match_type: MatchType
    crew_id: str | None
    assignee_id: str | None
    priority: str | None
    project_id: str | None
    labels_json: str | None
    position: int
    enabled: bool
    on_create: bool
    match_count: int
    created_at: datetime


RULES = "/api/v1/triage-rules"
ROUTES = (
    GET(RULES, triage_rules.list_triage_rules, list[TriageRuleJSON]),
    POST(RULES, triage_rules.create_triage_rule, TriageRuleJSON, status=201),
    PATCH(f"{RULES}/{{ruleId}}", triage_rules.update_triage_rule, TriageRuleJSON),
    DELETE(f"{RULES}/{{ruleId}}", triage_rules.delete_triage_rule, status=204),
    POST("/api/v1/triage/process", triage_rules.process_backlog, triage_rules.Processed),
)
