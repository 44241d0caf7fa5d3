"""GraphQL: the keeper of credentials."""

from datetime import datetime

import strawberry

from models.oversight.keeper import KeeperDecision, KeeperRequest, KeeperRequestType
from resolvers.oversight import keeper as keeper_ops
from schema.bridge.fields import Edge, node, output, query


@output(keeper_ops.KeeperStatus)
class KeeperStatusType:
    """Whether there is a keeper, and what it has decided: counts of the whole instance."""

    enabled: bool
    ollama_url: str | None
    model: str | None
    ollama_online: bool = strawberry.field(description="Whether the model's server has answered just now.")
    gatekeeper_configured: bool
    total_requests: int
    allow_count: int
    deny_count: int
    escalate_count: int


@node(KeeperRequest)
class KeeperRequestNode:
    """What the keeper was asked, and what it has decided. Nothing of a credential's value is in it."""

    id: strawberry.ID
    workspace_id: strawberry.ID
    request_type: KeeperRequestType
    agent_id: strawberry.ID
    agent_name: str
    agent: Edge | None
    crew_id: strawberry.ID
    crew: Edge | None
    credential_id: strawberry.ID
    credential_name: str
    credential: Edge | None
    task_id: strawberry.ID
    intent: str
    command: str | None
    decision: KeeperDecision
    reason: str | None
    risk_score: int | None
    exit_code: int | None
    prompt: str | None = strawberry.field(description="What the model was shown, cut.")
    answer: str | None = strawberry.field(description="What the model said, cut.")
    created_at: datetime
    decided_at: datetime | None


@strawberry.type
class KeeperQuery:
    keeper_status = query(keeper_ops.keeper_status, KeeperStatusType)
    keeper_requests = query(keeper_ops.list_keeper_requests, KeeperRequestNode)
