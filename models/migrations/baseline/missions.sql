-- Missions, the tasks of which they consist, and assignments between agents.

-- The slug is made of the name, and unique in the workspace. The lead is an agent, a user, or any text; dates are texts
-- as they were sent.
CREATE TABLE projects (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL,
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    name varchar(600) NOT NULL,
    slug varchar(600) NOT NULL,
    description varchar(10000),
    icon varchar(200),
    color varchar(200) NOT NULL,
    status text NOT NULL CHECK (status IN ('backlog', 'planned', 'in_progress', 'paused', 'completed', 'cancelled')),
    priority text NOT NULL CHECK (priority IN ('none', 'low', 'medium', 'high', 'urgent')),
    health text NOT NULL CHECK (health IN ('on_track', 'at_risk', 'off_track')),
    lead_type varchar(200),
    lead_id varchar(200),
    start_date varchar(100),
    target_date varchar(100),
    UNIQUE (workspace_id, id),
    UNIQUE (workspace_id, slug)
);
CREATE INDEX projects_workspace_id_name_id_idx ON projects (workspace_id, name, id);

-- A stage of a project; `position` orders the project's milestones, and several may have the same.
CREATE TABLE milestones (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL,
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    project_id text NOT NULL,
    name varchar(600) NOT NULL,
    description varchar(10000),
    target_date varchar(100),
    status text NOT NULL CHECK (status IN ('active', 'completed', 'cancelled')),
    position integer NOT NULL,
    UNIQUE (workspace_id, id),
    FOREIGN KEY (workspace_id, project_id) REFERENCES projects (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX milestones_project_idx ON milestones (workspace_id, project_id, position, created_at, id);

-- A goal that a crew's lead pursues. The chat with the same id groups its assignments. `started_at`: the last time that
-- work on it began.
CREATE TABLE missions (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    crew_id text NOT NULL,
    lead_agent_id text NOT NULL,
    mission_type text NOT NULL CHECK (mission_type IN ('orchestration', 'issue')),
    trace_id varchar(200) NOT NULL UNIQUE,
    title varchar(600) NOT NULL,
    description varchar(128000),
    status text NOT NULL CHECK (status IN ('PLANNING', 'IN_PROGRESS', 'REVIEW', 'COMPLETED', 'FAILED', 'CANCELLED',
        'RESUMING', 'BACKLOG', 'TODO', 'DONE', 'DUPLICATE')),
    plan varchar(128000),
    workflow_template varchar(128000),
    total_token_count bigint,
    total_estimated_cost double precision,
    completed_at timestamptz,
    version integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    number integer,
    identifier varchar(400),
    project_id text,
    milestone_id text,
    parent_issue_id text,
    priority varchar(200) NOT NULL,
    assignee_type varchar(200),
    assignee_id varchar(200),
    due_date varchar(100),
    estimate integer,
    sort_order double precision NOT NULL,
    routine_inputs jsonb,
    created_by_type text CHECK (created_by_type IN ('user', 'agent', 'system')),
    created_by_id varchar(200),
    authored_via text CHECK (authored_via IN ('agent_tool_call', 'user_api', 'imported', 'seed', 'routine',
        'recurring')),
    started_at timestamptz,
    UNIQUE (workspace_id, id),
    UNIQUE (workspace_id, identifier),
    CONSTRAINT missions_issue_check CHECK (mission_type <> 'issue' OR (number IS NOT NULL AND identifier IS NOT NULL)),
    CONSTRAINT missions_size_check CHECK (pg_column_size(routine_inputs) <= 262144),
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id),
    FOREIGN KEY (workspace_id, lead_agent_id) REFERENCES agents (workspace_id, id),
    FOREIGN KEY (workspace_id, parent_issue_id)
        REFERENCES missions (workspace_id, id) ON DELETE SET NULL (parent_issue_id),
    FOREIGN KEY (workspace_id, milestone_id) REFERENCES milestones (workspace_id, id) ON DELETE SET NULL (milestone_id),
    FOREIGN KEY (workspace_id, project_id) REFERENCES projects (workspace_id, id) ON DELETE SET NULL (project_id)
);
ALTER TABLE missions ALTER COLUMN status SET (n_distinct = 7);
CREATE INDEX missions_workspace_id_created_at_id_idx ON missions (workspace_id, created_at, id);
CREATE INDEX missions_workspace_id_crew_id_created_at_id_idx ON missions (workspace_id, crew_id, created_at, id);
CREATE INDEX missions_assignee_id_idx ON missions (workspace_id, assignee_id, created_at, id)
    WHERE assignee_id IS NOT NULL;
CREATE INDEX missions_by_created_at_idx ON missions (workspace_id, mission_type, created_at, id);
CREATE INDEX missions_by_status_idx ON missions (workspace_id, mission_type, status, created_at, id);
CREATE INDEX missions_by_updated_at_idx ON missions (workspace_id, mission_type, updated_at, id);
CREATE INDEX missions_milestone_id_idx ON missions (workspace_id, milestone_id, created_at, id)
    WHERE milestone_id IS NOT NULL;
CREATE INDEX missions_parent_issue_id_idx ON missions (workspace_id, parent_issue_id, created_at, id)
    WHERE parent_issue_id IS NOT NULL;
CREATE INDEX missions_project_id_idx ON missions (workspace_id, project_id, created_at, id)
    WHERE project_id IS NOT NULL;
CREATE INDEX missions_by_priority_idx ON missions (workspace_id, mission_type, priority, created_at, id);
CREATE INDEX missions_by_sort_order_idx ON missions (workspace_id, mission_type, sort_order, created_at, id);
CREATE INDEX missions_workspace_id_completed_at_idx ON missions (workspace_id, completed_at);
CREATE INDEX missions_lead_agent_id_list_idx ON missions (workspace_id, lead_agent_id, created_at, id);
CREATE INDEX missions_status_list_idx ON missions (workspace_id, status, created_at, id);
CREATE INDEX missions_crew_id_status_list_idx ON missions (workspace_id, crew_id, status, created_at, id);

-- The work of one agent on one mission, or issue, after `runs` runs without progress: until a person resumes it.
CREATE TABLE work_pauses (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    agent_id text NOT NULL,
    mission_id text NOT NULL,
    runs integer NOT NULL,
    last_error varchar(10000),
    created_at timestamptz NOT NULL DEFAULT now(),
    resumed_at timestamptz,
    resumed_by_user_id text,
    UNIQUE (workspace_id, id),
    FOREIGN KEY (resumed_by_user_id) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id),
    FOREIGN KEY (workspace_id, mission_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE UNIQUE INDEX work_pauses_agent_id_mission_id_key ON work_pauses (workspace_id, agent_id, mission_id)
    WHERE resumed_at IS NULL;
CREATE INDEX work_pauses_list_idx ON work_pauses (workspace_id, created_at, id);
CREATE INDEX work_pauses_agent_id_idx ON work_pauses (workspace_id, agent_id, created_at, id);
CREATE INDEX work_pauses_mission_id_idx ON work_pauses (workspace_id, mission_id, created_at, id);

-- One piece of work from one agent to another, in a chat. `handoff` is what the agent has said of its result, for
-- whoever goes on with it: `summary`, `confidence` and `artifacts`.
CREATE TABLE assignments (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    chat_id text,
    assigned_by_id text NOT NULL,
    assigned_to_id text NOT NULL,
    task varchar(128000) NOT NULL,
    status text NOT NULL CHECK (status IN ('PENDING', 'QUEUED', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED',
        'TIMEOUT')),
    result_summary varchar(128000),
    error_message varchar(10000),
    started_at timestamptz,
    finished_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    handoff jsonb,
    restricted boolean NOT NULL DEFAULT false,
    UNIQUE (workspace_id, id),
    CONSTRAINT assignments_size_check CHECK (pg_column_size(handoff) <= 262144),
    FOREIGN KEY (workspace_id, assigned_by_id) REFERENCES agents (workspace_id, id),
    FOREIGN KEY (workspace_id, assigned_to_id) REFERENCES agents (workspace_id, id),
    FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id)
);
CREATE INDEX assignments_queued_idx ON assignments (workspace_id, created_at) WHERE status = 'QUEUED';
CREATE INDEX assignments_workspace_id_chat_id_idx ON assignments (workspace_id, chat_id);
CREATE INDEX assignments_assigned_by_id_idx ON assignments (workspace_id, assigned_by_id, created_at, id);
CREATE INDEX assignments_assigned_to_id_idx ON assignments (workspace_id, assigned_to_id, created_at, id);
CREATE INDEX assignments_list_idx ON assignments (workspace_id, created_at, id);
CREATE INDEX assignments_running_idx ON assignments (workspace_id, assigned_to_id) WHERE status = 'RUNNING';

-- A node of a mission's task graph. `depends_on` lists ids of tasks of the same mission; costs are US dollars, tokens
-- are input and output.
CREATE TABLE mission_tasks (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL,
    mission_id text NOT NULL,
    assigned_agent_id text,
    assignment_id text,
    title varchar(600) NOT NULL,
    description varchar(128000),
    status text NOT NULL CHECK (status IN ('PENDING', 'BLOCKED', 'IN_PROGRESS', 'COMPLETED', 'FAILED', 'SKIPPED',
        'AWAITING_APPROVAL', 'CANCELLED')),
    task_order integer NOT NULL,
    depends_on jsonb NOT NULL,
    iteration integer,
    max_iterations integer,
    result_summary varchar(128000),
    output_path varchar(2048),
    error_message varchar(10000),
    token_budget bigint,
    token_count bigint,
    estimated_cost double precision,
    started_at timestamptz,
    completed_at timestamptz,
    duration_ms bigint,
    confidence double precision,
    needs_review boolean NOT NULL,
    handoff_context varchar(128000),
    evaluation_status varchar(200),
    evaluation_notes varchar(10000),
    approval_required boolean NOT NULL,
    approval_status text CHECK (approval_status IN ('APPROVED', 'REJECTED')),
    approved_by text,
    approved_at timestamptz,
    version integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, id),
    CONSTRAINT mission_tasks_size_check CHECK (pg_column_size(depends_on) <= 262144),
    FOREIGN KEY (approved_by) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, assigned_agent_id) REFERENCES agents (workspace_id, id),
    FOREIGN KEY (workspace_id, mission_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, assignment_id) REFERENCES assignments (workspace_id, id)
);
CREATE INDEX mission_tasks_workspace_id_mission_id_task_order_id_idx ON mission_tasks (workspace_id, mission_id,
    task_order, id);
