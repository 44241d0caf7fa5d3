"""Approvals: tool calls that wait for a user's consent."""

from resolvers.attention.approvals.asking import CALL_OFF, ask, outcome
from resolvers.attention.approvals.deciding import (
    ApprovalCancelled,
    ApprovalDecided,
    AutoTuningReset,
    answer_approval,
    cancel_approval,
    decide_approval,
    get_approval,
    list_approvals,
    reset_auto_tuning,
)
from resolvers.attention.approvals.gates import create_gate, delete_gate, gates_of, gates_on, list_gates
from resolvers.kernel import Domain

DOMAIN = Domain("approvals", scopes="workspace")
