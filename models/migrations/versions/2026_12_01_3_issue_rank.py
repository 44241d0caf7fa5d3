"""Issues have a place on boards, which moves set: at first the one that `sort_order` gave them."""

from models.migrations.revisions import execute

revision = "2026_12_01_3"
down_revision = "2026_12_01_2"
branch_labels = None
depends_on = None


def upgrade() -> None:
    execute("""
        ALTER TABLE missions ADD rank varchar(400) COLLATE "C";
        UPDATE missions SET rank = placed.rank
        FROM (
            SELECT
                id,
                '000' || lpad(row_number() OVER (ORDER BY sort_order, created_at, id)::text, 15, '0') || '5' AS rank
            FROM missions
        ) AS placed
        WHERE placed.id = missions.id;
        ALTER TABLE missions ALTER rank SET NOT NULL, ALTER rank SET DEFAULT
            '00' || ((EXTRACT(epoch FROM clock_timestamp()) * 1000000)::bigint)::text
            || lpad((floor(random() * 1000000)::integer)::text, 6, '0') || '5';
        CREATE INDEX missions_by_rank_idx ON missions (workspace_id, mission_type, rank, id);
    """)