CREATE INDEX mission_tasks_assigned_agent_id_list_idx ON mission_tasks (workspace_id, assigned_agent_id, created_at, id)
    WHERE assigned_agent_id IS NOT NULL;
CREATE INDEX mission_tasks_workspace_id_completed_at_idx ON mission_tasks (workspace_id, completed_at);
CREATE INDEX mission_tasks_failed_idx ON mission_tasks (workspace_id, updated_at) WHERE status = 'FAILED';
CREATE UNIQUE INDEX mission_tasks_workspace_id_assignment_id_key ON mission_tasks (workspace_id, assignment_id)
    WHERE assignment_id IS NOT NULL;

-- Where a mission was: the newest entry of its journal, and what of it was open.
CREATE TABLE checkpoints (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    crew_id text NOT NULL,
    mission_id text NOT NULL,
    label varchar(200),
    journal_cursor varchar(100) NOT NULL,
    state jsonb NOT NULL,
    fork_of text,
    created_by text REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (workspace_id, id),
    CONSTRAINT checkpoints_size_check CHECK (pg_column_size(state) <= 262144),
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id),
    FOREIGN KEY (workspace_id, mission_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, fork_of) REFERENCES checkpoints (workspace_id, id) ON DELETE SET NULL (fork_of)
);
CREATE INDEX checkpoints_list_idx ON checkpoints (workspace_id, mission_id, created_at, id);
CREATE INDEX checkpoints_fork_of_idx ON checkpoints (workspace_id, fork_of) WHERE fork_of IS NOT NULL;

