"""Cases of the inbox, for the tests that are made for every operation."""

from typing import Any

from models.attention.inbox import InboxItem, InboxKind, InboxState, InboxSubject, SenderType, inbox_item_id
from models.people.workspaces import Role
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def inbox_item(plot: Plot) -> InboxItem:
    resolved = {"state": InboxState.resolved, "resolved_at": now(), "resolved_by_user_id": plot.owner.user_id}
    return _item(plot, InboxKind.message, f"issue_review_{plot['issue'].id}", resolved_action="approved", **resolved)


ABOUT = {
    InboxSubject.approval: (InboxKind.waitpoint, "approval"),
    InboxSubject.escalation: (InboxKind.escalation, "pending_escalation"),
    InboxSubject.mission_task: (InboxKind.waitpoint, "task_that_waits"),
    InboxSubject.run: (InboxKind.failed_run, "run"),
    InboxSubject.budget: (InboxKind.message, "budget"),
    InboxSubject.work_pause: (InboxKind.message, "work_pause"),
    InboxSubject.issue: (InboxKind.message, "issue"),
    InboxSubject.mission: (InboxKind.message, "mission"),
    InboxSubject.agent: (InboxKind.escalation, "agent"),
    InboxSubject.crew: (InboxKind.message, "crew"),
    InboxSubject.chat: (InboxKind.message, "chat"),
}
"""The kind of an item about each kind of row, and the row."""


def _about(subject: InboxSubject) -> None:
    """Declares an open item about a row of this kind."""
    kind, key = ABOUT[subject]

    def item(plot: Plot) -> InboxItem:
        row = {"subject_type": subject, "subject_id": plot[key].id}
        return _item(plot, kind, f"{subject}_{plot[key].id}", **row)

    item.__name__ = f"inbox_item_about_{subject}"
    entity(item)


for _subject in ABOUT:
    _about(_subject)


def _item(plot: Plot, kind: InboxKind, source: str, **changes: Any) -> InboxItem:
    return InboxItem(
        id=inbox_item_id(kind, source),
        kind=kind,
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
        payload={},
        read_at=now(),
        read_by_user_id=plot.owner.user_id,
        **changes,
        **plot.here,
    )


ENTRY: dict[str, Any] = {"entry": lambda world: f"approval:{world.home['approval'].id}"}
STATE = {"state": "read", "resolved_action": "approved"}
RECIPES = {
    "attention.list": Recipe(ids={"subject_id": "approval"}),
    "attention.hand_over": Recipe(
        ENTRY | {"note": "You know this tool", "user_id": lambda world: world.home.owner.user_id}
    ),
    "attention.take_back": Recipe(ENTRY),
    "inbox.list": Recipe({"state": "all"}),
    "inbox.get": Recipe(ids={"id": "inbox_item"}),
    "inbox.patch": Recipe(STATE, ids={"id": "inbox_item"}),
    "inbox.bulk": Recipe(STATE, ids={"ids": "inbox_item"}),
    "inbox.purge": Recipe({"kind": "message"}),
}
