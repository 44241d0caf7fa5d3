"""Events about feature flags, on the channel of the workspace that changed them."""

from resolvers.kernel import Event


class FeatureFlagCreated(Event, type="feature_flag.created", channel="workspace:{workspace_id}"):
    """A feature flag was created from this workspace."""

    key: str


class FeatureFlagUpdated(Event, type="feature_flag.updated", channel="workspace:{workspace_id}"):
    """A feature flag was updated from this workspace."""

    key: str


class FeatureFlagDeleted(Event, type="feature_flag.deleted", channel="workspace:{workspace_id}"):
    """A feature flag was deleted from this workspace."""

    key: str


class FeatureFlagOverrideSet(Event, type="feature_flag.override_set", channel="workspace:{workspace_id}"):
    """A feature flag was overridden in this workspace."""

    key: str


class FeatureFlagOverrideCleared(Event, type="feature_flag.override_cleared", channel="workspace:{workspace_id}"):
    """The override of a feature flag in this workspace was cleared."""

    key: str
