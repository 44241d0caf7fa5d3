-- Runs of agents, with their frames and steps.

-- One piece of work of an agent. RUNNING without `started_at` waits for a worker.
CREATE TABLE runs (
    id varchar(200) PRIMARY KEY,
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    agent_id text NOT NULL,
    chat_id varchar(200),
    triggered_by varchar(200),
    trigger_type varchar(100) NOT NULL,
    status text NOT NULL CHECK (status IN ('RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'TIMEOUT')),
    prompt varchar(128000) NOT NULL,
    max_turns integer,
    model varchar(200),
    exit_code integer,
    error_message varchar(10000),
    data jsonb,
    started_at timestamptz,
    finished_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    worker varchar(200),
    lease integer NOT NULL,
    leased_until timestamptz,
    cancel_requested_at timestamptz,
    frames integer NOT NULL,
    message_seq integer,
    began_at timestamptz NOT NULL GENERATED ALWAYS AS (COALESCE(started_at, created_at)) STORED,
    assignment_id text,
    waits_for varchar(200),
    waits_since timestamptz,
    waited double precision NOT NULL,
    parks integer NOT NULL,
    restricted boolean NOT NULL DEFAULT false,
    UNIQUE (workspace_id, id),
    CONSTRAINT runs_size_check CHECK (pg_column_size(data) <= 1048576),
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id),
    FOREIGN KEY (workspace_id, assignment_id)
        REFERENCES assignments (workspace_id, id) ON DELETE SET NULL (assignment_id)
);
ALTER TABLE runs ALTER COLUMN trigger_type SET (n_distinct = 5);
ALTER TABLE runs ALTER COLUMN status SET (n_distinct = 5);
CREATE INDEX runs_gone_wrong_idx ON runs (workspace_id, finished_at) WHERE status IN ('FAILED', 'TIMEOUT');
CREATE INDEX runs_unfinished_idx ON runs (leased_until, created_at) WHERE status = 'RUNNING';
CREATE INDEX runs_list_idx ON runs (workspace_id, began_at DESC, id DESC);
CREATE INDEX runs_status_list_idx ON runs (workspace_id, status, began_at DESC, id DESC);
CREATE INDEX runs_trigger_type_list_idx ON runs (workspace_id, trigger_type, began_at DESC, id DESC);
CREATE INDEX runs_chat_id_list_idx ON runs (workspace_id, chat_id, began_at DESC, id DESC);
CREATE INDEX runs_agent_id_list_idx ON runs (workspace_id, agent_id, began_at DESC, id DESC);
CREATE INDEX runs_assignment_id_idx ON runs (workspace_id, assignment_id) WHERE assignment_id IS NOT NULL;
CREATE INDEX runs_waits_for_idx ON runs (workspace_id, waits_for) WHERE waits_for IS NOT NULL;
CREATE UNIQUE INDEX runs_chat_id_running_key ON runs (workspace_id, chat_id)
    WHERE status = 'RUNNING' AND trigger_type <> 'WEBHOOK';
CREATE INDEX runs_chat_id_live_idx ON runs (workspace_id, chat_id) WHERE status = 'RUNNING';

-- One of the tags of a run's metadata; those over 200 characters have none. Without a foreign key to runs, since only
-- their trigger writes here.
CREATE TABLE run_tags (
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    tag varchar(200) NOT NULL,
    run_id varchar(200) NOT NULL,
    began_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, tag, began_at, run_id)
);

-- A run's step: announced before it shows or does what cannot be taken back; its outcome once `finished_at` is set.
CREATE TABLE run_steps (
    run_id text NOT NULL,
    name varchar(400) NOT NULL,
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    lease integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    outcome jsonb,
    said jsonb,
    PRIMARY KEY (run_id, name),
    CONSTRAINT run_steps_size_check CHECK (GREATEST(pg_column_size(outcome), pg_column_size(said)) <= 8388608),
    FOREIGN KEY (workspace_id, run_id) REFERENCES runs (workspace_id, id) ON DELETE CASCADE
);

-- One frame of a chat as clients get it; a run's come in batches by its lease's holder. Also the agent's log.
CREATE TABLE run_frames (
    chat_id text NOT NULL,
    seq integer NOT NULL,
    workspace_id text NOT NULL,
    run_id text,
    type varchar(200) NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    agent_id varchar(200),
    PRIMARY KEY (workspace_id, chat_id, seq, created_at),
    CONSTRAINT run_frames_size_check CHECK (pg_column_size(payload) <= 8388608),
    FOREIGN KEY (workspace_id, chat_id) REFERENCES chats (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE,
    FOREIGN KEY (workspace_id, run_id) REFERENCES runs (workspace_id, id) ON DELETE CASCADE
) PARTITION BY RANGE (created_at);
CREATE INDEX run_frames_run_id_seq_idx ON run_frames (run_id, seq);
CREATE INDEX run_frames_created_at_idx ON run_frames USING brin (created_at);
CREATE INDEX run_frames_log_idx ON run_frames (workspace_id, agent_id, created_at, chat_id, seq)
    WHERE agent_id IS NOT NULL;
SELECT bare_partition('run_frames', 'run_frames_earlier');
ALTER TABLE run_frames ATTACH PARTITION run_frames_earlier
    FOR VALUES FROM (MINVALUE) TO (date_trunc('week', now(), 'UTC'));
SELECT bare_partition('run_frames', 'run_frames_later');
ALTER TABLE run_frames ATTACH PARTITION run_frames_later
    FOR VALUES FROM (date_trunc('week', now(), 'UTC')) TO (MAXVALUE);
SELECT keep_partitions('run_frames', 'week', 3);
