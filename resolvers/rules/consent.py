"""Which tool calls need consent first (contract: extras.approvals_gate)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from models.attention.approvals import ApprovalKind, ApprovalMode

DANGEROUS = ("deploy", "production", "delete_*", "drop_*", "terminate_*")
COSTLY = 10  # US dollars
TARGETS = ("target", "host", "hostname", "environment", "env")
LIVE = ("prod", "live")
OUTCOMES, FEWEST = 20, 10
"""The most decisions on the same call that are considered, and the fewest that have an effect."""


@dataclass(frozen=True, slots=True)
class ConsentGate:
    """Tool calls whose name matches need consent. In a pattern, * matches any text."""

    pattern: str
    mode: ApprovalMode


@dataclass(frozen=True, slots=True)
class ConsentQuestion:
    """The reason for asking, and whether the call waits for the answer."""

    kind: ApprovalKind
    reason: str
    mode: ApprovalMode


def question(tool: str, arguments: Mapping[str, Any], gates: Iterable[ConsentGate]) -> ConsentQuestion | None:
    """The question before the call: by the first gate that matches, otherwise by the fixed rules."""
    name = tool.lower()
    for gate in gates:
        if fnmatchcase(name, gate.pattern.lower()):
            return ConsentQuestion(ApprovalKind.tool_call, f"The agent wants to call {tool}", gate.mode)
    if any(fnmatchcase(name, pattern) for pattern in DANGEROUS):
        return ConsentQuestion(ApprovalKind.destructive_op, f"The agent wants to call {tool}", ApprovalMode.sync)
    cost = arguments.get("cost_estimate_usd")
    if isinstance(cost, (int, float)) and not isinstance(cost, bool) and cost >= COSTLY:
        return ConsentQuestion(
            ApprovalKind.cost_threshold, f"A call of {tool} is to cost ${cost:,.2f}", ApprovalMode.sync
        )
    for key in TARGETS:
        value = arguments.get(key)
        if isinstance(value, str) and any(part in value.lower() for part in LIVE):
            return ConsentQuestion(
                ApprovalKind.target_environment, f"The agent wants to call {tool} on {value[:100]}", ApprovalMode.sync
            )
    return None


def waiting(gates: Iterable[ConsentGate]) -> list[str]:
    """The patterns of tools whose calls wait for consent. A gate behind one that matches its tools has no effect."""
    before, found = list[str](), list[str]()
    for gate in gates:
        covered = any(fnmatchcase(gate.pattern.lower(), pattern) for pattern in before)
        if gate.mode is ApprovalMode.sync and not covered:
            found.append(gate.pattern)
        before.append(gate.pattern.lower())
    return found


def tuned(mode: ApprovalMode, outcomes: Iterable[bool]) -> ApprovalMode:
    """The mode after earlier decisions on the same call: mostly approved calls no longer wait; mostly denied
    ones do.
    """
    decided = list(outcomes)
    approved = sum(decided)
    if len(decided) < FEWEST:
        return mode
    if mode is ApprovalMode.sync and approved * 10 > len(decided) * 9:
        return ApprovalMode["async"]
    if mode is ApprovalMode["async"] and (len(decided) - approved) * 10 > len(decided) * 7:
        return ApprovalMode.sync
    return mode
