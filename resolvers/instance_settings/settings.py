"""Settings of the instance: list, get, set, delete."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Text as SQLText
from sqlalchemy import func, literal_column
from sqlmodel import col

from models import bounds
from models.instance_settings import InstanceSetting, is_sensitive
from resolvers.instance_settings.events import InstanceSettingDeleted, InstanceSettingUpdated
from resolvers.kernel import (
    EVERYONE,
    Action,
    Code,
    Context,
    Deleted,
    Input,
    NoInput,
    QueryScope,
    Refusal,
    Row,
    Rows,
    Subject,
    command,
    derived,
    graph,
    instance,
    query,
)

TAKEN = "instance_settings_key_key"
SETTING = Subject(InstanceSetting, "key", by="key", called="Setting")
PROTECTED = frozenset({"instance.bootstrap_at", "instance.first_user_id", "schema.version"})
REDACTED: Any = literal_column("'***'", SQLText())
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
    key: SettingKey


class SetInstanceSetting(BySetting):
    """The value is stored encrypted if the key begins with `smtp.password`, begins with `oauth.` and ends with
    `.client_secret`, or begins with `webhook.` and ends with `.secret`.
    """

    value: Value


def _kept(setting: InstanceSetting, value: str) -> dict[str, Any]:
    """The columns of a value: plain, or sealed for this row."""
    if not is_sensitive(setting.key):
        return {"plain": value, "secret": None}
    return {
        "plain": None,
        "secret": instance.vault.seal(value, table=InstanceSetting, column="secret", row_id=setting.id),
    }


@query("instance_settings.list", Action.CREATE, tickets=False)
def list_instance_settings(scope: QueryScope, data: NoInput) -> Rows[InstanceSetting]:
    """List settings of the instance.

    By key. Secrets are shown as `***`.
    """
    return scope.select(InstanceSetting).order_by(col(InstanceSetting.key))


@query("instance_settings.get", Action.CREATE, subject=SETTING, errors=(Code.NOT_FOUND,), tickets=False)
def get_instance_setting(scope: QueryScope, setting: Row[InstanceSetting], data: BySetting) -> Row[InstanceSetting]:
    """Get a setting of the instance.

    A secret is shown as `***`.
    """
    return setting


@command("instance_settings.put", Action.MANAGE, emits=InstanceSettingUpdated, again=TAKEN)
async def set_instance_setting(ctx: Context, data: SetInstanceSetting) -> InstanceSetting:
    """Set a setting of the instance.

    Creates or replaces it, for all workspaces. The value of a secret is stored encrypted and never shown.
    """
    ctx.emit(InstanceSettingUpdated(key=data.key))
    known: InstanceSetting | None = await ctx.seek(SETTING, lock=True)
    if known is not None:
        return await ctx.edit(known, **_kept(known, data.value))
    made = InstanceSetting(key=data.key)
    kept = _kept(made, data.value)
    made.plain, made.secret = kept["plain"], kept["secret"]
    return await ctx.insert(made)


@command("instance_settings.delete", Action.MANAGE, emits=InstanceSettingDeleted, errors=(Code.NOT_FOUND,))
async def delete_instance_setting(ctx: Context, data: BySetting) -> Deleted:
    """Delete a setting of the instance.

    For all workspaces. The settings `instance.bootstrap_at`, `instance.first_user_id` and `schema.version` cannot be
    deleted.
    """
    if data.key in PROTECTED:
        raise Refusal(Code.FORBIDDEN, "This setting is protected and cannot be deleted")
    setting: InstanceSetting = await ctx.find(SETTING)
    await ctx.delete(InstanceSetting, setting.id, missing=SETTING.missing)
    ctx.emit(InstanceSettingDeleted(key=setting.key))
    return Deleted(id=setting.id)
