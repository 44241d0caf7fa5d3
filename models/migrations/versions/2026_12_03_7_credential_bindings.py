"""Bindings of credentials to variables, further fields of a credential, and assignments that end."""

from models.migrations.revisions import execute

revision = "2026_12_03_7"
down_revision = "2026_12_03"
branch_labels = None
depends_on = None


BINDINGS = """
    CREATE TABLE credential_bindings (
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY
            CONSTRAINT credential_bindings_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        credential_id text NOT NULL,
        scope text NOT NULL
            CONSTRAINT credential_bindings_scope_check CHECK (scope IN ('WORKSPACE', 'CREW', 'AGENT')),
        crew_id text,
        agent_id text,
        slot varchar(255) NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT credential_bindings_of_slot_key
            UNIQUE NULLS NOT DISTINCT (workspace_id, scope, crew_id, agent_id, slot),
        CONSTRAINT credential_bindings_to_crew_check CHECK ((scope = 'CREW') = (crew_id IS NOT NULL)),
        CONSTRAINT credential_bindings_to_agent_check CHECK ((scope = 'AGENT') = (agent_id IS NOT NULL)),
        FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, crew_id) REFERENCES crews (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id, agent_id) REFERENCES agents (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
    );
    CREATE INDEX credential_bindings_list_idx
        ON credential_bindings (workspace_id, slot, scope, created_at, id);
    CREATE INDEX credential_bindings_credential_id_idx ON credential_bindings (workspace_id, credential_id);
    CREATE INDEX credential_bindings_crew_id_idx ON credential_bindings (workspace_id, crew_id);
    CREATE INDEX credential_bindings_agent_id_idx ON credential_bindings (workspace_id, agent_id);
"""

FIELDS = """
    CREATE TABLE credential_fields (
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        workspace_id text NOT NULL,
        id varchar(200) NOT NULL PRIMARY KEY
            CONSTRAINT credential_fields_id_check CHECK (id ~ '^[A-Za-z0-9_-]+$'),
        credential_id text NOT NULL,
        key varchar(100) NOT NULL,
        is_secret boolean NOT NULL,
        ordinal integer NOT NULL,
        value varchar(65536),
        sealed bytea CONSTRAINT credential_fields_sealed_check
            CHECK (substring(sealed FROM 1 FOR 1) = '\\xff'::bytea),
        UNIQUE (workspace_id, credential_id, key),
        CONSTRAINT credential_fields_value_or_seal_check
            CHECK (is_secret = (value IS NULL) AND is_secret = (sealed IS NOT NULL)),
        CONSTRAINT credential_fields_size_check CHECK (octet_length(sealed) <= 262272),
        FOREIGN KEY (workspace_id, credential_id) REFERENCES credentials (workspace_id, id) ON DELETE CASCADE,
        FOREIGN KEY (workspace_id) REFERENCES workspaces ON DELETE CASCADE
    );
"""

LEASES = """
    ALTER TABLE agent_credentials
        ADD expires_at timestamptz,
        ADD lease_source text,
        ADD lease_issued_at timestamptz,
        ADD CONSTRAINT agent_credentials_lease_source_check
            CHECK (lease_source IN ('manual', 'keeper_allow', 'escalation_approve')) NOT VALID;
    ALTER TABLE credential_events
        DROP CONSTRAINT credential_events_event_type_check,
        ADD CONSTRAINT credential_events_event_type_check CHECK (event_type IN ('USE', 'ROTATE', 'TEST', 'REVOKE',
            'DETECTED', 'CREATED', 'APPROVED', 'REJECTED', 'REVEAL', 'LEASED')) NOT VALID;
"""


def upgrade() -> None:
    for statements in (BINDINGS, FIELDS, LEASES):
        execute(statements)
