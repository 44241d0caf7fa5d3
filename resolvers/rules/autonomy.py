"""The decision of a crew's policy on an action of its agents (contract: policies.DecisionMatrix)."""

from enum import StrEnum
from typing import Final

from models.staff.crews import AutonomyLevel, BehaviorMode


class PolicyAction(StrEnum):
    """An action of an agent."""

    memory_write = "memory_write"
    skill_create = "skill_create"
    skill_assign = "skill_assign"
    persona_suggest = "persona_suggest"
    persona_direct_write = "persona_direct_write"
    negative_learning = "negative_learning"
    ephemeral_spawn = "ephemeral_spawn"


class PolicyDecision(StrEnum):
    """The effect: the action waits for approval, is executed and announced, or is refused; and where this is
    recorded.
    """

    inbox_approve = "inbox_approve"
    auto_log_inbox = "auto_log_inbox"
    auto_log_journal = "auto_log_journal"
    auto_journal = "auto_journal"
    block_inbox = "block_inbox"
    block_journal = "block_journal"
    rejected = "rejected"


_P, _LEVELS = PolicyDecision, tuple(AutonomyLevel)
# One column a level: strict, guided, trusted, full. A mode stands for an action that the behavior monitor denies.
DECISIONS: Final[dict[PolicyAction | BehaviorMode, tuple[PolicyDecision, ...]]] = {
    PolicyAction.memory_write: (_P.inbox_approve, _P.inbox_approve, _P.auto_log_inbox, _P.auto_journal),
    PolicyAction.skill_create: (_P.inbox_approve, _P.inbox_approve, _P.inbox_approve, _P.auto_log_inbox),
    PolicyAction.skill_assign: (_P.inbox_approve, _P.auto_log_journal, _P.auto_log_journal, _P.auto_log_journal),
    PolicyAction.persona_suggest: (_P.inbox_approve, _P.inbox_approve, _P.inbox_approve, _P.auto_journal),
    PolicyAction.persona_direct_write: (_P.rejected, _P.rejected, _P.rejected, _P.rejected),
    PolicyAction.negative_learning: (_P.inbox_approve, _P.auto_log_journal, _P.auto_journal, _P.auto_journal),
    PolicyAction.ephemeral_spawn: (_P.rejected, _P.inbox_approve, _P.auto_log_journal, _P.auto_journal),
    BehaviorMode.warn: (_P.auto_log_inbox, _P.auto_log_inbox, _P.auto_log_inbox, _P.auto_journal),
    # full and block cannot be set together; should they meet, nothing is let through
    BehaviorMode.block: (_P.block_inbox, _P.block_inbox, _P.block_journal, _P.block_inbox),
}


def decide(action: PolicyAction | BehaviorMode, level: AutonomyLevel) -> PolicyDecision:
    """The decision on an action, or on a denied one in the crew's behavior mode, at a level."""
    return DECISIONS[action][_LEVELS.index(level)]
