"""People are asked before a tool is used: the approvals of the workspace, as the agent loop sees them."""

from typing import Any

import orjson

from models.attention.approvals import ApprovalStatus
from models.bounds import CUT, DESCRIPTION, LINE, NOTES, cut
from resolvers.attention.approvals import ask, outcome
from resolvers.identity.caller import Caller
from resolvers.rules.consent import ConsentQuestion
from runtime.runs.job import ApprovalStep, Decision, Job
from runtime.runs.storable import size_of, storable

SERVICE = "runtime"
WHY = {
    ApprovalStatus.denied: "A user refused this call, so nothing was done.",
    ApprovalStatus.timeout: "No user consented to this call in time, so nothing was done.",
    ApprovalStatus.cancelled: "The request for consent to this call was cancelled, so nothing was done.",
}


class Approvals:
    """`Consent` by the approvals of the job's workspace."""

    async def ask(
        self, job: Job, call: str, tool: str, arguments: dict[str, Any], question: ConsentQuestion
    ) -> ApprovalStep:
        asked = {
            "run_id": job.run_id,
            "call": cut(call, LINE),
            "kind": question.kind,
            "reason": cut(question.reason, LINE),
            "mode": question.mode,
            "tool": cut(tool, LINE),
            "arguments": _shown(arguments),
        }
        answer = await ask(Caller.service(SERVICE, job.workspace_id, job.run_id), asked)
        made: ApprovalStep = orjson.loads(answer.body or b"")
        return made

    async def decision(self, approval_id: str, job: Job) -> Decision | None:
        answer = await outcome(Caller.service(SERVICE, job.workspace_id), {"id": approval_id})
        found = orjson.loads(answer.body or b"")
        status = ApprovalStatus(found["status"])
        if status is ApprovalStatus.pending:
            return None
        if status is ApprovalStatus.approved:
            return {"granted": True, "why": ""}
        said = f" They say: {found['comment']}" if found["comment"] else ""
        return {"granted": False, "why": f"{WHY[status]}{said}"}


def _shown(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments for users: long texts are truncated, and larger values are left out."""
    made: dict[str, Any] = storable(
        {key: cut(value, DESCRIPTION) if isinstance(value, str) else value for key, value in arguments.items()}
    )
    return made if size_of(made) <= NOTES // 2 else {"left_out": CUT}
