"""GraphQL: the keeper of credentials."""

import strawberry

from models.oversight.keeper import KeeperRequest
from resolvers.oversight import keeper as keeper_ops
from schema.bridge.fields import node, output, query

output(keeper_ops.KeeperStatus, fields={"ollama_online": "True if the model's server answers."})


@node(KeeperRequest)
class KeeperRequestNode:
    """A request to the keeper and its decision. Contains no credential values."""

    fields = """
        id workspace_id request_type agent_id agent_name agent crew_id crew credential_id credential_name credential
        task_id intent command decision reason risk_score exit_code prompt answer created_at decided_at
    """
    prompt = strawberry.field(description="The model's prompt, truncated.")
    answer = strawberry.field(description="The model's answer, truncated.")


@strawberry.type
class KeeperQuery:
    keeper_status = query(keeper_ops.keeper_status)
    keeper_requests = query(keeper_ops.list_keeper_requests, KeeperRequestNode)
