"""What a statement calls that would make an answer larger than any may be."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE FUNCTION answer_too_large() RETURNS text LANGUAGE plpgsql VOLATILE PARALLEL SAFE AS $$
        BEGIN
            RAISE EXCEPTION 'answer too large' USING ERRCODE = 'CS413';
        END $$
        """
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION answer_too_large()")
