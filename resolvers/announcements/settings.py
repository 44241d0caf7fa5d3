"""Settings of the instance and feature flags: told to the workspace of whoever changed them, without the value."""

from resolvers.kernel import Event


class InstanceSettingUpdated(Event, type="instance_setting.updated", channel="workspace:{workspace_id}", planned=True):
    """A setting of the instance was written, from this workspace."""

    key: str


class InstanceSettingDeleted(Event, type="instance_setting.deleted", channel="workspace:{workspace_id}", planned=True):
    """A setting of the instance went back to its default, from this workspace."""

    key: str


class FeatureFlagCreated(Event, type="feature_flag.created", channel="workspace:{workspace_id}", planned=True):
    """A feature flag was created, from this workspace."""

    key: str


class FeatureFlagUpdated(Event, type="feature_flag.updated", channel="workspace:{workspace_id}", planned=True):
    """A feature flag was changed, from this workspace."""

    key: str


class FeatureFlagDeleted(Event, type="feature_flag.deleted", channel="workspace:{workspace_id}", planned=True):
    """A feature flag was deleted, from this workspace."""

    key: str


class FeatureFlagOverrideSet(Event, type="feature_flag.override_set", channel="workspace:{workspace_id}", planned=True):
    """This workspace has got a value of its own for a feature flag."""

    key: str


class FeatureFlagOverrideCleared(Event, type="feature_flag.override_cleared", channel="workspace:{workspace_id}", planned=True):
    """A feature flag has its general value again in this workspace."""

    key: str
