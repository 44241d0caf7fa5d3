"""Messages name their run.

One run of a chat lives at a time, so what is stored decides: a user's message has the number that its run names, and an
answer is that of the newest run of its agent at its place. Copies in branches, and answers to tasks, stay without one.
"""

from models.migrations.revisions import execute

revision = "2026_12_01_14"
down_revision = "2026_12_01_13"
branch_labels = None
depends_on = None


OF_USERS = """
    UPDATE messages m SET run_id = r.id FROM runs r
    WHERE r.workspace_id = m.workspace_id AND r.chat_id = m.chat_id AND r.message_seq = m.seq AND m.role = 'user'
        AND coalesce(r.data #>> '{group_turns,number}', '1') = '1'
"""
OF_AGENTS = """
    UPDATE messages m SET run_id = (
        SELECT r.id FROM runs r
        WHERE r.workspace_id = m.workspace_id AND r.chat_id = m.chat_id AND r.agent_id = m.agent_id
            AND r.message_seq <= m.seq AND r.created_at <= m.created_at
        ORDER BY r.message_seq DESC, r.created_at DESC LIMIT 1
    )
    WHERE m.role IN ('assistant', 'system') AND m.agent_id IS NOT NULL
"""


def upgrade() -> None:
    execute(f"ALTER TABLE messages ADD run_id varchar(200); {OF_USERS}; {OF_AGENTS};")
