"""GraphQL: triage rules."""

from datetime import datetime

import strawberry

from models.work.triage_rules import MatchType, TriageRule
from resolvers.work import triage_rules as triage_ops
from schema.bridge.fields import Edge, mutation, node, output, query
from schema.bridge.results import DeletedType


@node(TriageRule)
class TriageRuleType:
    """The action on unassigned issues whose title matches."""

    id: strawberry.ID
    name: str
    pattern: str
    match_type: MatchType
    crew_id: strawberry.ID | None
    crew: Edge | None
    assignee_id: strawberry.ID | None
    assignee: Edge | None
    priority: str | None
    project_id: strawberry.ID | None
    project: Edge | None
    labels_json: str | None = strawberry.field(description="Stored as it was sent, and not applied.")
    position: int
    enabled: bool
    on_create: bool = strawberry.field(description="Whether the rule is applied to new issues, too.")
    match_count: int = strawberry.field(description="How many issues it has matched.")
    created_at: datetime
    updated_at: datetime
    version: int


@output(triage_ops.Processed, name="TriageProcessed")
class ProcessedType:
    """The number of unassigned issues in the backlog, and the number that a rule matched."""

    processed: int
    matched: int


@strawberry.type
class TriageRuleQuery:
    triage_rules = query(triage_ops.list_triage_rules, TriageRuleType)


@strawberry.type
class TriageRuleMutation:
    create_triage_rule = mutation(triage_ops.create_triage_rule, TriageRuleType)
    update_triage_rule = mutation(triage_ops.update_triage_rule, TriageRuleType)
    delete_triage_rule = mutation(triage_ops.delete_triage_rule, DeletedType)
    process_triage = mutation(triage_ops.process_backlog, ProcessedType)
