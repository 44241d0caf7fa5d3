-- Webhooks in both directions.

-- `event_types` are names of events, or `*` alone. For a day after a rotation both secrets sign.
CREATE TABLE webhook_endpoints (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL,
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    name varchar(600) NOT NULL,
    url varchar(2048) NOT NULL,
    event_types jsonb NOT NULL,
    secret bytea CHECK (substring(secret FROM 1 FOR 1) = '\xff'::bytea),
    old_secret bytea CHECK (substring(old_secret FROM 1 FOR 1) = '\xff'::bytea),
    old_secret_until timestamptz,
    enabled boolean NOT NULL,
    failing_since timestamptz,
    created_by text,
    UNIQUE (workspace_id, id),
    CONSTRAINT webhook_endpoints_size_check
        CHECK (pg_column_size(event_types) <= 65536 AND GREATEST(octet_length(secret),
            octet_length(old_secret)) <= 928),
    FOREIGN KEY (created_by) REFERENCES users ON DELETE SET NULL,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX webhook_endpoints_list_idx ON webhook_endpoints (workspace_id, created_at, id);

-- One event for one endpoint. (xid, seq) is its place in the outbox, and the order within its lane.
CREATE TABLE webhook_deliveries (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    endpoint_id text NOT NULL,
    event_type varchar(200) NOT NULL,
    subject varchar(800) NOT NULL,
    lane integer NOT NULL,
    payload jsonb NOT NULL,
    xid bigint NOT NULL,
    seq bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts integer NOT NULL,
    next_attempt_at timestamptz,
    status integer,
    answer varchar(1024),
    error varchar(200),
    happened_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    CONSTRAINT webhook_deliveries_size_check CHECK (pg_column_size(payload) <= 1048576),
    FOREIGN KEY (workspace_id, endpoint_id) REFERENCES webhook_endpoints (workspace_id, id) ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX webhook_deliveries_created_at_idx ON webhook_deliveries (created_at);
CREATE INDEX webhook_deliveries_lane_idx ON webhook_deliveries (workspace_id, endpoint_id, lane, xid, seq)
    WHERE state = 'pending';
CREATE INDEX webhook_deliveries_list_idx ON webhook_deliveries (workspace_id, endpoint_id, created_at, id);
CREATE INDEX webhook_deliveries_state_idx ON webhook_deliveries (workspace_id, endpoint_id, state, created_at, id);

-- A delivery from outside, as far as its result; several that are alike, where `times` says so.
CREATE TABLE webhook_receipts (
    workspace_id text NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    agent_id text NOT NULL,
    key varchar(200),
    event varchar(200) NOT NULL,
    source varchar(200) NOT NULL,
    scheme varchar(200) NOT NULL,
    run_id varchar(200),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    result text NOT NULL CHECK (result IN ('accepted', 'duplicate', 'challenge', 'refused')),
    reason varchar(200),
    proof varchar(200),
    times integer NOT NULL,
    last_at timestamptz,
    FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id),
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX webhook_receipts_created_at_idx ON webhook_receipts (created_at);
CREATE INDEX webhook_receipts_key_idx ON webhook_receipts (workspace_id, agent_id, key, created_at);
CREATE INDEX webhook_receipts_list_idx ON webhook_receipts (workspace_id, agent_id, created_at, id);
CREATE INDEX webhook_receipts_proof_idx ON webhook_receipts (workspace_id, agent_id, proof, created_at);
CREATE INDEX webhook_receipts_result_idx ON webhook_receipts (workspace_id, agent_id, result, created_at, id);
