"""What clients keep for their users: a theme, a layout, the last choice in a list."""

from typing import Annotated, Any

from pydantic import Field
from sqlmodel import col

from models import bounds
from models.auth import UserPreference
from resolvers.kernel import (
    ENDS,
    Action,
    Code,
    Context,
    Input,
    NoInput,
    Output,
    QueryScope,
    Refusal,
    Rows,
    Tenancy,
    command,
    graph,
    query,
    within,
)

MOST = 100  # of one user, so that the list needs no pages
Key = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9._-]+$", max_length=bounds.PREFERENCE_KEY)]

graph(
    UserPreference,
    gate=Action.SELF,
    scope=None,
    visible=lambda preference, scope: preference.user_id == scope.user_id,
)


class DeletePreference(Input):
    key: Key


class SetPreference(Input):
    """`value` is any JSON of at most 16 KiB; absent, it is null."""

    key: Key
    value: Annotated[Any, within(bounds.PREFERENCE), ENDS] = None


class PreferenceKept(Output):
    key: str


@query("me.preferences_list", Action.SELF, tenancy=Tenancy.NONE)
def list_preferences(scope: QueryScope, data: NoInput) -> Rows[UserPreference]:
    """List preferences.

    The caller's own, by key. The same in every workspace.
    """
    return scope.select(UserPreference).order_by(col(UserPreference.key))


@command("me.preferences_set", Action.SELF, tenancy=Tenancy.NONE, errors=(Code.CONFLICT,))
async def set_preference(ctx: Context, data: SetPreference) -> PreferenceKept:
    """Set a preference.

    Creates or replaces it. A user has at most 100 preferences.
    """
    await ctx.lock(f"preferences of {ctx.user_id}")  # two callers must not take the last place
    mine = ctx.select(UserPreference, col(UserPreference.user_id) == ctx.user_id)
    if await mine.where(col(UserPreference.key) != data.key).count() >= MOST:
        raise Refusal(Code.CONFLICT, f"A user has at most {MOST} preferences; delete one first")
    await ctx.upsert(UserPreference(user_id=ctx.user_id, key=data.key, value=data.value), "user_id", "key")
    return PreferenceKept(key=data.key)


@command("me.preferences_delete", Action.SELF, tenancy=Tenancy.NONE)
async def delete_preference(ctx: Context, data: DeletePreference) -> PreferenceKept:
    """Delete a preference.

    Idempotent: succeeds if there is none.
    """
    await ctx.delete_where(
        UserPreference, col(UserPreference.user_id) == ctx.user_id, col(UserPreference.key) == data.key
    )
    return PreferenceKept(key=data.key)
