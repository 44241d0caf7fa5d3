"""The name of the own account, which its other members see."""

from models.people.auth import User
from resolvers.kernel import GRAPHQL_ONLY, Action, Context, Input, Name, Success, Tenancy, command, people_only


class UpdateProfile(Input):
    """`full_name`: the name that other members see."""

    full_name: Name


@command(
    "auth.profile_update",
    Action.SELF,
    audit="user.profile_updated",
    tenancy=Tenancy.NONE,
    allow=people_only,
    surfaces=GRAPHQL_ONLY,
)
async def update_profile(ctx: Context, data: UpdateProfile) -> Success:
    """Update the caller's name.

    Other members see it in every workspace. Texts that were written before keep the earlier name.
    """
    await ctx.update(User, ctx.user_id, full_name=data.full_name)
    return Success()
