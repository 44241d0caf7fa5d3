"""The switch that lets an agent change itself without a request (contract: agents.learning_get, learning_set)."""

from typing import Annotated, Final

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from models.staff.agents import Agent
from resolvers.kernel import (
    NOW,
    TRIMMED,
    Action,
    Bool,
    Context,
    Description,
    Id,
    Input,
    QueryScope,
    Row,
    Subject,
    command,
    query,
)

AGENT: Final = Subject(Agent, "agent_id")


def _not_blank(text: str) -> str:
    if not text:
        raise PydanticCustomError("blank", "is required")
    return text


class OfLearner(Input):
    """An agent of the workspace."""

    agent_id: Id


class SetLearning(OfLearner):
    """Both fields are required; an absent field does not mean false."""

    reason: Annotated[Description, TRIMMED, AfterValidator(_not_blank)]
    enabled: Bool


@query("agents.learning_get", Action.READ, subject=AGENT)
def get_learning(scope: QueryScope, agent: Row[Agent], data: OfLearner) -> Row[Agent]:
    """Get whether an agent learns by itself.

    Off by default.
    """
    return agent


@command("agents.learning_set", Action.MANAGE, subject=AGENT, audit="agent.learning_set", versioned=Agent)
async def set_learning(ctx: Context, agent: Agent, data: SetLearning) -> Agent:
    """Set whether an agent learns by itself.

    If its crew's policy allows the agent to change its persona or store lessons, it does so only while this is
    on.
    """
    return await ctx.edit(
        agent,
        learning_enabled=data.enabled,
        learning_set_by_user_id=ctx.user_id,
        learning_set_at=NOW,
        learning_reason=data.reason,
    )
