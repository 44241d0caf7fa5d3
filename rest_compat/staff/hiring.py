"""REST: agents that are hired for a while."""

import orjson

from resolvers.kernel.declarations.operation import Answer
from resolvers.staff import hiring
from resolvers.staff.hiring.hiring import HireApproved
from rest_compat.http.errors import JSON
from rest_compat.http.table import POST, Reply, Request


def _answers_hire(request: Request, answer: Answer) -> Reply:
    """202 if the hire needs approval."""
    body = answer.body or b""
    headers = [JSON, (b"idempotent-replayed", b"true")] if answer.replayed else [JSON]
    return Reply(202 if orjson.loads(body)["pending_review"] else 201, body, headers)


ROUTES = (
    POST("/api/v1/agents/hire", hiring.hire, hiring.Hire, status=201, or_status=202, answers=_answers_hire),
    POST("/api/v1/agents/{agentId}/rehire", hiring.rehire, hiring.Hire),
    POST("/api/v1/agents/{agentId}/approve-hire", hiring.approve_hire, HireApproved),
)
