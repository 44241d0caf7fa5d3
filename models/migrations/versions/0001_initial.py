"""The first tables: users, workspaces, and what the kernel stores for itself.

Constraints without a name get PostgreSQL's, which are those of our naming convention.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

IDENTITY = (
    """
    CREATE TABLE users (
        id text PRIMARY KEY,
        email text NOT NULL UNIQUE,
        full_name text,
        avatar_url text,
        email_verified timestamptz,
        password_hash text,
        onboarding_completed boolean NOT NULL,
        failed_login_count integer NOT NULL,
        locked_until timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE sessions (
        id text PRIMARY KEY,
        user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
        expires_at timestamptz NOT NULL,
        last_used_at timestamptz NOT NULL,
        revoked_at timestamptz,
        revoked_reason text CHECK (revoked_reason IN ('logout', 'admin_force', 'rotation', 'password_change')),
        user_agent text NOT NULL,
        ip text NOT NULL,
        current_refresh_jti text,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX sessions_expires_at_idx ON sessions (expires_at)",
    "CREATE INDEX sessions_user_id_idx ON sessions (user_id)",
    """
    CREATE TABLE cli_tokens (
        id text PRIMARY KEY,
        user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
        name text NOT NULL,
        tier text NOT NULL CHECK (tier IN ('STANDARD', 'ADMIN')),
        token_hash text NOT NULL UNIQUE,
        scopes jsonb NOT NULL,
        expires_at timestamptz,
        last_used_at timestamptz,
        revoked_at timestamptz,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX cli_tokens_user_id_idx ON cli_tokens (user_id)",
    """
    CREATE TABLE admin_token_uses (
        id text PRIMARY KEY,
        token_id text NOT NULL REFERENCES cli_tokens ON DELETE CASCADE,
        used_at timestamptz NOT NULL,
        ip text NOT NULL,
        user_agent text NOT NULL,
        path text NOT NULL
    )
    """,
    "CREATE INDEX admin_token_uses_token_id_idx ON admin_token_uses (token_id)",
)

TENANCY = (
    """
    CREATE TABLE workspaces (
        id text PRIMARY KEY,
        name text NOT NULL,
        slug text NOT NULL UNIQUE,
        logo_url text,
        preferred_language text,
        version integer NOT NULL,
        deleted_at timestamptz,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE memberships (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        user_id text NOT NULL REFERENCES users ON DELETE CASCADE,
        role text NOT NULL CHECK (role IN ('OWNER', 'ADMIN', 'MANAGER', 'MEMBER', 'VIEWER')),
        capabilities jsonb,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        UNIQUE (user_id, workspace_id)
    )
    """,
    "CREATE INDEX memberships_workspace_id_created_at_idx ON memberships (workspace_id, created_at)",
    """
    CREATE TABLE invitations (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        email text NOT NULL,
        role text NOT NULL CHECK (role IN ('OWNER', 'ADMIN', 'MANAGER', 'MEMBER', 'VIEWER')),
        invited_by text NOT NULL REFERENCES users ON DELETE CASCADE,
        token text NOT NULL UNIQUE,
        expires_at timestamptz NOT NULL,
        accepted_at timestamptz,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX invitations_workspace_id_created_at_idx ON invitations (workspace_id, created_at)",
)

KERNEL = (
    """
    CREATE TABLE events (
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        seq bigint GENERATED ALWAYS AS IDENTITY,
        workspace_id text,
        channel text NOT NULL,
        type text NOT NULL,
        payload jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (xid, seq)
    )
    """,
    "CREATE INDEX events_channel_xid_seq_idx ON events (channel, xid, seq)",
    "CREATE INDEX events_created_at_idx ON events USING brin (created_at)",
    """
    CREATE TABLE idempotency_keys (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        principal text NOT NULL,
        workspace_id text,
        operation text NOT NULL,
        key text NOT NULL,
        request_hash bytea NOT NULL,
        body bytea,
        created_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE NULLS NOT DISTINCT (principal, workspace_id, operation, key)
    )
    """,
    "CREATE INDEX idempotency_keys_created_at_idx ON idempotency_keys (created_at)",
    """
    CREATE TABLE audit_logs (
        id text PRIMARY KEY,
        workspace_id text NOT NULL REFERENCES workspaces ON DELETE CASCADE,
        user_id text,
        action text NOT NULL,
        entity_type text NOT NULL,
        entity_id text,
        data jsonb NOT NULL,
        ip_address text,
        user_agent text,
        created_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX audit_logs_workspace_id_created_at_idx ON audit_logs (workspace_id, created_at)",
    """
    CREATE TABLE instance_facts (
        name text PRIMARY KEY,
        value text NOT NULL,
        created_at timestamptz NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in (*IDENTITY, *TENANCY, *KERNEL):
        op.execute(statement)
