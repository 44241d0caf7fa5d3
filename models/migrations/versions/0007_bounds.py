"""Everything that is stored has a bound.

A row from before that is longer stays as it is and can be read and deleted; what changes it has to shorten it. Where a table has one,
its check holds for new rows and changes alone (NOT VALID), and the log says how many there are.
"""

import logging

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CHECKS = {
    "chat_presence": "GREATEST(octet_length(chat_id), octet_length(user_id), octet_length(process)) <= 800",
    "events": "GREATEST(octet_length(workspace_id), octet_length(type)) <= 800 AND octet_length(channel) <= 2400 AND pg_column_size(payload) <= 1048576",
    "idempotency_keys": """
        GREATEST(octet_length(principal), octet_length(workspace_id), octet_length(operation)) <= 800
        AND octet_length(key) <= 1600
        AND octet_length(request_hash) <= 200
        AND octet_length(body) <= 67108864
    """,
    "instance_facts": "octet_length(name) <= 800 AND octet_length(value) <= 40000",
    "users": """
        GREATEST(octet_length(id), octet_length(full_name), octet_length(password_hash)) <= 800
        AND octet_length(email) <= 1280
        AND octet_length(avatar_url) <= 8192
    """,
    "workspaces": """
        GREATEST(octet_length(id), octet_length(preferred_language)) <= 800
        AND octet_length(name) <= 1600
        AND octet_length(slug) <= 400
        AND octet_length(logo_url) <= 8192
    """,
    "audit_logs": """
        GREATEST(
            octet_length(id), octet_length(user_id), octet_length(action), octet_length(entity_type), octet_length(entity_id),
            octet_length(ip_address)
        ) <= 800
        AND pg_column_size(data) <= 262144
        AND octet_length(user_agent) <= 1600
    """,
    "cli_tokens": "GREATEST(octet_length(id), octet_length(token_hash)) <= 800 AND octet_length(name) <= 400 AND pg_column_size(scopes) <= 262144",
    "crews": """
        GREATEST(
            octet_length(id), octet_length(color), octet_length(icon), octet_length(avatar_style), octet_length(config_hash),
            octet_length(issue_prefix)
        ) <= 800
        AND octet_length(name) <= 400
        AND octet_length(slug) <= 1600
        AND GREATEST(octet_length(description), octet_length(escalation_config), octet_length(policy_reason)) <= 40000
        AND pg_column_size(allowed_domains) <= 1048576
        AND GREATEST(
            octet_length(mcp_config_json), octet_length(devcontainer_config), octet_length(mise_config), octet_length(services_json)
        ) <= 512000
        AND GREATEST(octet_length(runtime_image), octet_length(cached_image)) <= 4096
    """,
    "inbox_items": """
        GREATEST(
            octet_length(id), octet_length(sender_id), octet_length(sender_name), octet_length(avatar_seed), octet_length(avatar_style),
            octet_length(resolved_action)
        ) <= 800
        AND GREATEST(octet_length(source_id), octet_length(title)) <= 2400
        AND octet_length(body_md) <= 40000
        AND pg_column_size(payload) <= 262144
    """,
    "invitations": "GREATEST(octet_length(id), octet_length(token)) <= 800 AND octet_length(email) <= 1280",
    "labels": "octet_length(id) <= 800 AND GREATEST(octet_length(name), octet_length(color), octet_length(label_group)) <= 400",
    "memberships": "octet_length(id) <= 800 AND pg_column_size(capabilities) <= 262144",
    "sessions": "GREATEST(octet_length(id), octet_length(ip), octet_length(current_refresh_jti)) <= 800 AND octet_length(user_agent) <= 1600",
    "admin_token_uses": "GREATEST(octet_length(id), octet_length(ip)) <= 800 AND octet_length(user_agent) <= 1600 AND octet_length(path) <= 4000",
    "agents": """
        GREATEST(
            octet_length(id), octet_length(role_title), octet_length(llm_model), octet_length(avatar_seed), octet_length(avatar_style),
            octet_length(schedule_cron), octet_length(webhook_secret)
        ) <= 800
        AND GREATEST(octet_length(name), octet_length(slug)) <= 400
        AND GREATEST(octet_length(description), octet_length(cli_tools), octet_length(learning_reason), octet_length(hire_reason)) <= 40000
        AND GREATEST(octet_length(system_prompt), octet_length(schedule_prompt)) <= 256000
        AND octet_length(mcp_config_json) <= 512000
    """,
    "crew_connections": "octet_length(id) <= 800",
    "crew_integrations": """
        GREATEST(octet_length(id), octet_length(workspace_mcp_server_id), octet_length(display_name), octet_length(icon)) <= 800
        AND octet_length(name) <= 400
        AND GREATEST(octet_length(endpoint), octet_length(command)) <= 8192
        AND GREATEST(octet_length(args_json), octet_length(env_json), octet_length(config_json)) <= 512000
    """,
    "crew_members": "octet_length(id) <= 800",
    "agent_credentials": "GREATEST(octet_length(id), octet_length(credential_id), octet_length(env_var_name)) <= 800",
    "agent_skills": "GREATEST(octet_length(id), octet_length(skill_id)) <= 800 AND octet_length(config) <= 512000",
    "chats": "GREATEST(octet_length(id), octet_length(title)) <= 800",
    "missions": """
        GREATEST(octet_length(id), octet_length(trace_id)) <= 800
        AND octet_length(title) <= 2400
        AND GREATEST(octet_length(description), octet_length(plan), octet_length(workflow_template)) <= 512000
    """,
    "runs": """
        GREATEST(octet_length(id), octet_length(chat_id), octet_length(triggered_by), octet_length(model), octet_length(worker)) <= 800
        AND octet_length(trigger_type) <= 400
        AND octet_length(prompt) <= 512000
        AND octet_length(error_message) <= 40000
        AND pg_column_size(data) <= 1048576
    """,
    "tool_bindings": "GREATEST(octet_length(id), octet_length(tool_name)) <= 800 AND octet_length(description) <= 40000",
    "assignments": """
        octet_length(id) <= 800
        AND GREATEST(octet_length(task), octet_length(result_summary)) <= 512000
        AND octet_length(error_message) <= 40000
    """,
    "messages": """
        GREATEST(octet_length(id), octet_length(tool_name)) <= 800
        AND octet_length(content) <= 4000000
        AND pg_column_size(parts) <= 8388608
        AND octet_length(tool_summary) <= 40000
        AND pg_column_size(data) <= 262144
    """,
    "run_frames": "octet_length(type) <= 800 AND pg_column_size(payload) <= 8388608",
    "run_steps": "octet_length(name) <= 1600 AND pg_column_size(outcome) <= 8388608",
    "mission_tasks": """
        GREATEST(octet_length(id), octet_length(evaluation_status)) <= 800
        AND octet_length(title) <= 2400
        AND GREATEST(octet_length(description), octet_length(result_summary), octet_length(handoff_context)) <= 512000
        AND pg_column_size(depends_on) <= 262144
        AND octet_length(output_path) <= 8192
        AND GREATEST(octet_length(error_message), octet_length(evaluation_notes)) <= 40000
    """,
}


def upgrade() -> None:
    connection = op.get_bind()
    for table, check in CHECKS.items():
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_size_check CHECK ({check}) NOT VALID")
        longer = connection.scalar(sa.select(sa.func.count()).select_from(sa.table(table)).where(sa.text(f"NOT ({check})")))
        if longer:
            logging.getLogger("alembic.runtime.migration").warning("%s: %d rows are longer than they may be now", table, longer)
        else:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {table}_size_check")
