"""The bound of a text is its type, varchar(n), which costs a write nothing; checks are left for JSON and binary columns.

A column with a value from before that is longer stays text, held by the table's check as it was, and the log names it.
Every table is written anew, in one transaction: the time is that of copying the database.
"""

import logging

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TEXTS = {
    "chat_presence": "workspace_id:200 chat_id:200 user_id:200 process:200",
    "events": "workspace_id:200 channel:600 type:200",
    "idempotency_keys": "principal:200 workspace_id:200 operation:200 key:400",
    "instance_facts": "name:200 value:10000",
    "users": "id:200 email:320 full_name:200 avatar_url:2048 password_hash:200",
    "workspaces": "id:200 name:400 slug:100 logo_url:2048 preferred_language:200",
    "audit_logs": "id:200 user_id:200 action:200 entity_type:200 entity_id:200 ip_address:200 user_agent:400",
    "cli_tokens": "id:200 name:100 token_hash:200",
    "crews": """
        id:200 name:100 slug:400 description:10000 color:200 icon:200 avatar_style:200 mcp_config_json:128000 escalation_config:10000
        runtime_image:1024 devcontainer_config:128000 mise_config:128000 services_json:128000 cached_image:1024 config_hash:200 issue_prefix:200
        policy_reason:10000
    """,
    "inbox_items": "id:800 source_id:600 title:600 body_md:10000 sender_id:200 sender_name:200 avatar_seed:200 avatar_style:200 resolved_action:200",
    "invitations": "id:200 email:320 token:200",
    "labels": "id:200 name:600 color:100 label_group:100",
    "memberships": "id:200",
    "run_tags": "tag:200 run_id:200",
    "sessions": "id:200 user_agent:400 ip:200 current_refresh_jti:200",
    "sign_in_devices": "id:200 cookie_hash:200 password_mark:200",
    "admin_token_uses": "id:200 ip:200 user_agent:400 path:1000",
    "agents": """
        id:200 name:100 slug:100 description:10000 role_title:200 llm_model:200 system_prompt:64000 avatar_seed:200 avatar_style:200 cli_tools:10000
        mcp_config_json:128000 schedule_cron:200 schedule_prompt:64000 webhook_secret:200 learning_reason:10000 hire_reason:10000
    """,
    "crew_connections": "id:200",
    "crew_integrations": """
        id:200 workspace_mcp_server_id:200 name:100 display_name:200 endpoint:2048 command:2048 args_json:128000 env_json:128000 config_json:128000
        icon:200
    """,
    "crew_members": "id:200",
    "agent_credentials": "id:200 credential_id:200 env_var_name:200",
    "agent_skills": "id:200 skill_id:200 config:128000",
    "chats": "id:200 title:200",
    "missions": "id:200 trace_id:200 title:600 description:128000 plan:128000 workflow_template:128000",
    "runs": "id:200 chat_id:200 triggered_by:200 trigger_type:100 prompt:128000 model:200 error_message:10000 worker:200",
    "tool_bindings": "id:200 tool_name:200 description:10000",
    "assignments": "id:200 task:128000 result_summary:128000 error_message:10000",
    "messages": "id:200 content:1000000 tool_name:200 tool_summary:10000",
    "run_frames": "agent_id:200 type:200",
    "run_steps": "name:400",
    "mission_tasks": """
        id:200 title:600 description:128000 result_summary:128000 output_path:2048 error_message:10000 handoff_context:128000 evaluation_status:200
        evaluation_notes:10000
    """,
}
SIZES = {
    "events": "pg_column_size(payload) <= 1048576",
    "idempotency_keys": "octet_length(request_hash) <= 200 AND octet_length(body) <= 67108864",
    "audit_logs": "pg_column_size(data) <= 262144",
    "cli_tokens": "pg_column_size(scopes) <= 262144",
    "crews": "pg_column_size(allowed_domains) <= 1048576",
    "inbox_items": "pg_column_size(payload) <= 262144",
    "memberships": "pg_column_size(capabilities) <= 262144",
    "runs": "pg_column_size(data) <= 1048576",
    "messages": "pg_column_size(parts) <= 8388608 AND pg_column_size(data) <= 262144",
    "run_frames": "pg_column_size(payload) <= 8388608",
    "run_steps": "pg_column_size(outcome) <= 8388608",
    "mission_tasks": "pg_column_size(depends_on) <= 262144",
}

