"""Settings of the instance: told to the workspace of whoever changed them, without the value."""

from resolvers.kernel import Event


class InstanceSettingUpdated(Event, type="instance_setting.updated", channel="workspace:{workspace_id}"):
    """A setting of the instance was changed from this workspace."""

    key: str


class InstanceSettingDeleted(Event, type="instance_setting.deleted", channel="workspace:{workspace_id}"):
    """A setting of the instance was deleted from this workspace."""

    key: str
