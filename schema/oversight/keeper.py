"""GraphQL: the keeper of credentials."""

import strawberry

from models.oversight.keeper import KeeperRequest
from resolvers.oversight import keeper as keeper_ops
from schema.bridge.fields import node, output, query

output(
    keeper_ops.KeeperStatus,
    description="Whether there is a keeper, and what it has decided: counts of the whole instance.",
    fields={"ollama_online": "Whether the model's server has answered just now."},
)


@node(KeeperRequest)
class KeeperRequestNode:
    """What the keeper was asked, and what it has decided. Nothing of a credential's value is in it."""

    fields = """
        id workspace_id request_type agent_id agent_name agent crew_id crew credential_id credential_name credential
        task_id intent command decision reason risk_score exit_code prompt answer created_at decided_at
    """
    prompt = strawberry.field(description="What the model was shown, cut.")
    answer = strawberry.field(description="What the model said, cut.")


@strawberry.type
class KeeperQuery:
    keeper_status = query(keeper_ops.keeper_status)
    keeper_requests = query(keeper_ops.list_keeper_requests, KeeperRequestNode)
