-- The outbox, the keys of repeated requests, and the steps that jobs have done.

-- An event, written in the transaction of the change it tells of. (xid, seq) is the order of delivery.
CREATE TABLE events (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    seq bigint GENERATED ALWAYS AS IDENTITY,
    workspace_id varchar(200),
    channel varchar(600) NOT NULL,
    type varchar(200) NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (xid, seq, created_at),
    CONSTRAINT events_size_check CHECK (pg_column_size(payload) <= 1048576)
) PARTITION BY RANGE (created_at);
CREATE INDEX events_channel_xid_seq_idx ON events (channel, xid, seq);
CREATE INDEX events_created_at_idx ON events USING brin (created_at);
CREATE INDEX events_access_idx ON events (xid, seq) WHERE type = 'access.changed';
SELECT bare_partition('events', 'events_earlier');
ALTER TABLE events ATTACH PARTITION events_earlier
    FOR VALUES FROM (MINVALUE) TO (date_trunc('day', now(), 'UTC'));
SELECT bare_partition('events', 'events_later');
ALTER TABLE events ATTACH PARTITION events_later
    FOR VALUES FROM (date_trunc('day', now(), 'UTC')) TO (MAXVALUE);
SELECT keep_partitions('events', 'day', 3);

-- The answer to a command that a client may send twice; kept for 24 hours.
CREATE TABLE idempotency_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    principal varchar(200) NOT NULL,
    workspace_id varchar(200),
    operation varchar(200) NOT NULL,
    key varchar(400) NOT NULL,
    request_hash bytea NOT NULL,
    body bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    version integer,
    UNIQUE NULLS NOT DISTINCT (principal, workspace_id, operation, key),
    CONSTRAINT idempotency_keys_size_check CHECK (octet_length(request_hash) <= 200 AND octet_length(body) <= 67108864)
);
CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at);

-- A step a background job has done, written in its transaction: whoever goes on with the job leaves it out.
CREATE TABLE job_steps (
    root varchar(600) NOT NULL,
    step varchar(400) NOT NULL,
    workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (root, step)
);
CREATE INDEX job_steps_created_at_idx ON job_steps USING brin (created_at);
