"""The rights of the caller in a workspace, for those who show what can be done there."""

from typing import Annotated

from pydantic import Field

from models.people.workspaces import Role
from resolvers.kernel import GRAPHQL_ONLY, Action, Context, NoInput, Output, procedure
from resolvers.kernel.declarations.operation import OPERATIONS
from resolvers.kernel.ground.policy import effective
from resolvers.kernel.ground.scopes import OPEN
from resolvers.kernel.writing.rights import Rights
from resolvers.people.workspaces.member_capabilities import MemberCapabilities
from resolvers.rules.capabilities import listed


class RequiredRights(Output):
    """The role from which on an operation is allowed, or the capability that allows it without the role; and the scopes
    that a token with scopes must have, separated by blanks. Null if there is none.
    """

    role: Role | None
    capability: str | None
    scope: str | None


class ViewerOperation(Output):
    """An operation, and whether the caller may call it. `may` is false if the operation is FORBIDDEN to the caller for
    every row and input; rules about single rows can refuse it nevertheless.
    """

    name: Annotated[str, Field(description="The field of Query or Mutation.")]
    may: bool
    requires: RequiredRights


@procedure("viewer.operations", Action.READ, surfaces=GRAPHQL_ONLY, scopes=OPEN)
async def list_viewer_operations(ctx: Context, data: NoInput) -> list[ViewerOperation]:
    """List operations, with the rights of the caller.

    Lists all fields of Query and Mutation by name. The answer follows the role, the capabilities and the token of
    the caller, and reads no rows.
    """
    rights, made = Rights(ctx), list[ViewerOperation]()
    for op in OPERATIONS.values():
        if op.called:
            may, requires = await rights.may(op), RequiredRights(**op.requires._asdict())
            made += [ViewerOperation(name=name, may=may, requires=requires) for name in op.called]
    return sorted(made, key=lambda operation: operation.name)


@procedure("viewer.capabilities", Action.READ, surfaces=GRAPHQL_ONLY, scopes=OPEN)
async def get_viewer_capabilities(ctx: Context, data: NoInput) -> MemberCapabilities:
    """Get the caller's capabilities in a workspace.

    Returns the role, and the capabilities beyond it.
    """
    assert ctx.role is not None
    return MemberCapabilities(
        user_id=ctx.user_id, role=ctx.role, capabilities=listed(effective(ctx.role, ctx.capabilities))
    )
