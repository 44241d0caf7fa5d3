-- Users, what they sign in with, and what they keep for themselves.

-- A person, or a service account, which signs in by its tokens alone.
CREATE TABLE users (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    email varchar(320) NOT NULL UNIQUE,
    full_name varchar(200),
    avatar_url varchar(2048),
    email_verified timestamptz,
    password_hash varchar(200),
    onboarding_completed boolean NOT NULL,
    failed_login_count integer NOT NULL,
    locked_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    passkey_required boolean NOT NULL DEFAULT false,
    founded_in text,
    CONSTRAINT users_password_check CHECK (password_hash IS NULL OR NOT starts_with(id, 'sa_'))
);
CREATE INDEX users_email_in_lower_case_idx ON users (lower(email));
CREATE INDEX users_founded_in_idx ON users (founded_in);

-- A browser login. The id is `s_` and 64 hex digits; it never leaves the server but inside a signed token.
CREATE TABLE sessions (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    revoked_reason text CHECK (revoked_reason IN ('logout', 'admin_force', 'rotation', 'password_change')),
    user_agent varchar(400) NOT NULL,
    ip varchar(200) NOT NULL,
    current_refresh_jti varchar(200),
    created_at timestamptz NOT NULL DEFAULT now(),
    generation integer NOT NULL DEFAULT 0,
    refreshed_at timestamptz,
    CONSTRAINT sessions_people_check CHECK (NOT starts_with(user_id, 'sa_'))
);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);

-- A bearer token of a script. Only its hash is kept: SHA-256 for STANDARD, a keyed HMAC for ADMIN.
CREATE TABLE cli_tokens (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    name varchar(100) NOT NULL,
    tier text NOT NULL CHECK (tier IN ('STANDARD', 'ADMIN')),
    token_hash varchar(200) NOT NULL UNIQUE,
    scopes jsonb NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    rotated_at timestamptz,
    CONSTRAINT cli_tokens_scopes_check CHECK (NOT starts_with(user_id, 'sa_') OR tier = 'STANDARD' AND scopes <> '[]'),
    CONSTRAINT cli_tokens_size_check CHECK (pg_column_size(scopes) <= 262144)
);
CREATE INDEX cli_tokens_user_id_idx ON cli_tokens (user_id);

-- Every use of an ADMIN token, written before the request goes on.
CREATE TABLE admin_token_uses (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    token_id text NOT NULL REFERENCES cli_tokens ON DELETE CASCADE,
    used_at timestamptz NOT NULL DEFAULT now(),
    ip varchar(200) NOT NULL,
    user_agent varchar(400) NOT NULL,
    path varchar(1000) NOT NULL
);
CREATE INDEX admin_token_uses_token_id_idx ON admin_token_uses (token_id);

-- A browser that has signed in to an account. Its cookie gets it past the lock of the account; wrong passwords count
-- here instead.
CREATE TABLE sign_in_devices (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    cookie_hash varchar(200) NOT NULL UNIQUE,
    password_mark varchar(200) NOT NULL,
    failed_login_count integer NOT NULL,
    locked_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_devices_user_id_idx ON sign_in_devices (user_id);
CREATE INDEX sign_in_devices_used_at_idx ON sign_in_devices (used_at);

-- Who the provider says it is, forever: (issuer, subject). The email is what it told last, and identifies nobody.
CREATE TABLE linked_identities (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    provider varchar(50) NOT NULL,
    issuer varchar(600) NOT NULL,
    subject varchar(255) NOT NULL,
    email varchar(320),
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (issuer, subject),
    UNIQUE (user_id, issuer),
    CONSTRAINT linked_identities_people_check CHECK (NOT starts_with(user_id, 'sa_'))
);

-- A browser that was sent to a provider, until it comes back, which it can do once.
CREATE TABLE sign_in_attempts (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    state_hash varchar(200) NOT NULL UNIQUE,
    browser_hash varchar(200) NOT NULL,
    provider varchar(50) NOT NULL,
    path varchar(2048) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_attempts_created_at_idx ON sign_in_attempts (created_at);

-- A public key that an authenticator holds the private half of (WebAuthn). It verifies its user by itself.
CREATE TABLE passkeys (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    name varchar(100) NOT NULL,
    credential_id bytea NOT NULL UNIQUE,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    transports jsonb NOT NULL,
    backed_up boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    CONSTRAINT passkeys_people_check CHECK (NOT starts_with(user_id, 'sa_')),
    CONSTRAINT passkeys_size_check
        CHECK (octet_length(credential_id) <= 1023 AND octet_length(public_key) <= 2048
            AND pg_column_size(transports) <= 1024)
);
CREATE INDEX passkeys_user_id_idx ON passkeys (user_id);

-- What one browser has to sign next; it is good once, and a new one takes its place.
CREATE TABLE passkey_challenges (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    browser varchar(200) NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('register', 'sign_in')),
    user_id text REFERENCES users ON DELETE CASCADE,
    challenge varchar(200),
    expires_at timestamptz NOT NULL,
    UNIQUE (browser, purpose)
);
CREATE INDEX passkey_challenges_expires_at_idx ON passkey_challenges (expires_at);
CREATE INDEX passkey_challenges_user_id_idx ON passkey_challenges (user_id);

-- Somebody asked for a link. `user_id` and `token_hash` are set once the link is mailed, and only the hash is kept.
CREATE TABLE password_resets (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    email varchar(320) NOT NULL,
    user_id text REFERENCES users ON DELETE CASCADE,
    token_hash varchar(200) UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX password_resets_user_id_idx ON password_resets (user_id);
CREATE INDEX password_resets_created_at_idx ON password_resets (created_at);

-- A user wants another email. `token_hash` is set once the link is mailed there; only the hash is kept.
CREATE TABLE email_changes (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    email varchar(320) NOT NULL,
    old_email varchar(320) NOT NULL,
    token_hash varchar(200) UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX email_changes_expires_at_idx ON email_changes (expires_at);
CREATE INDEX email_changes_user_id_created_at_idx ON email_changes (user_id, created_at);

-- A code that waits for a command line. Only its keyed hash is kept; it is redeemed once.
CREATE TABLE pairings (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    code_hash varchar(200) NOT NULL UNIQUE,
    adapter_hint varchar(32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    consumed_at timestamptz
);
CREATE INDEX pairings_user_id_idx ON pairings (user_id);
CREATE INDEX pairings_expires_at_idx ON pairings (expires_at);

-- A value under a key. A null is kept like any other value.
CREATE TABLE preferences (
    id varchar(200) PRIMARY KEY CHECK (id ~ '^[A-Za-z0-9_-]+$'),
    user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
    key varchar(64) NOT NULL,
    value jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, key),
    CONSTRAINT preferences_size_check CHECK (pg_column_size(value) <= 262144)
);
