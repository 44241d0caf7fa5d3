"""The texts of issues that are there have such grams, too; an index has the comments of a workspace by their time."""

from models.migrations.revisions import build_index, fill

revision = "2026_12_02_93"
down_revision = "2026_12_02_92"
branch_labels = None
depends_on = None

TEXTS = {
    "missions": ("comment_id = ''", "s.id = mission_id", "concat_ws(chr(10), s.identifier, s.title, s.description)"),
    "issue_comments": ("comment_id <> ''", "s.id = comment_id", "s.body"),
}


def upgrade() -> None:
    for table, (kind, same, said) in TEXTS.items():
        source = f"FROM {table} s WHERE s.workspace_id = place AND {same}"
        grams = f"issue_grams_stored(place, {said})"
        others = f"search_folded({said}) <> lower({said} COLLATE \"C\") AND grams <> {grams}"
        fill("issue_texts", f"grams = (SELECT {grams} {source})", f"{kind} AND EXISTS (SELECT {source} AND {others})")
    build_index("issue_comments_list_idx", "issue_comments (workspace_id, created_at, id)")
