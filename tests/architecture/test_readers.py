"""Every stored column has a reader: an accepted value without one would be a broken promise."""

import ast

from models.base import table_of
from tests.architecture.readers import BY_THE_KERNEL, WORD, Reading, is_used, reading, readings, shown, tables
from tests.architecture.source import ROOT
from tests.every import each_of

READ_ELSEWHERE = {
    "agent_mcp_bindings": ("resolvers/resources/integrations/given.py", "cred_type cred_header env_var_name"),
    "approval_gates": ("resolvers/staff/runs/briefing.py", "pattern mode"),
    "audit_logs": ("resolvers/kernel/writing/persons.py", "salt"),
    "audit_seals": ("resolvers/oversight/audit/verification.py", "rows dropped_at"),
    "cost_days": ("resolvers/staff/runs/booking.py", "slot"),
    "idempotency_keys": ("resolvers/kernel/writing/idempotency.py", "operation key"),
    "recurring_issues": ("resolvers/work/recurring_issues/firing.py", "description priority"),
    "routine_run_steps": ("runtime/work/routines/recorded.py", "error due_at"),
    "routine_runs": ("runtime/work/routines/carrying.py", "overrides started_metadata"),
    "routine_signal_waits": ("runtime/work/routines/recorded.py", "payload"),
    "push_subscriptions": ("runtime/attention/push.py", "next_attempt_at"),
    "webhook_endpoints": ("resolvers/attention/webhook_endpoints/sending.py", "secret"),
}
"""Columns that a module reads which does not name the class: it was given the rows, or puts the text together."""

UNREAD = {
    "admin_token_uses": ("token_id used_at ip user_agent path", "the uses of ADMIN tokens, for the operator"),
    "audit_seals": ("sealed_at", "for the operator; what a seal proves is its order, not a clock"),
    "gdpr_actions": ("actor_user_id reason", "the register of what was done for whom, for the operator"),
    "missions": ("routine_inputs", "no issue starts a routine yet"),
    "peer_card_audit": (
        "actor_user_id actor_kind action target_user_id details",
        "who has read cards, for the operator",
    ),
    "sessions": ("revoked_reason", "for the operator"),
}
"""Columns that nothing reads, each with the reason for it."""

SHOWN: dict[str, str] = {
    "agent_credentials": "lease_source",
    "agent_skills": "config",
    "agents": "cli_tools schedule_last_run learning_set_by_user_id learning_set_at learning_reason",
    "approvals": "requested_by decided_by",
    "chat_participants": "role",
    "chats": "message_count ended_at",
    "checkpoints": "state created_by",
    "cost_days": "cached_input_tokens cache_creation_tokens",
    "credential_rotations": "grace_seconds",
    "credentials": (
        "account_email token_expires_at last_error last_used_ips provisioned_for_service created_by_actor_type"
    ),
    "crews": "policy_set_by_user_id policy_set_at policy_reason",
    "escalations": "peer_conversation_id",
    "feature_flags": "description",
    "gdpr_actions": "scope error completed_at",
    "hooks": "created_by",
    "inbox_items": "resolved_by_user_id",
    "linked_identities": "provider",
    "issue_code_links": (
        "kind title state author source_branch target_branch remote_created_at remote_updated_at remote_merged_at"
        " remote_closed_at last_synced_at"
    ),
    "labels": "label_group",
    "mcp_registry_servers": (
        "icon transport source_url homepage_url package_name package_registry command endpoint auth_type env_vars_json"
        " is_verified"
    ),
    "mcp_tool_calls": "mcp_server_scope tool_name duration_ms error_message",
    "memory_proposals": "decided_by_user_id entries_scanned reason scores",
    "memory_versions": "parent_sha",
    "message_feedback": "reason",
    "messages": "tool_name",
    "milestones": "target_date",
    "mission_tasks": "output_path duration_ms needs_review evaluation_status "
    "evaluation_notes approval_status approved_by approved_at",
    "missions": "estimate authored_via total_token_count",
    "model_calls": "step quota_remaining_pct quota_window rate_limited",
    "notification_deliveries": "sent_at",
    "notifications": "from_workspace_id actor_type actor_id actor_name action entity_type entity_id",
    "passkeys": "last_used_at",
    "peer_cards": "path",
    "preferences": "value",
    "projects": "description icon health start_date target_date",
    "recurring_issues": "last_run",
    "push_subscriptions": "label last_error last_success_at",
    "routine_schedules": "disabled_reason last_error last_missed_count last_run_at last_run_id last_status last_wake_at"
    " last_wake_status wake_check_count wake_fire_count",
    "routine_trust_grants": "reason revoke_reason revoked_by_user_id",
    "routine_waitpoints": "prompt timeout_at comment",
    "routines": "authored_via color icon last_invocation_status",
    "routine_webhooks": "fire_count last_run_id last_status",
    "runners": "seen_at refused_at",
    "saved_views": "filters_json sort_json view_type",
    "security_logs": "action entity_type entity_id data ip_address user_agent actor_type actor_id",
    "service_accounts": "description",
    "skills": "skill_version downloads rating_avg rating_count featured pricing_tier tool_count "
    "spdx_license mcp_server_command mcp_server_image mcp_transport dependencies allowed_domains "
    "changelog security_score",
    "triage_rules": "labels_json match_count",
    "webhook_deliveries": "subject delivered_at",
    "webhook_endpoints": "created_by",
    "webhook_receipts": "event source times last_at",
    "work_pauses": "last_error resumed_by_user_id",
    "workspace_mcp_servers": "display_name icon",
    "workspaces": "allow_privileged_credentials logo_url preferred_language",
}
"""Columns that are shown and that nothing goes by: words and looks for people, and records of what was done. What is to
have an effect here has a reader of its own, and stands in no such list.
"""


