"""Feature flags: list, create, update, delete, and the override of a workspace."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Text as SQLText
from sqlalchemy import func, select
from sqlmodel import col

from models import bounds
from models.oversight.feature_flags import FeatureFlag, FeatureFlagOverride
from resolvers.kernel import (
    EVERYONE,
    Action,
    Bool,
    Code,
    Context,
    Deleted,
    Description,
    Input,
    NoInput,
    Patch,
    QueryScope,
    Reach,
    Refusal,
    Rows,
    Subject,
    command,
    constant,
    derived,
    graph,
    query,
)
from resolvers.oversight.feature_flags.evaluation import evaluated
from resolvers.oversight.feature_flags.events import (
    FeatureFlagCreated,
    FeatureFlagDeleted,
    FeatureFlagOverrideCleared,
    FeatureFlagOverrideSet,
    FeatureFlagUpdated,
)

FLAG = Subject(FeatureFlag, "key", by="key", called="Feature flag")
BETWEEN = ":"
TAKEN = "A feature flag with this key already exists"
FlagKey = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LABEL)]
Percentage = Annotated[int, Field(strict=True, ge=0, le=100)]


def _override(flag: Any, scope: Any) -> Any:
    other, own = scope.beside(FeatureFlagOverride, scope)  # of the workspace of the call: the flag is of none
    return scope.scalar(select(other.c.enabled).where(other.c.flag_id == flag.id, *own))


graph(
    FeatureFlag,
    gate=Action.READ,
    scope="workspace:read",
    visible=EVERYONE,
    id_here=derived(
        str, lambda flag, scope: func.concat(flag.id, constant(BETWEEN), scope.workspace_id, type_=SQLText())
    ),
    override_enabled=derived(bool | None, _override),
    active=derived(bool, lambda flag, scope: evaluated(flag, _override(flag, scope), scope.workspace_id)),
)


class ByFlag(Input):
    """A feature flag of the instance."""

    key: FlagKey


class CreateFeatureFlag(Input):
    """`percentage` is the share of workspaces in which the flag is on while it is enabled."""

    key: FlagKey
    description: Description | None = None
    enabled: Bool = False
    percentage: Percentage = 0


class UpdateFeatureFlag(Patch, ByFlag):
    """An empty text clears the description. The key cannot change."""

    description: Description
    enabled: Bool
    percentage: Percentage


class SetFeatureFlagOverride(ByFlag):
    """The override of the flag in this workspace."""

    enabled: Bool


@query("feature_flags.list", Action.READ)
def list_feature_flags(scope: QueryScope, data: NoInput) -> Rows[FeatureFlag]:
    """List feature flags.

    Lists all flags of the instance, sorted by key.
    """
    return scope.select(FeatureFlag).order_by(col(FeatureFlag.key))


@command(
    "feature_flags.create",
    Action.MANAGE,
    audit="feature_flag.created",
    reach=Reach.INSTANCE,
    emits=FeatureFlagCreated,
    errors=(Code.CONFLICT,),
)
async def create_feature_flag(ctx: Context, data: CreateFeatureFlag) -> FeatureFlag:
    """Create a feature flag.

    Applies to all workspaces of the instance. The key is unique, case-sensitive.
    """
    ctx.emit(FeatureFlagCreated(key=data.key))
    return await ctx.insert(FeatureFlag(**data.model_dump()), conflict=TAKEN)


@command(
    "feature_flags.update",
    Action.MANAGE,
    audit="feature_flag.updated",
    reach=Reach.INSTANCE,
    subject=FLAG,
    emits=FeatureFlagUpdated,
    versioned=FeatureFlag,
)
async def update_feature_flag(ctx: Context, flag: FeatureFlag, data: UpdateFeatureFlag) -> FeatureFlag:
    """Update a feature flag.

    Applies to all workspaces of the instance. Omitted and null fields stay unchanged.
    """
    changes = data.something()
    if changes.get("description") == "":
        changes["description"] = None
    ctx.emit(FeatureFlagUpdated(key=flag.key))
    return await ctx.edit(flag, **changes)


@command(
    "feature_flags.delete",
    Action.MANAGE,
    audit="feature_flag.deleted",
    reach=Reach.INSTANCE,
    subject=FLAG,
    emits=FeatureFlagDeleted,
    versioned=FeatureFlag,
)
async def delete_feature_flag(ctx: Context, flag: FeatureFlag, data: ByFlag) -> Deleted:
    """Delete a feature flag.

    Also deletes its overrides in all workspaces.
    """
    await ctx.delete(FeatureFlag, flag.id, missing=FLAG.missing)
    ctx.emit(FeatureFlagDeleted(key=flag.key))
    return Deleted(id=f"{flag.id}{BETWEEN}{ctx.workspace_id}")


@command(
    "feature_flags.override.set",
    Action.MANAGE,
    audit="feature_flag.override_set",
    emits=FeatureFlagOverrideSet,
    errors=(Code.NOT_FOUND,),
)
async def set_feature_flag_override(ctx: Context, data: SetFeatureFlagOverride) -> FeatureFlag:
    """Set the override of a feature flag.

    Applies to the current workspace. Replaces an existing override.
    """
    flag: FeatureFlag | None = await ctx.seek(FLAG, lock=True)  # no one deletes it before the override is there
    if flag is None:
        raise Refusal(Code.NOT_FOUND, FLAG.missing)
    await ctx.upsert(FeatureFlagOverride(flag_id=flag.id, enabled=data.enabled), "workspace_id", "flag_id")
    ctx.emit(FeatureFlagOverrideSet(key=flag.key))
    return flag


@command(
    "feature_flags.override.clear",
    Action.MANAGE,
    audit="feature_flag.override_cleared",
    subject=FLAG,
    emits=FeatureFlagOverrideCleared,
)
async def clear_feature_flag_override(ctx: Context, flag: FeatureFlag, data: ByFlag) -> FeatureFlag:
    """Remove the override of a feature flag.

    Applies to the current workspace. Does nothing without an override.
    """
    if await ctx.delete_where(FeatureFlagOverride, col(FeatureFlagOverride.flag_id) == flag.id):
        ctx.emit(FeatureFlagOverrideCleared(key=flag.key))
    return flag
