"""Cases of approvals, for the tests that are made for every operation."""

from models.attention.approvals import Approval, ApprovalGate, ApprovalKind
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe
from tests.world import now


@entity
def approval(plot: Plot) -> Approval:
    return Approval(
        crew_id=plot["crew"].id,
        agent_id=plot["agent"].id,
        mission_id=plot["mission"].id,
        run_id=plot["run"].id,
        requested_by=plot.owner.user_id,
        kind=ApprovalKind.tool_call,
        reason="The tool deletes rows",
        tool="delete_rows",
        payload={},
        decided_by=plot.owner.user_id,
        decided_at=now(),
        comment="Well",
        timeout_at=now(),
        **plot.here,
    )


@entity
def approval_gate(plot: Plot) -> ApprovalGate:
    return ApprovalGate(pattern="delete_*", crew_id=plot["crew"].id, agent_id=plot["agent"].id, **plot.here)


RECIPES = {
    "approval_gates.create": Recipe({"pattern": "run_*"}),
    "approval_gates.delete": Recipe(ids={"id": "approval_gate"}),
    "approvals.list": Recipe({"status": "pending"}),
    "approvals.decide": Recipe({"status": "approved", "comment": "Well"}),
    "approvals.answer": Recipe({"verdict": "approved", "comment": "Well"}),
    "approvals.cancel": Recipe({"reason": "Not now"}),
    "approvals.reset_auto_tuning": Recipe({"tool": "delete_rows"}),
}
