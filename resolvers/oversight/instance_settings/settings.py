"""Settings of the instance: list, get, set, delete."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Text as SQLText
from sqlalchemy import func
from sqlmodel import col

from models import bounds
from models.oversight.instance_settings import InstanceSetting, is_sensitive
from resolvers.instance import live_settings
from resolvers.kernel import (
    EVERYONE,
    Action,
    Code,
    Context,
    Deleted,
    Input,
    NoInput,
    QueryScope,
    Reach,
    Refusal,
    Row,
    Rows,
    Subject,
    Topic,
    command,
    constant,
    derived,
    forbidden,
    graph,
    instance,
    invalid,
    query,
)
from resolvers.kernel.admission.operators import is_operators
from resolvers.oversight.instance_settings.events import InstanceSettingDeleted, InstanceSettingUpdated

TAKEN = "instance_settings_key_key"
SETTING = Subject(InstanceSetting, "key", by="key", called="Setting")
PROTECTED = frozenset({"instance.bootstrap_at", "instance.first_user_id", "schema.version"})
REDACTED: Any = constant("***", SQLText())
SettingKey = Annotated[str, Field(strict=True, min_length=1, max_length=bounds.LABEL)]
Value = Annotated[str, Field(strict=True, max_length=bounds.SETTING)]

graph(
    InstanceSetting,
    gate=Action.CREATE,
    scope=frozenset({"*"}),
    visible=EVERYONE,
    value=derived(str, lambda setting, _: func.coalesce(setting.plain, REDACTED)),
)


class BySetting(Input):
    """A setting of the instance."""

    key: SettingKey


async def by_the_operator(ctx: Context, named: BySetting | None) -> None:
    """Only workspaces of the first user may change settings that take effect at once, even if others may change
    settings.
    """
    if named is not None and named.key in live_settings.NAMES:
        await check_live(ctx)


async def check_live(ctx: Context) -> None:
    """Refuses workspaces that are not the first user's."""
    if not await is_operators(ctx):
        raise forbidden("This setting is changed in a workspace of the first user only, or by the environment")


def check_value(key: str, value: str) -> None:
    """Checks the value of a live setting, and that it does not contradict the settings of the start."""
    if key in live_settings.NAMES:
        try:
            live_settings.changed(instance.settings, key, value)
        except live_settings.Unfit as unfit:
            raise invalid("value", str(unfit)) from None


class SetInstanceSetting(BySetting):
    """The value is stored encrypted if the key begins with `smtp.password`, begins with `oauth.` and ends with
    `.client_secret`, or begins with `webhook.` and ends with `.secret`.
    """

    value: Value


async def _kept(setting: InstanceSetting, value: str) -> dict[str, Any]:
    """The columns of a value: plain, or sealed for this row."""
    if not is_sensitive(setting.key):
        return {"plain": value, "secret": None}
    return {
        "plain": None,
        "secret": await instance.vault.seal(
            value, table=InstanceSetting, column="secret", row_id=setting.id, workspace_id=None
        ),
    }


@query("instance_settings.list", Action.CREATE, tickets=False)
def list_instance_settings(scope: QueryScope, data: NoInput) -> Rows[InstanceSetting]:
    """List settings of the instance.

    Sorted by key. Secrets read `***`.
    """
    return scope.select(InstanceSetting).order_by(col(InstanceSetting.key))


@query("instance_settings.get", Action.CREATE, subject=SETTING, tickets=False)
def get_instance_setting(scope: QueryScope, setting: Row[InstanceSetting], data: BySetting) -> Row[InstanceSetting]:
    """Get a setting of the instance.

    A secret reads `***`.
    """
    return setting


@command(
    "instance_settings.put",
    Action.MANAGE,
    audit="instance_setting.set",
    emits=InstanceSettingUpdated,
    errors=(Code.FORBIDDEN,),
    allow=by_the_operator,
    again=TAKEN,
    reach=Reach.INSTANCE,
)
async def set_instance_setting(ctx: Context, data: SetInstanceSetting) -> InstanceSetting:
    """Set a setting of the instance.

    Creates or replaces the setting for all workspaces. Secrets are encrypted and never returned.

    These keys take effect within a second in every process, and override the environment: allow_signup,
    ratelimit_auth, ratelimit_credential_test, ratelimit_credential_reveal, ratelimit_api, ratelimit_pages,
    lockout_failures, lockout_seconds, builds_at_once, ratelimit_builds, ratelimit_webhooks, max_sockets, event_days and
    frame_days. They are set and deleted in a workspace of the instance's first user only.
    """
    check_value(data.key, data.value)
    ctx.ring(Topic.settings)
    ctx.emit(InstanceSettingUpdated(key=data.key))
    known: InstanceSetting | None = await ctx.seek(SETTING, lock=True)
    if known is not None:
        return await ctx.edit(known, **await _kept(known, data.value))
    made = InstanceSetting(key=data.key)
    kept = await _kept(made, data.value)
    made.plain, made.secret = kept["plain"], kept["secret"]
    return await ctx.insert(made)


@command(
    "instance_settings.delete",
    Action.MANAGE,
    audit="instance_setting.deleted",
    emits=InstanceSettingDeleted,
    errors=(Code.NOT_FOUND, Code.FORBIDDEN),
    allow=by_the_operator,
    reach=Reach.INSTANCE,
)
async def delete_instance_setting(ctx: Context, data: BySetting) -> Deleted:
    """Delete a setting of the instance.

    Applies to all workspaces. If the key has an effect, the environment's value applies again. The settings
    `instance.bootstrap_at`, `instance.first_user_id` and `schema.version` cannot be deleted.
    """
    if data.key in PROTECTED:
        raise Refusal(Code.FORBIDDEN, "This setting is protected and cannot be deleted", reason="protected")
    setting: InstanceSetting = await ctx.find(SETTING)
    await ctx.delete(InstanceSetting, setting.id, missing=SETTING.missing)
    ctx.ring(Topic.settings)
    ctx.emit(InstanceSettingDeleted(key=setting.key))
    return Deleted(id=setting.id)
