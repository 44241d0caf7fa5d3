"""REST: triage rules."""

from models.work.triage_rules import TriageRule
from resolvers.work import triage_rules
from rest_compat.http.table import DELETE, GET, PATCH, POST, Wire


class TriageRuleJSON(Wire, of=TriageRule):
    fields = """
        id name pattern match_type crew_id assignee_id priority project_id labels_json position enabled on_create
        match_count created_at
    """


RULES = "/api/v1/triage-rules"
ROUTES = (
    GET(RULES, triage_rules.list_triage_rules, list[TriageRuleJSON]),
    POST(RULES, triage_rules.create_triage_rule, TriageRuleJSON, status=201),
    PATCH(f"{RULES}/{{ruleId}}", triage_rules.update_triage_rule, TriageRuleJSON),
    DELETE(f"{RULES}/{{ruleId}}", triage_rules.delete_triage_rule, status=204),
    POST("/api/v1/triage/process", triage_rules.process_backlog, triage_rules.Processed),
)
