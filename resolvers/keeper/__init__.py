"""The keeper, who decides whether an agent gets a credential."""

from resolvers.keeper.execution import ExecutionVerdict, execute_command
from resolvers.keeper.log import get_keeper_request, list_keeper_requests
from resolvers.keeper.requests import KeeperVerdict, request_access
from resolvers.keeper.status import KeeperStatus, keeper_status

__all__ = [
    "ExecutionVerdict", "KeeperStatus", "KeeperVerdict", "execute_command",
    "get_keeper_request", "keeper_status", "list_keeper_requests", "request_access",
]  # fmt: skip
