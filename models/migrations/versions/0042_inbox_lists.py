"""Lists of the inbox have indexes of their own, and a user may be a sender."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None


def upgrade() -> None:
    order = ["created_at", "id"]
    for name, columns, where in (
        ("active", [], "state <> 'resolved'"),
        ("kind", ["kind"], None),
        ("state", ["state"], None),
        ("sender_id", ["sender_id"], "sender_id IS NOT NULL"),
    ):
        chosen = None if where is None else sa.text(where)
        op.create_index(f"inbox_items_{name}_idx", "inbox_items", ["workspace_id", *columns, *order], postgresql_where=chosen)
    op.drop_constraint(op.f("inbox_items_sender_type_check"), "inbox_items", type_="check")
    op.create_check_constraint(
        op.f("inbox_items_sender_type_check"), "inbox_items", "sender_type IN ('agent', 'crew', 'system', 'pipeline', 'user')"
    )
