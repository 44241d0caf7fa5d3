"""The operator: who may change rows of the instance, which belong to no workspace."""

from typing import Any

from sqlmodel import col

from models.base import table_of
from models.kernel import InstanceFact
from models.people.workspaces import Membership, Role
from resolvers.errors import forbidden
from resolvers.instance.running import BOOTSTRAPPED, instance

ONLY = (
    "This affects all workspaces of the server. It is allowed in a workspace of the first user, or for "
    "every administrator with CREWSHIP_INSTANCE_ADMINS=true"
)


async def is_operators(ctx: Any) -> bool:
    """Returns true if the workspace of the call is the operator's, that is, if the first user owns it. Every user is
    OWNER of a workspace, so the role alone does not decide.
    """
    first = [fact.value for fact in await ctx.select(InstanceFact, col(InstanceFact.name) == BOOTSTRAPPED).all()]
    owner = (col(Membership.user_id).in_(first), col(Membership.role) == Role.OWNER)
    return await ctx.select(Membership, *owner).exists()  # type: ignore[no-any-return]


async def check_operator(ctx: Any) -> None:
    """For an operation that reaches the whole instance."""
    if not instance.settings.instance_admins and not await is_operators(ctx):
        raise forbidden(ONLY)


SAY_WHOSE = frozenset({"users", "workspaces", "journal", "issue_texts"})
"""Without a key: a line of the journal, and a text of an issue, have their place."""
OWNERS = frozenset({"users.id", "workspaces.id"})


def of_instance(model: type[Any]) -> bool:
    """Returns true if rows of the model name neither a workspace nor a person."""
    table = table_of(model)
    if table.name in SAY_WHOSE or "workspace_id" in table.c:
        return False
    return not any(key.target_fullname in OWNERS for column in table.c for key in column.foreign_keys)
