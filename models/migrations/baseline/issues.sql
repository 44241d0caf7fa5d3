-- Issues: missions that people write.

-- The name is unique in the workspace, letter case included; any text is a color.
CREATE TABLE labels (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    name varchar(600) NOT NULL,
    color varchar(100) NOT NULL,
    label_group varchar(100),
    version integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (workspace_id, id),
    UNIQUE (workspace_id, name)
);

-- A label on an issue.
CREATE TABLE issue_labels (
    workspace_id text NOT NULL,
    mission_id text NOT NULL,
    label_id text NOT NULL,
    PRIMARY KEY (workspace_id, mission_id, label_id),
    FOREIGN KEY (workspace_id, label_id) REFERENCES labels (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, mission_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX issue_labels_label_id_idx ON issue_labels (workspace_id, label_id, mission_id);

CREATE TABLE issue_comments (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    mission_id text NOT NULL,
    author_type text NOT NULL CHECK (author_type IN ('user', 'agent', 'system')),
    author_id varchar(200) NOT NULL,
    body varchar(128000) NOT NULL,
    FOREIGN KEY (workspace_id, mission_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX issue_comments_mission_id_idx ON issue_comments (workspace_id, mission_id, created_at, id);

-- What was done with an issue: one row a change, never changed itself.
CREATE TABLE issue_activity (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    mission_id text NOT NULL,
    actor_type text NOT NULL CHECK (actor_type IN ('user', 'agent', 'system')),
    actor_id varchar(200) NOT NULL,
    action text NOT NULL CHECK (action IN ('status_changed', 'assignee_changed', 'priority_changed', 'review_approved',
        'review_changes_requested', 'task_completed', 'task_failed')),
    details varchar(1000),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (workspace_id, mission_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX issue_activity_mission_id_idx ON issue_activity (workspace_id, mission_id, created_at, id);

-- From one issue to another.
CREATE TABLE issue_relations (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    source_id text NOT NULL,
    target_id text NOT NULL,
    relation_type text NOT NULL CHECK (relation_type IN ('blocks', 'blocked_by', 'relates_to', 'duplicate_of')),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT issue_relations_workspace_id_source_id_target_id_relati_fa42 UNIQUE (workspace_id, source_id, target_id,
        relation_type),
    FOREIGN KEY (workspace_id, source_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, target_id) REFERENCES missions (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX issue_relations_target_id_idx ON issue_relations (workspace_id, target_id);

-- `cron_expression` is read in `time_zone`; without one, in UTC. What is enabled and has a `next_run` is due then.
CREATE TABLE recurring_issues (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL,
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    crew_id text NOT NULL,
    title varchar(600) NOT NULL,
    description varchar(64000),
    priority varchar(200) NOT NULL,
    project_id text,
    milestone_id text,
    assignee_type varchar(200),
    assignee_id varchar(200),
    labels_json varchar(64000),
    cron_expression varchar(1000) NOT NULL,
    time_zone varchar(100),
    enabled boolean NOT NULL,
    next_run timestamptz,
    last_run timestamptz,
    run_count integer NOT NULL,
    created_by text,
    FOREIGN KEY (created_by) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, milestone_id) REFERENCES milestones (workspace_id, id) ON DELETE SET NULL (milestone_id),
    FOREIGN KEY (workspace_id, project_id) REFERENCES projects (workspace_id, id) ON DELETE SET NULL (project_id),
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX recurring_issues_created_by_idx ON recurring_issues (created_by);
CREATE INDEX recurring_issues_crew_id_idx ON recurring_issues (workspace_id, crew_id, created_at, id);
CREATE INDEX recurring_issues_due_idx ON recurring_issues (next_run, id) WHERE enabled;
CREATE INDEX recurring_issues_list_idx ON recurring_issues (workspace_id, created_at, id);
CREATE INDEX recurring_issues_milestone_id_idx ON recurring_issues (workspace_id, milestone_id);
CREATE INDEX recurring_issues_project_id_idx ON recurring_issues (workspace_id, project_id, created_at, id);

-- `position` orders the rules of a workspace, of which the first one that matches holds; several may share one.
-- `on_create`: the rule is applied to new issues, too.
CREATE TABLE triage_rules (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL,
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    name varchar(600) NOT NULL,
    pattern varchar(1000) NOT NULL,
    match_type text NOT NULL CHECK (match_type IN ('contains', 'regex', 'exact')),
    crew_id text,
    assignee_id text,
    priority varchar(200),
    project_id text,
    labels_json varchar(64000),
    position integer NOT NULL,
    enabled boolean NOT NULL,
    on_create boolean NOT NULL,
    match_count integer NOT NULL,
    FOREIGN KEY (workspace_id, assignee_id) REFERENCES agents (workspace_id, id) ON DELETE SET NULL (assignee_id),
    FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE SET NULL (crew_id),
    FOREIGN KEY (workspace_id, project_id) REFERENCES projects (workspace_id, id) ON DELETE SET NULL (project_id),
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX triage_rules_assignee_id_idx ON triage_rules (workspace_id, assignee_id);
CREATE INDEX triage_rules_crew_id_idx ON triage_rules (workspace_id, crew_id);
CREATE INDEX triage_rules_on_create_idx ON triage_rules (workspace_id, position) WHERE on_create AND enabled;
CREATE INDEX triage_rules_position_idx ON triage_rules (workspace_id, position, created_at, id);
CREATE INDEX triage_rules_project_id_idx ON triage_rules (workspace_id, project_id);
