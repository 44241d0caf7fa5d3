"""The name of the own account, which its other members see."""

from typing import Annotated

from pydantic import Field

from models import bounds
from models.people.auth import User
from resolvers.kernel import Action, Context, Output, Patch, Tenancy, command, people_only
from resolvers.kernel.ground.inputs import TRIMMED

FullName = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.NAME), TRIMMED]


class UpdateProfile(Patch):
    """`full_name`: the name that other members see, of 1 to 100 characters without the blanks around it."""

    full_name: FullName


class Profile(Output):
    """The caller's own account."""

    id: str
    email: str
    full_name: str | None
    avatar_url: str | None

    @classmethod
    def of(cls, user: User) -> "Profile":
        return cls(id=user.id, email=user.email, full_name=user.full_name, avatar_url=user.avatar_url)

    @property
    def success(self) -> bool:
        """Clients of GraphQL ask for it: the answer was once a Success."""
        return True


@command(
    "users.update_me",
    Action.SELF,
    audit="user.profile_updated",
    tenancy=Tenancy.NONE,
    allow=people_only,
)
async def update_profile(ctx: Context, data: UpdateProfile) -> Profile:
    """Update the caller's name.

    Other members see it in every workspace. Texts that were written before keep the earlier name. The email is changed
    by a link to the new address.
    """
    return Profile.of(await ctx.update(User, ctx.user_id, **data.something()))
