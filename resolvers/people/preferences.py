"""Preferences: any values that clients store for a user."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from sqlmodel import col

from models.people.preferences import LARGEST, LONGEST_KEY, Preference
from resolvers.kernel import (
    ENDS,
    Action,
    Code,
    Context,
    Domain,
    Input,
    NoInput,
    QueryScope,
    Refusal,
    Rows,
    Success,
    Tenancy,
    Text,
    command,
    graph,
    query,
    within,
)

DOMAIN = Domain("preferences", scopes=None)

MOST = 500
FULL = f"You already have {MOST} preferences, the maximum"
_KEY = re.compile(rf"[A-Za-z0-9._-]{{1,{LONGEST_KEY}}}")

graph(Preference, gate=Action.SELF, scope=None, visible=lambda preference, scope: preference.user_id == scope.user_id)


def _key(given: str) -> str:
    if not _KEY.fullmatch(given):
        raise PydanticCustomError(
            "preference_key",
            "must have 1 to {most} letters, digits, dots, dashes and underscores",
            {"most": LONGEST_KEY},
        )
    return given


Key = Annotated[Text, AfterValidator(_key)]
Value = Annotated[Any, within(LARGEST), ENDS] | None


class OfPreference(Input):
    """A preference of the caller."""

    key: Key


class SetPreference(OfPreference):
    """`value` is any JSON value of at most 16 KiB, including null."""

    value: Value = None


@query("me.preferences_list", Action.SELF, tenancy=Tenancy.NONE)
def list_preferences(scope: QueryScope, data: NoInput) -> Rows[Preference]:
    """List preferences.

    Lists the caller's preferences, which apply in every workspace, sorted by key. At most 500.
    """
    return scope.select(Preference).order_by(col(Preference.key))


@command("me.preferences_set", Action.SELF, tenancy=Tenancy.NONE, errors=(Code.CONFLICT,))
async def set_preference(ctx: Context, data: SetPreference) -> Success:
    """Set a preference.

    Creates or replaces the preference. A user has at most 500.
    """
    own = ctx.select(Preference, col(Preference.user_id) == ctx.user_id)
    await ctx.lock(f"preferences of {ctx.user_id}")  # their number is nothing a constraint can say
    if not await own.where(col(Preference.key) == data.key).exists() and len(await own.limit(MOST).all()) == MOST:
        raise Refusal(Code.CONFLICT, FULL)
    await ctx.upsert(Preference(user_id=ctx.user_id, key=data.key, value=data.value), "user_id", "key")
    return Success()


@command("me.preferences_delete", Action.SELF, tenancy=Tenancy.NONE)
async def delete_preference(ctx: Context, data: OfPreference) -> Success:
    """Delete a preference.

    Idempotent.
    """
    await ctx.delete_where(Preference, col(Preference.user_id) == ctx.user_id, col(Preference.key) == data.key)
    return Success()