-- A question of one agent to another, and its answer. `escalated`: it went on to a person.
CREATE TABLE peer_conversations (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    chat_id text,
    from_agent_id text NOT NULL,
    to_agent_id text NOT NULL,
    question varchar(128000) NOT NULL,
    response varchar(128000),
    error_message varchar(10000),
    status text NOT NULL CHECK (status IN ('RUNNING', 'COMPLETED', 'FAILED')),
    duration_ms bigint,
    escalated boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    UNIQUE (workspace_id, id),
    CONSTRAINT peer_conversations_ends_check CHECK (from_agent_id <> to_agent_id),
    FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE SET NULL (chat_id),
    FOREIGN KEY (workspace_id, from_agent_id) REFERENCES agents (workspace_id, id),
    FOREIGN KEY (workspace_id, to_agent_id) REFERENCES agents (workspace_id, id),
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX peer_conversations_chat_id_idx ON peer_conversations (workspace_id, chat_id) WHERE chat_id IS NOT NULL;
CREATE INDEX peer_conversations_from_agent_id_idx ON peer_conversations (workspace_id, from_agent_id, created_at, id);
CREATE INDEX peer_conversations_list_idx ON peer_conversations (workspace_id, created_at, id);
CREATE INDEX peer_conversations_to_agent_id_idx ON peer_conversations (workspace_id, to_agent_id, created_at, id);

-- A decision that an agent asks people for. A credential that was handed over is sealed; `resolution` holds it in no
-- case.
CREATE TABLE escalations (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    crew_id text NOT NULL,
    chat_id text,
    from_agent_id text NOT NULL,
    peer_conversation_id text,
    credential_id text,
    type text NOT NULL CHECK (type IN ('TEXT', 'CREDENTIAL', 'LINK')),
    reason varchar(128000) NOT NULL,
    context varchar(128000),
    data varchar(128000),
    status text NOT NULL CHECK (status IN ('PENDING', 'RESOLVED')),
    resolution varchar(128000),
    handed_over bytea CHECK (substring(handed_over FROM 1 FOR 1) = '\xff'::bytea),
    action text NOT NULL CHECK (action IN ('approve', 'reject', 'redirect')),
    redirect_to varchar(200),
    resolved_by varchar(200),
    resolved_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, id),
    CONSTRAINT escalations_kept_check CHECK (type <> 'CREDENTIAL' OR resolution IS NULL),
    CONSTRAINT escalations_resolved_check CHECK ((status = 'RESOLVED') = (resolved_at IS NOT NULL)),
    CONSTRAINT escalations_size_check CHECK (octet_length(handed_over) <= 512128),
    FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE SET NULL (chat_id),
    FOREIGN KEY (workspace_id, credential_id)
        REFERENCES credentials (workspace_id, id) ON DELETE SET NULL (credential_id),
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id),
    FOREIGN KEY (workspace_id, from_agent_id) REFERENCES agents (workspace_id, id),
    FOREIGN KEY (workspace_id, peer_conversation_id)
        REFERENCES peer_conversations (workspace_id, id) ON DELETE SET NULL (peer_conversation_id),
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX escalations_chat_id_idx ON escalations (workspace_id, chat_id) WHERE chat_id IS NOT NULL;
CREATE INDEX escalations_credential_id_idx ON escalations (workspace_id, credential_id)
    WHERE credential_id IS NOT NULL;
