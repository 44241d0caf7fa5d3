"""GraphQL: triage rules."""

import strawberry

from models.work.triage_rules import TriageRule
from resolvers.work import triage_rules as triage_ops
from schema.bridge.fields import mutation, node, output, query

output(triage_ops.Processed, name="TriageProcessed")


@node(TriageRule)
class TriageRuleType:
    """The action on unassigned issues whose title matches."""

    fields = """
        id name pattern match_type crew_id crew assignee_id assignee priority priority_level project_id project
        labels_json position enabled on_create match_count created_at updated_at version
    """
    priority_level = strawberry.field(description="Null if `priority` is an arbitrary text.")
    labels_json = strawberry.field(description="Stored as sent, but not applied.")
    on_create = strawberry.field(description="True if the rule also applies to new issues.")
    match_count = strawberry.field(description="The number of matched issues.")


@strawberry.type
class TriageRuleQuery:
    triage_rules = query(triage_ops.list_triage_rules, TriageRuleType)


@strawberry.type
class TriageRuleMutation:
    create_triage_rule = mutation(triage_ops.create_triage_rule, TriageRuleType)
    update_triage_rule = mutation(triage_ops.update_triage_rule, TriageRuleType)
    delete_triage_rule = mutation(triage_ops.delete_triage_rule)
    process_triage = mutation(triage_ops.process_backlog)
