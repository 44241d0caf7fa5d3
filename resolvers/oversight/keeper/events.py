"""Events about the keeper's decisions."""

from typing import Literal

from resolvers.kernel import Event
from resolvers.kernel.declarations.events import Time


class KeeperDecided(Event):
    """The fields of every decision of the keeper."""

    request_id: str
    agent_name: str
    credential_name: str
    intent: str
    decision: str
    reason: str
    risk_score: int
    decided_at: Time


class KeeperAccessDecided(KeeperDecided, type="keeper_event", channel="keeper:{workspace_id}"):
    """The keeper has decided whether an agent gets a credential."""

    request_type: Literal["access"]


class KeeperExecutionDecided(KeeperDecided, type="keeper_event", channel="keeper:{workspace_id}"):
    """The keeper has decided on a command that uses a credential; `exit_code` is present only if it was run."""

    request_type: Literal["execute"]
    command: str
    exit_code: int | None = None
