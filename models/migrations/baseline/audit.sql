-- The audit log, its seals, and the logs beside it.

-- Who did what to which row; written in the transaction of the change.
CREATE TABLE audit_logs (
    id varchar(200) NOT NULL,
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    user_id varchar(200),
    action varchar(200) NOT NULL,
    entity_type varchar(200) NOT NULL,
    entity_id varchar(200),
    data jsonb NOT NULL,
    ip_address varchar(200),
    user_agent varchar(400),
    created_at timestamptz NOT NULL DEFAULT now(),
    actor_type text NOT NULL CHECK (actor_type IN ('user', 'token', 'service', 'agent', 'system')),
    entity_kind varchar(200) NOT NULL GENERATED ALWAYS AS (lower(entity_type COLLATE "C")) STORED,
    actor_id varchar(200),
    changes jsonb,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    salt varchar(200) DEFAULT (gen_random_uuid())::text,
    erased bytea,
    erased_signature bytea,
    PRIMARY KEY (id, created_at),
    CONSTRAINT audit_logs_size_check
        CHECK (GREATEST(pg_column_size(data), pg_column_size(changes)) <= 262144 AND GREATEST(octet_length(erased),
            octet_length(erased_signature)) <= 200)
) PARTITION BY RANGE (created_at);
CREATE INDEX audit_logs_list_idx ON audit_logs (workspace_id, created_at DESC, id DESC);
CREATE INDEX audit_logs_action_list_idx ON audit_logs (workspace_id, action, created_at DESC, id DESC);
CREATE INDEX audit_logs_entity_kind_list_idx ON audit_logs (workspace_id, entity_kind, created_at DESC, id DESC);
CREATE INDEX audit_logs_entity_id_list_idx ON audit_logs (workspace_id, entity_id, created_at DESC, id DESC);
CREATE INDEX audit_logs_user_id_list_idx ON audit_logs (workspace_id, user_id, created_at DESC, id DESC);
CREATE INDEX audit_logs_seq_idx ON audit_logs (seq);
CREATE INDEX audit_logs_workspace_id_seq_idx ON audit_logs (workspace_id, seq);
SELECT bare_partition('audit_logs', 'audit_logs_earlier');
ALTER TABLE audit_logs ATTACH PARTITION audit_logs_earlier
    FOR VALUES FROM (MINVALUE) TO (date_trunc('month', now(), 'UTC'));
SELECT bare_partition('audit_logs', 'audit_logs_later');
ALTER TABLE audit_logs ATTACH PARTITION audit_logs_later
    FOR VALUES FROM (date_trunc('month', now(), 'UTC')) TO (MAXVALUE);
SELECT keep_partitions('audit_logs', 'month', 3);

-- A range of a workspace's audit rows, in the order of their numbers, that cannot be changed any more without a trace.
CREATE TABLE audit_seals (
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    number bigint NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    rows integer NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    digests bytea,
    hash bytea NOT NULL,
    signature bytea NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT now(),
    dropped_at timestamptz,
    dropped_signature bytea,
    dropped_until timestamptz,
    PRIMARY KEY (workspace_id, number),
    CONSTRAINT audit_seals_size_check
        CHECK (octet_length(digests) <= 65536 AND GREATEST(octet_length(hash), octet_length(signature),
            octet_length(dropped_signature)) <= 200)
);
CREATE INDEX audit_seals_first_at_idx ON audit_seals (first_at) WHERE digests IS NOT NULL;

-- What was done with an account: signing in, and whatever lets somebody sign in. The person's own, and of no workspace;
-- of an account that is gone, nobody's.
CREATE TABLE security_logs (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    user_id text REFERENCES users ON DELETE CASCADE,
    action varchar(200) NOT NULL,
    entity_type varchar(200) NOT NULL,
    entity_id varchar(200),
    data jsonb NOT NULL,
    changes jsonb,
    ip_address varchar(200),
    user_agent varchar(400),
    actor_type text NOT NULL CHECK (actor_type IN ('user', 'token', 'service', 'agent', 'system')),
    actor_id varchar(200),
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT security_logs_size_check CHECK (GREATEST(pg_column_size(data), pg_column_size(changes)) <= 262144)
);
CREATE INDEX security_logs_created_at_idx ON security_logs USING brin (created_at);
CREATE INDEX security_logs_list_idx ON security_logs (user_id, created_at DESC, id DESC);

-- Who did it is forgotten with their account; whom it was about stays, as an id that names nobody any more.
CREATE TABLE gdpr_actions (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    action text NOT NULL CHECK (action IN ('export', 'delete', 'archive', 'erase')),
    status text NOT NULL CHECK (status IN ('in_progress', 'completed', 'failed')),
    actor_user_id text,
    subject_id varchar(200) NOT NULL,
    reason varchar(10000),
    scope jsonb NOT NULL,
    error varchar(10000),
    created_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    archive_bytes bigint,
    expires_at timestamptz,
    CONSTRAINT gdpr_actions_size_check CHECK (pg_column_size(scope) <= 262144),
    FOREIGN KEY (actor_user_id) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX gdpr_actions_actor_user_id_idx ON gdpr_actions (actor_user_id);
CREATE INDEX gdpr_actions_expires_at_idx ON gdpr_actions (expires_at);
CREATE INDEX gdpr_actions_workspace_id_created_at_idx ON gdpr_actions (workspace_id, created_at, id);
