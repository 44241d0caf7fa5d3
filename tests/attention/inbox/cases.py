"""Cases of the inbox, for the tests that are made for every operation."""

from models.attention.inbox import InboxItem, InboxKind, InboxState, SenderType, inbox_item_id
from models.people.workspaces import Role
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def inbox_item(plot: Plot) -> InboxItem:
    source = f"issue_review_{plot['issue'].id}"
    return InboxItem(
        id=inbox_item_id(InboxKind.message, source),
        kind=InboxKind.message,
        source_id=source,
        target_user_id=plot.owner.user_id,
        target_role=Role.VIEWER,
        title="The leak is ready for review",
        body_md="Below the waterline",
        sender_type=SenderType.agent,
        sender_id=plot["agent"].id,
        sender_name="Ada",
        avatar_seed="ada",
        avatar_style="bottts",
        state=InboxState.resolved,
        payload={},
        read_at=now(),
        read_by_user_id=plot.owner.user_id,
        resolved_at=now(),
        resolved_by_user_id=plot.owner.user_id,
        resolved_action="approved",
        **plot.here,
    )


STATE = {"state": "read", "resolved_action": "approved"}
RECIPES = {
    "inbox.list": Recipe({"state": "all", "kind": "message"}),
    "inbox.get": Recipe(ids={"id": "inbox_item"}),
    "inbox.patch": Recipe(STATE, ids={"id": "inbox_item"}),
    "inbox.bulk": Recipe(STATE, ids={"ids": "inbox_item"}),
    "inbox.purge": Recipe({"kind": "message"}),
}
