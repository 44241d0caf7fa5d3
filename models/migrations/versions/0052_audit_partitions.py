"""The audit log in partitions by month, which are dropped when all their seals have expired."""

import importlib

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None

NEWEST = "created_at DESC, id DESC"
INDEXES = (
    *[
        f"CREATE INDEX audit_logs_{name}list_idx ON audit_logs (workspace_id, {columns}{NEWEST})"
        for name, columns in (
            ("", ""),
            ("action_", "action, "),
            ("entity_kind_", "entity_kind, "),
            ("entity_id_", "entity_id, "),
            ("user_id_", "user_id, "),
        )
    ],
    "CREATE INDEX audit_logs_seq_idx ON audit_logs (seq)",
    "CREATE INDEX audit_logs_workspace_id_seq_idx ON audit_logs (workspace_id, seq)",
)
TRIGGERS = (
    "CREATE TRIGGER journal_of_new AFTER INSERT ON audit_logs FOR EACH ROW EXECUTE FUNCTION journal_of_audit()",
    "CREATE TRIGGER journal_of_gone AFTER DELETE ON audit_logs FOR EACH ROW EXECUTE FUNCTION journal_forget()",
    "CREATE TRIGGER journal_of_corrected AFTER UPDATE OF data, user_id, actor_id ON audit_logs FOR EACH ROW"
    " WHEN (OLD.data IS DISTINCT FROM NEW.data OR OLD.user_id IS DISTINCT FROM NEW.user_id"
    " OR OLD.actor_id IS DISTINCT FROM NEW.actor_id) EXECUTE FUNCTION journal_correct()",
)


def upgrade() -> None:
    """The rows there are become the first partition, which is dropped like any other; no rows, no such partition."""
    connection = op.get_bind()
    for name in ("new", "gone", "corrected"):
        op.execute(f"DROP TRIGGER journal_of_{name} ON audit_logs")
    op.execute("DROP FUNCTION journal_lines(audit_logs)")  # of the type of the table's rows, which becomes another
    op.execute("ALTER TABLE audit_logs RENAME TO audit_logs_before")
    named = connection.execute(sa.text("SELECT indexname FROM pg_indexes WHERE tablename = 'audit_logs_before'"))
    for (index,) in named.all():
        op.execute(f'ALTER INDEX "{index}" RENAME TO "{index}_before"')
    following = 1 + connection.execute(sa.text("SELECT coalesce(max(seq), 0) FROM audit_logs_before")).scalar_one()
    op.execute("ALTER TABLE audit_logs_before ALTER seq DROP IDENTITY")
    op.execute(
        "CREATE TABLE audit_logs (LIKE audit_logs_before INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS"
        " INCLUDING STORAGE) PARTITION BY RANGE (created_at)"
    )
    op.execute(f"ALTER TABLE audit_logs ALTER seq ADD GENERATED ALWAYS AS IDENTITY (START {following})")
    op.execute("ALTER TABLE audit_logs ADD CONSTRAINT audit_logs_pkey PRIMARY KEY (id, created_at)")
    foreign = connection.execute(
        sa.text(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE contype = 'f' AND conrelid = 'audit_logs_before'::regclass"
        )
    )
    for name, definition in foreign.all():
        op.execute(f'ALTER TABLE audit_logs ADD CONSTRAINT "{name}" {definition}')
    for statement in (*INDEXES, importlib.import_module("models.migrations.versions.0036_journal").AUDIT, *TRIGGERS):
        op.execute(statement)
    op.execute("CREATE TABLE audit_logs_default PARTITION OF audit_logs DEFAULT")
    op.execute("ALTER TABLE audit_logs_default ENABLE ROW LEVEL SECURITY")
    if connection.execute(sa.text("SELECT EXISTS (SELECT FROM audit_logs_before)")).scalar_one():
        op.execute("ALTER TABLE audit_logs_before DROP CONSTRAINT audit_logs_pkey_before")
        op.execute("ALTER TABLE audit_logs_before ADD CONSTRAINT audit_logs_before_pkey PRIMARY KEY (id, created_at)")
        until = connection.execute(sa.text("SELECT date_trunc('month', now(), 'UTC') + interval '1 month'")).scalar_one()
        op.execute(
            f"ALTER TABLE audit_logs ATTACH PARTITION audit_logs_before FOR VALUES FROM (MINVALUE) TO ('{until}')"
        )
    else:
        op.execute("DROP TABLE audit_logs_before")
    op.execute("SELECT keep_partitions('audit_logs', 'month', 3)")
    op.execute("ALTER TABLE audit_seals ADD COLUMN dropped_until timestamptz")
    op.execute("DROP INDEX audit_seals_last_at_idx")
    op.execute("CREATE INDEX audit_seals_first_at_idx ON audit_seals (first_at) WHERE digests IS NOT NULL")


def downgrade() -> None:
    raise NotImplementedError
