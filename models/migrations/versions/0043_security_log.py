"""What was done with accounts: a log of each person's own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None


# What journal_lines(audit_logs) says, in one statement that PostgreSQL plans once a session: every command pays for it.
TELL = """
CREATE FUNCTION journal_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said text := CASE
        WHEN NEW.action ~* '(delete|remove|revoke)' THEN 'audit.entity_deleted'
        WHEN NEW.action ~* '(restore|unlock)' THEN 'audit.entity_restored'
        WHEN NEW.action ~* '(create|invite)' THEN 'audit.entity_created'
        ELSE 'audit.entity_updated'
    END;
    actor text := CASE WHEN NEW.actor_type IN ('user', 'token') THEN 'user' WHEN NEW.actor_type = 'agent' THEN 'agent' ELSE 'system' END;
    agent text := CASE WHEN NEW.entity_kind = 'agent' THEN NEW.entity_id END;
    crew text := CASE WHEN NEW.entity_kind = 'crew' THEN NEW.entity_id END;
BEGIN
    IF agent IS NOT NULL THEN
        crew := (SELECT crew_id FROM agents WHERE id = agent);
    END IF;
    INSERT INTO journal (place, at, id, kind, row_id, entry_type, severity, priority, actor_type, actor_id, crew_id, agent_id, words)
    VALUES (
        NEW.workspace_id, NEW.created_at,
        'j' || lpad(to_hex((extract(epoch FROM NEW.created_at) * 1000000)::bigint), 14, '0') || 'ad'
            || CASE WHEN NEW.id ~ '^[A-Za-z0-9_-]{1,44}$' THEN NEW.id ELSE md5(NEW.id) END,
        'ad', NEW.id, said, 'notice', 'normal', actor,
        CASE WHEN NEW.user_id IS NULL AND NEW.action = 'agent.expired' THEN 'ephemeral-expiry' ELSE coalesce(NEW.actor_id, NEW.user_id) END,
        crew, agent,
        array_to_tsvector(array_remove(ARRAY['w:' || NEW.workspace_id, 't:' || said, 's:notice', 'k:' || actor, 'a:' || agent, 'c:' || crew], NULL))
            || to_tsvector('simple', journal_words(concat_ws(' ', NEW.action, NEW.entity_type, NEW.entity_id, journal_words(NEW.data))))
    ) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    op.create_table('security_logs',
    sa.Column('id', sa.String(length=200), nullable=False),
    sa.Column('user_id', sa.Text(), nullable=True),
    sa.Column('action', sa.String(length=200), nullable=False),
    sa.Column('entity_type', sa.String(length=200), nullable=False),
    sa.Column('entity_id', sa.String(length=200), nullable=True),
    sa.Column('data', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('changes', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('ip_address', sa.String(length=200), nullable=True),
    sa.Column('user_agent', sa.String(length=400), nullable=True),
    sa.Column('actor_type', sa.Text(), nullable=False),
    sa.Column('actor_id', sa.String(length=200), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.CheckConstraint("actor_type IN ('user', 'token', 'service', 'agent', 'system')", name=op.f('security_logs_actor_type_check')),
    sa.CheckConstraint('GREATEST(pg_column_size(data), pg_column_size(changes)) <= 262144', name=op.f('security_logs_size_check')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('security_logs_user_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('security_logs_pkey'))
    )
    op.create_index('security_logs_created_at_idx', 'security_logs', ['created_at'], unique=False, postgresql_using='brin')
    op.create_index('security_logs_list_idx', 'security_logs', ['user_id', sa.literal_column('created_at DESC'), sa.literal_column('id DESC')], unique=False)
    op.execute(TELL)
    op.execute("DROP TRIGGER journal_of_new ON audit_logs")
    op.execute("CREATE TRIGGER journal_of_new AFTER INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION journal_of_audit()")


def downgrade() -> None:
    raise NotImplementedError
