-- The journal.

-- That there is an entry: `kind` and `row_id` say which row tells it. The id begins with the time, so that lines stand
-- in one order, and one is found by its id.
CREATE TABLE journal (
    place varchar(200) NOT NULL,
    at timestamptz NOT NULL,
    id varchar(100) NOT NULL CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    kind varchar(100) NOT NULL,
    row_id varchar(200) NOT NULL,
    entry_type varchar(100) NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'notice', 'warn', 'error')),
    priority text NOT NULL CHECK (priority IN ('normal', 'high', 'pin', 'permanent')),
    actor_type text NOT NULL CHECK (actor_type IN ('agent', 'user', 'system', 'keeper', 'sidecar', 'orchestrator')),
    actor_id varchar(200),
    crew_id varchar(200),
    agent_id varchar(200),
    mission_id varchar(200),
    trace_id varchar(200),
    words tsvector NOT NULL,
    xid bigint NOT NULL DEFAULT ((pg_current_xact_id())::text)::bigint,
    PRIMARY KEY (place, at, id)
);
CREATE INDEX journal_crew_id_idx ON journal (place, crew_id, at, id) WHERE crew_id IS NOT NULL;
CREATE INDEX journal_agent_id_idx ON journal (place, agent_id, at, id) WHERE agent_id IS NOT NULL;
CREATE INDEX journal_mission_id_idx ON journal (place, mission_id, at, id) WHERE mission_id IS NOT NULL;
CREATE INDEX journal_trace_id_idx ON journal (place, trace_id, at, id) WHERE trace_id IS NOT NULL;
CREATE INDEX journal_entry_type_idx ON journal (place, entry_type, at, id);
CREATE INDEX journal_priority_idx ON journal (place, at, id) WHERE priority <> 'normal';
CREATE INDEX journal_seen_idx ON journal (place, xid, id);
CREATE INDEX journal_severity_idx ON journal (place, severity, at, id);
CREATE INDEX journal_actor_type_idx ON journal (place, actor_type, at, id);
CREATE INDEX journal_terms_idx ON journal USING gin (journal_terms(place, at, agent_id, crew_id, mission_id, trace_id,
    entry_type, severity, actor_type, words)) WITH (gin_pending_list_limit = 512);
ALTER INDEX journal_terms_idx ALTER COLUMN 1 SET STATISTICS 0;

-- What no other row tells. Ids are not tied to their rows: entries outlive them.
CREATE TABLE journal_entries (
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    entry_type varchar(100) NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'notice', 'warn', 'error')),
    actor_type text NOT NULL CHECK (actor_type IN ('agent', 'user', 'system', 'keeper', 'sidecar', 'orchestrator')),
    actor_id varchar(200),
    crew_id varchar(200),
    agent_id varchar(200),
    mission_id varchar(200),
    trace_id varchar(200),
    summary varchar(128000) NOT NULL,
    payload jsonb,
    refs jsonb,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT journal_entries_size_check CHECK (GREATEST(pg_column_size(payload), pg_column_size(refs)) <= 262144)
);
CREATE INDEX journal_entries_workspace_id_idx ON journal_entries (workspace_id);
CREATE INDEX journal_entries_skill_idx ON journal_entries (workspace_id, (payload ->> 'skill_id'), created_at)
    WHERE entry_type = 'skill.invoked';