CHECKS = "SELECT conrelid::regclass::text, convalidated FROM pg_constraint WHERE conname = conrelid::regclass::text || '_size_check'"
ANALYSED = "SELECT relname FROM pg_class WHERE oid = ANY (CAST(:tables AS regclass[])) AND reltuples > 0"

# A type cannot change under a policy: each is dropped, and made again from what PostgreSQL says of it.
POLICIES = """
    SELECT format('DROP POLICY %I ON %I', policyname, tablename),
        concat(
            format('CREATE POLICY %I ON %I AS %s FOR %s TO ', policyname, tablename, permissive, cmd),
            (SELECT string_agg(quote_ident(role), ', ') FROM unnest(roles) AS role),
            ' USING (' || qual || ')', ' WITH CHECK (' || with_check || ')'
        ),
        format('COMMENT ON POLICY %I ON %I IS %L', policyname, tablename, obj_description(policy.oid, 'pg_policy'))
    FROM pg_policies JOIN pg_policy AS policy ON policy.polrelid = tablename::regclass AND policy.polname = policyname
    WHERE schemaname = current_schema() AND tablename = ANY (:tables)
"""

LENGTHS = (sa.func.octet_length, sa.func.char_length)  # the first needs no look at the value, and no value has more characters than bytes


def upgrade() -> None:
    connection, tables = op.get_bind(), {"tables": list(TEXTS)}
    op.execute("SET LOCAL statement_timeout = 0")
    op.execute(f"LOCK TABLE {', '.join(TEXTS)} IN ACCESS EXCLUSIVE MODE")
    held = {row[0]: row[1] for row in connection.execute(sa.text(CHECKS))}
    analysed = connection.scalars(sa.text(ANALYSED), tables).all()
    policies = connection.execute(sa.text(POLICIES), tables).all()
    changes = [_change(table, held[table]) for table in TEXTS]  # while the policies let the rows be seen
    for statement in (*[drop for drop, *_ in policies], *changes, *[part for _, *made in policies for part in made]):
        connection.exec_driver_sql(statement)
    if analysed:  # what was known of the columns went with their types
        op.execute(f"ANALYZE {', '.join(analysed)}")


def _change(table: str, holds: bool) -> str:
    """The table's ALTER. `holds`: all rows are within the check there is, and so within what is left of it."""
    bounds = {column: int(most) for column, _, most in (text.partition(":") for text in TEXTS[table].split())}
    longer = [sa.func.bool_or(sa.and_(*[length(sa.column(c)) > most for length in LENGTHS])).label(c) for c, most in bounds.items()]
    found = op.get_bind().execute(sa.select(*longer).select_from(sa.table(table))).mappings().one()
    kept = [column for column, is_longer in found.items() if is_longer]
    for column in kept:
        logging.getLogger("alembic.runtime.migration").warning("%s.%s has values of more than %d characters and stays text", table, column, bounds[column])
    parts = [f"DROP CONSTRAINT {table}_size_check"]
    parts += [f"ALTER COLUMN {column} TYPE varchar({most})" for column, most in bounds.items() if column not in kept]
    rules = [f"octet_length({column}) <= {bounds[column] * 4}" for column in kept]
    if table in SIZES:
        rules.append(SIZES[table])
    if rules:
        parts.append(f"ADD CONSTRAINT {table}_size_check CHECK ({' AND '.join(rules)}){'' if holds else ' NOT VALID'}")
    return f"ALTER TABLE {table} {', '.join(parts)}"
