-- What an instance keeps of itself.

-- A fact about this instance: fingerprints of its keys, that it was bootstrapped, the cluster that numbers its
-- transactions, telemetry, its log level.
CREATE TABLE instance_facts (
    name varchar(200) PRIMARY KEY,
    value varchar(10000) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The value is `plain`, or where the key says that it is a secret, sealed in `secret`: the database holds it to that,
-- so that no secret is ever stored as a text that something could show.
CREATE TABLE instance_settings (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    key varchar(600) NOT NULL UNIQUE,
    plain varchar(64000),
    secret bytea CHECK (substring(secret FROM 1 FOR 1) = '\xff'::bytea),
    CONSTRAINT instance_settings_kept_check
        CHECK (CASE WHEN starts_with(key, 'smtp.password') OR starts_with(key, 'oauth.') AND right(key,
            14) = '.client_secret' OR starts_with(key, 'webhook.') AND right(key, 7) = '.secret' THEN plain IS NULL
            AND secret IS NOT NULL ELSE plain IS NOT NULL AND secret IS NULL END),
    CONSTRAINT instance_settings_size_check CHECK (octet_length(secret) <= 256128)
);

-- For how many days rows of a table are kept, 0 for good: what the operator has said, noted by the owner of the tables.
-- The service reads it and cannot change it, and the owner's functions remove nothing younger.
CREATE TABLE kept_days (
    name varchar(200) PRIMARY KEY,
    days integer NOT NULL
);

-- A key that values are sealed with, wrapped by one that is not in the database: a workspace's, or the instance's.
CREATE TABLE data_keys (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    workspace_id text REFERENCES workspaces ON DELETE CASCADE,
    wrapped_by varchar(200) NOT NULL,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    CONSTRAINT data_keys_size_check CHECK (octet_length(wrapped) <= 600)
);
CREATE UNIQUE INDEX data_keys_workspace_id_key ON data_keys (workspace_id) NULLS NOT DISTINCT WHERE retired_at IS NULL;

-- One for all workspaces. The key is unique on the instance, letter case included.
CREATE TABLE feature_flags (
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version integer NOT NULL,
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    key varchar(600) NOT NULL UNIQUE,
    description varchar(10000),
    enabled boolean NOT NULL,
    percentage integer NOT NULL CHECK (percentage BETWEEN 0 AND 100)
);

-- What holds in one workspace, whatever the flag says.
CREATE TABLE feature_flag_overrides (
    workspace_id text NOT NULL,
    flag_id text NOT NULL,
    enabled boolean NOT NULL,
    PRIMARY KEY (workspace_id, flag_id),
    FOREIGN KEY (flag_id) REFERENCES feature_flags ON DELETE CASCADE,
    FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
);
CREATE INDEX feature_flag_overrides_flag_id_idx ON feature_flag_overrides (flag_id);

-- Written by the process itself, again and again while it lives.
CREATE TABLE workers (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    runtime varchar(200),
    version varchar(200),
    seen_at timestamptz NOT NULL DEFAULT now(),
    coding_agents jsonb,
    CONSTRAINT workers_size_check CHECK (pg_column_size(coding_agents) <= 262144)
);
CREATE INDEX workers_seen_at_idx ON workers (seen_at);