CREATE INDEX escalations_crew_id_idx ON escalations (workspace_id, crew_id, created_at, id);
CREATE INDEX escalations_from_agent_id_idx ON escalations (workspace_id, from_agent_id, created_at, id);
CREATE INDEX escalations_list_idx ON escalations (workspace_id, created_at, id);
CREATE INDEX escalations_peer_conversation_id_idx ON escalations (workspace_id, peer_conversation_id)
    WHERE peer_conversation_id IS NOT NULL;
CREATE INDEX escalations_pending_idx ON escalations (workspace_id, crew_id, from_agent_id) WHERE status = 'PENDING';
CREATE INDEX escalations_status_idx ON escalations (workspace_id, crew_id, status, created_at, id);

-- One table for both kinds. `template_json` is JSON text, in the order in which its keys were written: any value for a
-- mission, a list of stages for issues.
CREATE TABLE workflow_templates (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    name varchar(600) NOT NULL,
    description varchar(10000),
    template_json varchar(128000) NOT NULL,
    icon varchar(200),
    color varchar(200),
    is_builtin boolean NOT NULL,
    version integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, name)
);
CREATE INDEX workflow_templates_name_idx ON workflow_templates (workspace_id, is_builtin DESC, name, id);
CREATE INDEX workflow_templates_created_at_idx ON workflow_templates (workspace_id, is_builtin DESC, created_at, name,
    id);
