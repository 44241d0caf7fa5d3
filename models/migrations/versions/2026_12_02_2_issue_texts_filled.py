"""The texts of issues and comments that are there have grams, and these an index."""

from models.migrations.revisions import build_index, copy

revision = "2026_12_02_2"
down_revision = "2026_12_02_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    said = "concat_ws(chr(10), identifier, title, description)"
    copy(
        "issue_texts",
        "missions",
        f"workspace_id, id, '', issue_grams_stored(workspace_id, {said})",
        missing="NOT EXISTS (SELECT FROM issue_texts t WHERE t.place = missions.workspace_id"
        " AND t.mission_id = missions.id AND t.comment_id = '')",
    )
    copy(
        "issue_texts",
        "issue_comments",
        "workspace_id, mission_id, id, issue_grams_stored(workspace_id, body)",
        missing="NOT EXISTS (SELECT FROM issue_texts t WHERE t.place = issue_comments.workspace_id"
        " AND t.mission_id = issue_comments.mission_id AND t.comment_id = issue_comments.id)",
    )
    build_index("issue_texts_grams_idx", "issue_texts USING gin (grams) WITH (gin_pending_list_limit = 512)")
