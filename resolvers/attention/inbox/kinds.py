"""The kinds of what needs attention, and which members decide them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from models.people.workspaces import Role
from resolvers.kernel import Action
from resolvers.kernel.ground.policy import GATES


class AttentionKind(StrEnum):
    """The kind of a row that needs attention."""

    approval = "approval"
    question = "question"
    task = "task"
    failed_run = "failed_run"
    stuck_run = "stuck_run"
    budget = "budget"
    work_pause = "work_pause"
    mission_pause = "mission_pause"
    review = "review"
    credential = "credential"
    inbox_item = "inbox_item"


class AttentionSubject(StrEnum):
    """The kind of row that an entry leads to."""

    approval = "approval"
    escalation = "escalation"
    mission_task = "mission_task"
    run = "run"
    budget = "budget"
    work_pause = "work_pause"
    issue = "issue"
    mission = "mission"
    credential = "credential"
    inbox_item = "inbox_item"


DECIDED_BY: Final[Mapping[AttentionKind, Action]] = {
    AttentionKind.approval: Action.MANAGE,
    AttentionKind.question: Action.CREATE,
    AttentionKind.task: Action.CREATE,
    AttentionKind.failed_run: Action.CREATE,
    AttentionKind.stuck_run: Action.CREATE,
    AttentionKind.budget: Action.MANAGE,
    AttentionKind.work_pause: Action.CREATE,
    AttentionKind.mission_pause: Action.CREATE,
    AttentionKind.review: Action.CREATE,
    AttentionKind.credential: Action.UPDATE,
    AttentionKind.inbox_item: Action.CREATE,
}
"""The gate of the operations that end a need of the kind."""


def deciders(kind: AttentionKind) -> frozenset[Role]:
    """The roles that may end a need of the kind."""
    return GATES[DECIDED_BY[kind]]


ENDED_BY_STATE: Final = frozenset({AttentionKind.task, AttentionKind.review, AttentionKind.credential})
"""Kinds whose `since` is the time of the last change, of any column: it says nothing about when a need arose."""