def columns() -> list[tuple[str, str, str]]:
    """The class, the table and the name of each."""
    return [
        (name, table_of(model).name, column.name)
        for name, model in sorted(tables().items())
        for column in table_of(model).columns
        if column.name not in BY_THE_KERNEL
    ]


def unused() -> list[tuple[str, str, str]]:
    elsewhere = {(table, name) for table, (_, names) in READ_ELSEWHERE.items() for name in names.split()}
    return [
        (model, table, column)
        for model, table, column in columns()
        if (table, column) not in elsewhere and not is_used(tables()[model], column, readings())
    ]


def by_table(found: list[tuple[str, str]]) -> dict[str, set[str]]:
    made: dict[str, set[str]] = {}
    for table, column in found:
        made.setdefault(table, set()).add(column)
    return made


def test_nothing_is_stored_that_nothing_reads() -> None:
    found = [(table, column) for model, table, column in unused() if column not in shown()[model]]
    assert by_table(found) == {table: set(names.split()) for table, (names, _) in UNREAD.items()}


def test_what_is_only_shown_is_known_to_have_no_effect() -> None:
    found = [(table, column) for model, table, column in unused() if column in shown()[model]]
    assert by_table(found) == {table: set(names.split()) for table, names in SHOWN.items()}


@each_of("table", READ_ELSEWHERE)
def test_what_is_read_elsewhere_is_named_there(table: str) -> None:
    path, names = READ_ELSEWHERE[table]
    assert set(names.split()) <= set(WORD.findall((ROOT / path).read_text()))


WRITERS = """
from models.staff.crews import Crew
async def update(ctx, data):
    crew = await ctx.get(Crew, data.id)
    crew.color = data.color
    await ctx.update(crew, color=data.color)
    await ctx.run("INSERT INTO crews (color, icon) VALUES ($1, $2)")
    await ctx.run("UPDATE crews SET color = $1, icon = $2")
"""
READERS = (
    "crew.color",
    'row["color"]',
    "Crew.color",
    '"SELECT color FROM crews"',
    'extend(Crew, x=one(Agent, "color"))',
)


def test_what_writes_is_no_reader() -> None:
    assert not is_used(tables()["Crew"], "color", (reading(ast.parse(WRITERS)),))


@each_of("said", READERS)
def test_readers_are_seen(said: str) -> None:
    found: Reading = reading(ast.parse(f"{WRITERS}\nprint({said})"))
    assert is_used(tables()["Crew"], "color", (found,))
    assert not is_used(tables()["Crew"], "icon", (found,))
    assert not is_used(tables()["Label"], "color", (found,))
