"""Events about settings of the instance, on the channel of the workspace that changed them, without values."""

from resolvers.kernel import Event


class InstanceSettingUpdated(Event, type="instance_setting.updated", channel="workspace:{workspace_id}"):
    """A setting of the instance was changed from this workspace."""

    key: str


class InstanceSettingDeleted(Event, type="instance_setting.deleted", channel="workspace:{workspace_id}"):
    """A setting of the instance was deleted from this workspace."""

    key: str
