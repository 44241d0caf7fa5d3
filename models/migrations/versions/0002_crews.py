"""Crews, their agents, and what is counted and reported on them."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

CREWS = (
    """
    CREATE TABLE crews (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        name text NOT NULL,
        slug text NOT NULL,
        description text,
        color text,
        icon text,
        avatar_style text,
        container_memory_mb integer NOT NULL,
        container_cpus double precision NOT NULL,
        container_ttl_hours integer,
        network_mode text NOT NULL CHECK (network_mode IN ('free', 'restricted')),
        allowed_domains jsonb NOT NULL,
        mcp_config_json text,
        escalation_config text,
        runtime_image text,
        devcontainer_config text,
        mise_config text,
        services_json text,
        cached_image text,
        config_hash text,
        issue_prefix text,
        issue_counter integer NOT NULL,
        max_ephemeral_agents integer NOT NULL,
        autonomy_level text NOT NULL CHECK (autonomy_level IN ('strict', 'guided', 'trusted', 'full')),
        behavior_mode text NOT NULL CHECK (behavior_mode IN ('warn', 'block')),
        policy_set_by_user_id text REFERENCES users ON DELETE SET NULL,
        policy_set_at timestamptz,
        policy_reason text,
        created_by text REFERENCES users ON DELETE SET NULL,
        version integer NOT NULL,
        deleted_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (workspace_id, id)
    )
    """,
    "CREATE UNIQUE INDEX crews_workspace_id_slug_key ON crews (workspace_id, slug) WHERE deleted_at IS NULL",
    "CREATE INDEX crews_workspace_id_created_at_id_idx ON crews (workspace_id, created_at, id) WHERE deleted_at IS NULL",
    """
    CREATE TABLE crew_members (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        crew_id text NOT NULL,
        user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
        role text CHECK (role IN ('OWNER', 'ADMIN', 'MANAGER', 'MEMBER', 'VIEWER')),
        created_at timestamptz NOT NULL,
        UNIQUE (crew_id, user_id),
        FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX crew_members_user_id_workspace_id_idx ON crew_members (user_id, workspace_id)",
    "CREATE INDEX crew_members_workspace_id_crew_id_created_at_idx ON crew_members (workspace_id, crew_id, created_at)",
    """
    CREATE TABLE crew_connections (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        from_crew_id text NOT NULL,
        to_crew_id text NOT NULL,
        direction text NOT NULL CHECK (direction IN ('bidirectional', 'unidirectional')),
        status text NOT NULL CHECK (status IN ('active', 'inactive')),
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (from_crew_id, to_crew_id),
        FOREIGN KEY (workspace_id, from_crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, to_crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
        CONSTRAINT crew_connections_two_crews_check CHECK (from_crew_id <> to_crew_id)
    )
    """,
    "CREATE INDEX crew_connections_workspace_id_created_at_idx ON crew_connections (workspace_id, created_at)",
    "CREATE INDEX crew_connections_workspace_id_to_crew_id_idx ON crew_connections (workspace_id, to_crew_id)",
    """
    CREATE TABLE labels (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        name text NOT NULL,
        color text NOT NULL,
        label_group text,
        version integer NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (workspace_id, id),
        UNIQUE (workspace_id, name)
    )
    """,
)

