"""The texts of issues and comments that are there have grams, and these an index."""

from models.migrations.revisions import build_index, copy

revision = "2026_12_02_2"
down_revision = "2026_12_02_1"
branch_labels = None
depends_on = None


def upgrade() -> None:
    said = "concat_ws(chr(10), identifier, title, description)"
    copy("issue_texts", "missions", f"workspace_id, id, '', issue_grams_stored(workspace_id, {said})")
    copy("issue_texts", "issue_comments", "workspace_id, mission_id, id, issue_grams_stored(workspace_id, body)")
    build_index("issue_texts_grams_idx", "issue_texts USING gin (grams) WITH (gin_pending_list_limit = 512)")
