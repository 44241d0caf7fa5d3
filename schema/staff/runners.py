"""GraphQL: runners."""

import strawberry

from models.staff.runners import Runner
from resolvers.staff import runners as runner_ops
from schema.bridge.fields import mutation, node, query


@node(Runner)
class RunnerType:
    """A machine that executes the tools of one crew's agents, or of one agent."""

    fields = """
        id workspace_id name crew_id crew agent_id agent in_use connected platform created_by creator seen_at
        refused_at created_at updated_at version
    """
    created_by: strawberry.ID | None
    connected = strawberry.field(description="True if a process is connected with the runner's token.")
    refused_at = strawberry.field(
        description="When a second process was last refused: it has a copy of the token, or restarted too early."
    )


@strawberry.type
class RunnerQuery:
    runners = query(runner_ops.list_runners, RunnerType)
    runner = query(runner_ops.get_runner, RunnerType)


@strawberry.type
class RunnerMutation:
    register_runner = mutation(runner_ops.register_runner)
    update_runner = mutation(runner_ops.update_runner, RunnerType)
    revoke_runner = mutation(runner_ops.revoke_runner)
