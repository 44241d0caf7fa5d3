"""Which columns hold data of a person: the one declaration that exports and erasures follow, and a test holds to the
database.

A foreign key to `users` speaks for itself: CASCADE, and the row is the person's; SET NULL, and the person did something
to a row of others. Closed sets, numbers, times, switches and other references need no mention. Of every other column it
is said here what it is:

* `whose`: the id of the person whose row it is. The row is exported, and deleted.
* `by`: the id of a person who did something, or to whom the row is given. The row is exported, and the id removed.
* `words`: what that person wrote or left behind: erased with the id. Where columns are declared as `by` they are those
  whose words these are, and not the foreign keys.
* `mentions`: text of anybody, which may name the person. The name and the address are taken out of rows that the person
  wrote, as AUTHORS says, and of no other one: a name is what somebody chose, and may be a word of anybody's.
* `hidden`: never exported.
* `nothing`: no data of a person.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from sqlalchemy import Table as SQLTable


class Held(NamedTuple):
    """Names of columns."""

    whose: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    nothing: tuple[str, ...] = ()


def held(
    whose: str = "", by: str = "", words: str = "", mentions: str = "", hidden: str = "", nothing: str = ""
) -> Held:
    return Held(*[tuple(names.split()) for names in (whose, by, words, mentions, hidden, nothing)])


DECLARED: Final[Mapping[str, Held]] = {
    "admin_token_uses": held(nothing="ip user_agent path"),  # goes with its token, which is the person's
    "agent_credentials": held(nothing="env_var_name"),
    "agent_mcp_bindings": held(
        mentions="config_override_json",
        nothing="mcp_server_id workspace_server_id crew_server_id cred_header env_var_name",
    ),
    "agent_skills": held(mentions="config"),
    "agents": held(
        mentions="name description role_title system_prompt persona schedule_prompt learning_reason hire_reason"
        " mcp_config_json",
        hidden="webhook_secret",
        nothing="slug llm_model avatar_seed avatar_style cli_tools schedule_cron",
    ),
    "approval_gates": held(mentions="pattern"),
    "approval_outcomes": held(nothing="tool arguments"),
    "approvals": held(
        by="decided_by requested_by", words="comment", mentions="reason payload",
        nothing="crew_id agent_id mission_id run_id tool arguments",
    ),
    "assignments": held(mentions="task result_summary error_message handoff"),
    "attachment_totals": held(),
    "audit_logs": held(
        by="user_id actor_id",
        words="ip_address user_agent",
        mentions="data changes",
        nothing="xid action entity_type entity_id actor_type entity_kind salt erased erased_signature",
   
    ),
    "audit_seals": held(nothing="digests hash signature dropped_signature"),
    "budget_spends": held(nothing="budget_id span"),
    "budgets": held(nothing="warned_in exceeded_in"),
    "call_reservations": held(nothing="call_id"),
    # what a person attached goes with its file, and what others attached keeps the name by which they know it
    "chat_attachments": held(nothing="folder name media_type"),
    "chat_participants": held(),
    "chat_presence": held(whose="user_id", nothing="chat_id process"),
    "chat_read_cursors": held(),
    "chats": held(words="title"),
    "cli_tokens": held(mentions="name", hidden="token_hash", nothing="scopes"),
    "cost_days": held(nothing="day agent_id crew_id model"),
    "checkpoints": held(words="label", nothing="journal_cursor state"),
    "credential_crews": held(),
    "credential_events": held(words="ip_address", mentions="details", nothing="credential_id agent_id"),
    "credential_rotations": held(hidden="old_value"),
    "credentials": held(
        by="created_by_actor_id",
        mentions="name description account_label account_email username tags last_error",
        hidden="value refresh_token oauth_client_secret",
        nothing="provider scope token_expires_at last_used_ips oauth_client_id oauth_auth_url oauth_token_url"
        " oauth_scopes oauth_issuer oauth_resource secret_ref hosts provisioned_for_service",
    ),
    "crew_connections": held(),
    "crew_integrations": held(
        mentions="name display_name args_json env_json config_json",
        nothing="workspace_mcp_server_id endpoint command icon",
    ),
    "crew_members": held(),
    "crews": held(
        mentions="name description persona policy_reason escalation_config mcp_config_json devcontainer_config"
        " mise_config services_json build",
        nothing="slug color icon avatar_style allowed_domains runtime_image cached_image config_hash issue_prefix",
    ),
    "data_keys": held(nothing="wrapped_by wrapped"),
    "decision_links": held(hidden="token_hash", nothing="channel_id subject_id source_id"),
    "email_changes": held(hidden="token_hash", nothing="email old_email"),
    "escalations": held(
        by="resolved_by",
        words="resolution",
        mentions="reason context data",
        hidden="handed_over",
        nothing="redirect_to",
    ),
    "events": held(mentions="payload", nothing="xid channel type"),
    "feature_flag_overrides": held(),
    "feature_flags": held(mentions="description", nothing="key"),
    "gdpr_actions": held(nothing="subject_id reason scope error"),  # the receipt: an id that names nobody any more
    "idempotency_keys": held(whose="principal", nothing="operation key request_hash body"),
    "inbox_items": held(
        by="sender_id", words="sender_name avatar_seed", mentions="title body_md payload",
        nothing="source_id avatar_style resolved_action",
    ),
    "instance_facts": held(nothing="name value"),
    "instance_settings": held(hidden="secret", nothing="key plain"),
    "invitations": held(mentions="email", hidden="token"),
    "issue_activity": held(by="actor_id", words="details"),
    "issue_comments": held(by="author_id", words="body"),
    "issue_labels": held(),
    "issue_relations": held(),
    "job_steps": held(nothing="root step"),
    # words and actors follow the rows that lines are of, by triggers
    "journal": held(nothing="place kind row_id entry_type actor_id crew_id agent_id mission_id trace_id words"),
    "journal_entries": held(
        by="actor_id", mentions="summary payload refs", nothing="entry_type crew_id agent_id mission_id trace_id"
    ),
    "kept_days": held(nothing="name"),
    "keeper_requests": held(
        mentions="intent command reason prompt answer", nothing="agent_id crew_id credential_id task_id"
    ),
    "labels": held(mentions="name", nothing="color label_group"),
    "linked_identities": held(nothing="provider issuer subject email"),
    "mcp_registry_servers": held(
        nothing="name display_name description icon transport homepage_url source_url package_name package_registry"
        " command endpoint auth_type env_vars_json category",  # what a public registry says of programs
    ),
    "mcp_tool_calls": held(mentions="error_message", nothing="crew_id agent_id mcp_server_id tool_name"),
    "memberships": held(nothing="capabilities"),
    "memory_configs": held(mentions="document"),
    "memory_versions": held(whose="written_by", nothing="path sha256 parent_sha payload_ref agent_slug owner_id"),
    "message_feedback": held(words="reason", nothing="message_id trace_id"),
    "message_reactions": held(nothing="message_id emoji"),
    "messages": held(words="content parts data", nothing="tool_name tool_summary"),
    "milestones": held(mentions="name description", nothing="target_date"),
    "mission_tasks": held(
        words="evaluation_notes",
        mentions="title description result_summary error_message handoff_context",
        nothing="depends_on output_path evaluation_status",
    ),
    "missions": held(
        by="created_by_id assignee_id",
        mentions="title description plan routine_inputs workflow_template",
        nothing="identifier priority assignee_type due_date trace_id",
    ),
    "model_calls": held(nothing="run_id step agent_id crew_id chat_id mission_id provider model"),
    "notification_channels": held(mentions="url address", hidden="secret", nothing="events"),
    "notifications": held(
        by="actor_id", words="actor_name", mentions="entity_title", nothing="action entity_type entity_id"
    ),
    "pairings": held(hidden="code_hash", nothing="adapter_hint"),
    "security_logs": held(
        by="actor_id",
        words="ip_address user_agent",
        mentions="data changes",
        nothing="action entity_type entity_id actor_type",
    ),
    "oauth_states": held(hidden="browser_hash state_hash verifier", nothing="redirect_uri"),
    "passkey_challenges": held(hidden="browser challenge"),
    "passkeys": held(nothing="name credential_id public_key transports"),
    "password_resets": held(hidden="token_hash", nothing="email"),
    "peer_card_audit": held(nothing="actor_kind agent_id details"),
    "peer_cards": held(nothing="user_slug path content"),
    "peer_consents": held(),
    "peer_conversations": held(mentions="question response error_message"),
    "preferences": held(nothing="key value"),
    "projects": held(
        by="lead_id", mentions="name description", nothing="slug icon color lead_type start_date target_date"
    ),
    "recurring_issues": held(
        by="assignee_id", mentions="title description",
        nothing="priority assignee_type labels_json cron_expression time_zone",
    ),
    "retention_rules": held(nothing="kind"),
    "run_frames": held(mentions="payload", nothing="agent_id type"),
    "run_reservations": held(),
    "run_steps": held(mentions="outcome said", nothing="name"),
    "run_tags": held(nothing="tag run_id"),
    "runs": held(
        by="triggered_by",
        words="prompt error_message data",
        nothing="chat_id trigger_type model worker waits_for",
    ),
    "saved_views": held(nothing="name filters_json sort_json"),
    "service_accounts": held(by="created_by", mentions="name description"),
    "sessions": held(hidden="current_refresh_jti", nothing="user_agent ip"),
    "skill_proposals": held(mentions="name description description_quality content", nothing="file_name"),
    "skills": held(
        mentions="name name_key display_name description author tags vendor content changelog",
        nothing="slug skill_version icon homepage license spdx_license description_quality credential_requirements"
        " mcp_server_command mcp_server_image mcp_transport dependencies allowed_domains fingerprint",
    ),
    "sign_in_attempts": held(hidden="state_hash browser_hash", nothing="provider path"),
    "sign_in_devices": held(hidden="cookie_hash password_mark"),
    "tool_bindings": held(mentions="description", nothing="tool_name fingerprint"),
    "triage_rules": held(mentions="name pattern", nothing="priority labels_json"),
    "users": held(whose="id", hidden="password_hash", nothing="email full_name avatar_url"),
    "webhook_receipts": held(nothing="key proof event source scheme reason run_id"),
    "webhook_deliveries": held(mentions="payload answer", nothing="event_type subject error"),
    "webhook_endpoints": held(mentions="name url", hidden="secret old_secret", nothing="event_types"),
    "work_pauses": held(mentions="last_error"),
    "workers": held(nothing="runtime version coding_agents"),
    "workflow_templates": held(mentions="name description template_json", nothing="icon color"),
    "workspace_mcp_servers": held(
        mentions="name display_name args_json env_json config_json", nothing="endpoint command icon"
    ),
    "workspaces": held(mentions="name", nothing="slug logo_url preferred_language"),
}  # fmt: skip
"""By table, in the order of the alphabet. `nothing` in a row that is the person's goes with the row."""

AUTHORS: Final[Mapping[str, str]] = {
    "approvals": "requested_by",
    "credential_events": "user_id",
    "credentials": "created_by_actor_id",
    "inbox_items": "sender_id",
    "journal_entries": "actor_id",
    "missions": "created_by_id",
    "notification_channels": "created_by",
    "recurring_issues": "created_by",
    "service_accounts": "created_by",
    "webhook_endpoints": "created_by",
}
"""By table, the column that says who wrote what `mentions` names. Texts of agents and crews are the team's, and
programs read them: they have no author. Of the audit log, see `resolvers/kernel/writing/persons.py`.
"""


@cache
def held_in(table: SQLTable) -> Held:
    """What is declared, and what the foreign keys say."""
    declared = DECLARED.get(table.name, Held())
    own, done = list(declared.whose), list(declared.by)
    for column in table.columns:
        for key in column.foreign_keys:
            if key.target_fullname == "users.id":
                (own if key.ondelete == "CASCADE" else done).append(column.name)
    return declared._replace(whose=tuple(own), by=tuple(done))
