"""Triage rules: titles of issues determine their assignee, crew and project."""

from resolvers.kernel import Domain
from resolvers.work.triage_rules.matching import FOR_NEW_ISSUES, applied_on_creation
from resolvers.work.triage_rules.processing import Processed, process_backlog
from resolvers.work.triage_rules.triage_rules import (
    create_triage_rule,
    delete_triage_rule,
    list_triage_rules,
    update_triage_rule,
)

DOMAIN = Domain("triage_rules", scopes="issues")