AGENTS = (
    """
    CREATE TABLE agents (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        crew_id text,
        name text NOT NULL,
        slug text NOT NULL,
        description text,
        role_title text,
        agent_role text NOT NULL CHECK (agent_role IN ('AGENT', 'LEAD')),
        lead_mode text CHECK (lead_mode IN ('active', 'passive')),
        status text NOT NULL CHECK (status IN ('IDLE', 'RUNNING', 'ERROR', 'STOPPED', 'PENDING_REVIEW')),
        cli_adapter text NOT NULL CHECK (cli_adapter IN ('CLAUDE_CODE', 'OPENCODE', 'CODEX_CLI', 'GEMINI_CLI', 'CURSOR_CLI', 'FACTORY_DROID')),
        llm_provider text CHECK (llm_provider IN ('ANTHROPIC', 'OPENAI', 'GOOGLE', 'CURSOR', 'FACTORY', 'OLLAMA')),
        llm_model text,
        system_prompt text,
        avatar_seed text,
        avatar_style text,
        timeout_seconds integer NOT NULL,
        tool_profile text NOT NULL CHECK (tool_profile IN ('MINIMAL', 'CODING', 'FULL')),
        memory_enabled boolean NOT NULL,
        cli_tools text,
        mcp_config_json text,
        schedule_cron text,
        schedule_prompt text,
        schedule_enabled boolean NOT NULL,
        schedule_last_run timestamptz,
        schedule_next_run timestamptz,
        webhook_secret text,
        webhook_require_timestamp boolean NOT NULL,
        learning_enabled boolean NOT NULL,
        learning_set_by_user_id text REFERENCES users ON DELETE SET NULL,
        learning_set_at timestamptz,
        learning_reason text,
        ephemeral boolean NOT NULL,
        expires_at timestamptz,
        expired_at timestamptz,
        parent_lead_id text,
        hire_reason text,
        created_by_user_id text REFERENCES users ON DELETE SET NULL,
        version integer NOT NULL,
        deleted_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (workspace_id, id),
        FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id),
        FOREIGN KEY (workspace_id, parent_lead_id) REFERENCES agents (workspace_id, id)
    )
    """,
    "CREATE UNIQUE INDEX agents_crew_id_lead_key ON agents (crew_id) WHERE agent_role = 'LEAD' AND deleted_at IS NULL",
    "CREATE UNIQUE INDEX agents_workspace_id_slug_key ON agents (workspace_id, slug) WHERE deleted_at IS NULL",
    "CREATE INDEX agents_expires_at_idx ON agents (expires_at) WHERE ephemeral AND expired_at IS NULL AND deleted_at IS NULL",
    "CREATE INDEX agents_list_idx ON agents (workspace_id, (expired_at IS NOT NULL), COALESCE(expired_at, created_at) DESC, id DESC) WHERE deleted_at IS NULL",
    "CREATE INDEX agents_workspace_id_created_at_id_idx ON agents (workspace_id, created_at, id) WHERE deleted_at IS NULL",
    "CREATE INDEX agents_workspace_id_crew_id_created_at_id_idx ON agents (workspace_id, crew_id, created_at, id) WHERE deleted_at IS NULL",
    """
    CREATE TABLE agent_skills (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        agent_id text NOT NULL,
        skill_id text NOT NULL,
        enabled boolean NOT NULL,
        config text,
        created_at timestamptz NOT NULL,
        UNIQUE (agent_id, skill_id),
        FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX agent_skills_skill_id_idx ON agent_skills (skill_id)",
    """
    CREATE TABLE agent_credentials (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        agent_id text NOT NULL,
        credential_id text NOT NULL,
        env_var_name text NOT NULL,
        priority integer NOT NULL,
        created_at timestamptz NOT NULL,
        UNIQUE (agent_id, credential_id),
        FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX agent_credentials_credential_id_idx ON agent_credentials (credential_id)",
)

MISSIONS = (
    """
    CREATE TABLE chats (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        agent_id text NOT NULL,
        created_by text REFERENCES users ON DELETE SET NULL,
        title text,
        mode text NOT NULL CHECK (mode IN ('CHAT', 'MISSION')),
        status text NOT NULL CHECK (status IN ('ACTIVE')),
        origin text CHECK (origin IN ('UI', 'CLI', 'WEBHOOK', 'CRON', 'AGENT')),
        visibility text NOT NULL CHECK (visibility IN ('private', 'group')),
        message_count integer NOT NULL,
        last_activity_at timestamptz NOT NULL,
        started_at timestamptz NOT NULL,
        ended_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (workspace_id, id),
        FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id)
    )
    """,
    "CREATE INDEX chats_workspace_id_agent_id_last_activity_at_idx ON chats (workspace_id, agent_id, last_activity_at)",
    "CREATE INDEX chats_workspace_id_updated_at_idx ON chats (workspace_id, updated_at)",
    """
    CREATE TABLE missions (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        crew_id text NOT NULL,
        lead_agent_id text NOT NULL,
        mission_type text NOT NULL CHECK (mission_type IN ('orchestration', 'issue')),
        trace_id text NOT NULL UNIQUE,
        title text NOT NULL,
        description text,
        status text NOT NULL CHECK (
            status IN ('PLANNING', 'IN_PROGRESS', 'REVIEW', 'COMPLETED', 'FAILED', 'CANCELLED', 'RESUMING', 'BACKLOG', 'TODO', 'DONE', 'DUPLICATE')
        ),
        plan text,
        workflow_template text,
        total_token_count bigint,
        total_estimated_cost double precision,
        completed_at timestamptz,
        version integer NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (workspace_id, id),
        FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id),
        FOREIGN KEY (workspace_id, lead_agent_id) REFERENCES agents (workspace_id, id)
    )
    """,
    "CREATE INDEX missions_workspace_id_created_at_id_idx ON missions (workspace_id, created_at, id)",
    "CREATE INDEX missions_workspace_id_crew_id_created_at_id_idx ON missions (workspace_id, crew_id, created_at, id)",
    "CREATE INDEX missions_workspace_id_lead_agent_id_idx ON missions (workspace_id, lead_agent_id)",
    """
    CREATE TABLE assignments (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        chat_id text,
        assigned_by_id text NOT NULL,
        assigned_to_id text NOT NULL,
        task text NOT NULL,
        status text NOT NULL CHECK (status IN ('PENDING', 'QUEUED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT')),
        result_summary text,
        error_message text,
        started_at timestamptz,
        finished_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (workspace_id, id),
        FOREIGN KEY (workspace_id, assigned_by_id) REFERENCES agents (workspace_id, id),
        FOREIGN KEY (workspace_id, assigned_to_id) REFERENCES agents (workspace_id, id),
        FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id)
    )
    """,
    "CREATE INDEX assignments_queued_idx ON assignments (workspace_id, created_at) WHERE status = 'QUEUED'",
    "CREATE INDEX assignments_workspace_id_assigned_by_id_created_at_idx ON assignments (workspace_id, assigned_by_id, created_at)",
    "CREATE INDEX assignments_workspace_id_assigned_to_id_created_at_idx ON assignments (workspace_id, assigned_to_id, created_at)",
    "CREATE INDEX assignments_workspace_id_chat_id_idx ON assignments (workspace_id, chat_id)",
    """
    CREATE TABLE mission_tasks (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        mission_id text NOT NULL,
        assigned_agent_id text,
        assignment_id text,
        title text NOT NULL,
        description text,
        status text NOT NULL CHECK (status IN ('PENDING', 'BLOCKED', 'IN_PROGRESS', 'COMPLETED', 'FAILED', 'SKIPPED', 'AWAITING_APPROVAL', 'CANCELLED')),
        task_order integer NOT NULL,
        depends_on jsonb NOT NULL,
        iteration integer,
        max_iterations integer,
        result_summary text,
        output_path text,
        error_message text,
        token_budget bigint,
        token_count bigint,
        estimated_cost double precision,
        started_at timestamptz,
        completed_at timestamptz,
        duration_ms bigint,
        confidence double precision,
        needs_review boolean NOT NULL,
        handoff_context text,
        evaluation_status text,
        evaluation_notes text,
        approval_required boolean NOT NULL,
        approval_status text CHECK (approval_status IN ('APPROVED', 'REJECTED')),
        approved_by text REFERENCES users ON DELETE SET NULL,
        approved_at timestamptz,
        version integer NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (workspace_id, id),
        FOREIGN KEY (workspace_id, assigned_agent_id) REFERENCES agents (workspace_id, id),
        FOREIGN KEY (workspace_id, assignment_id) REFERENCES assignments (workspace_id, id),
        FOREIGN KEY (workspace_id, mission_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX mission_tasks_workspace_id_assigned_agent_id_idx ON mission_tasks (workspace_id, assigned_agent_id) WHERE assigned_agent_id IS NOT NULL",
    "CREATE INDEX mission_tasks_workspace_id_assignment_id_idx ON mission_tasks (workspace_id, assignment_id) WHERE assignment_id IS NOT NULL",
    "CREATE INDEX mission_tasks_workspace_id_mission_id_task_order_id_idx ON mission_tasks (workspace_id, mission_id, task_order, id)",
)

INTEGRATIONS = (
    """
    CREATE TABLE crew_integrations (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        crew_id text NOT NULL,
        workspace_mcp_server_id text,
        name text NOT NULL,
        display_name text NOT NULL,
        transport text NOT NULL CHECK (transport IN ('streamable-http', 'stdio')),
        endpoint text,
        command text,
        args_json text,
        env_json text,
        config_json text,
        icon text,
        enabled boolean NOT NULL,
        version integer NOT NULL,
        deleted_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (workspace_id, id),
        FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE
    )
    """,
    "CREATE UNIQUE INDEX crew_integrations_crew_id_name_key ON crew_integrations (crew_id, name) WHERE deleted_at IS NULL",
    "CREATE INDEX crew_integrations_workspace_id_crew_id_created_at_idx ON crew_integrations (workspace_id, crew_id, created_at) WHERE deleted_at IS NULL",
    """
    CREATE TABLE tool_bindings (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        crew_integration_id text NOT NULL,
        tool_name text NOT NULL,
        description text,
        enabled boolean NOT NULL,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (crew_integration_id, tool_name),
        FOREIGN KEY (workspace_id, crew_integration_id) REFERENCES crew_integrations (workspace_id, id) ON DELETE CASCADE
    )
    """,
)


def upgrade() -> None:
    for statement in (*CREWS, *AGENTS, *MISSIONS, *INTEGRATIONS):
        op.execute(statement)
