"""GraphQL: settings of the instance."""

import strawberry

from models.oversight.instance_settings import InstanceSetting
from resolvers.oversight import instance_settings as setting_ops
from schema.bridge.fields import mutation, node, query


@node(InstanceSetting)
class InstanceSettingType:
    """A setting of the instance; `value` is `***` if it is a secret."""

    fields = "key value updated_at"


@strawberry.type
class InstanceSettingQuery:
    instance_settings = query(setting_ops.list_instance_settings, InstanceSettingType)
    instance_setting = query(setting_ops.get_instance_setting, InstanceSettingType)


@strawberry.type
class InstanceSettingMutation:
    set_instance_setting = mutation(setting_ops.set_instance_setting, InstanceSettingType)
    delete_instance_setting = mutation(setting_ops.delete_instance_setting)
