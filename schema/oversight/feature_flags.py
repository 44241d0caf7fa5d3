"""GraphQL: feature flags."""

import strawberry

from models.oversight.feature_flags import FeatureFlag
from resolvers.oversight import feature_flags as flag_ops
from schema.bridge.fields import mutation, node, query


@node(FeatureFlag)
class FeatureFlagType:
    """A feature flag of the instance.

    `overrideEnabled` is the override of the current workspace, if any. `active`: true if the flag is on in the
    workspace. The override decides; without one, the flag must be enabled and the workspace's bucket less than
    `percentage`. The bucket is the first 32 bits of the SHA-256 of `<workspace id>/<key>`, modulo 100.
    """

    fields = "id_here key description enabled percentage created_at updated_at version override_enabled active"
    id_here: strawberry.ID = strawberry.field(
        name="id", description="Id of the flag in the current workspace; `key` names the flag in all of them."
    )


@strawberry.type
class FeatureFlagQuery:
    feature_flags = query(flag_ops.list_feature_flags, FeatureFlagType)


@strawberry.type
class FeatureFlagMutation:
    create_feature_flag = mutation(flag_ops.create_feature_flag, FeatureFlagType)
    update_feature_flag = mutation(flag_ops.update_feature_flag, FeatureFlagType)
    delete_feature_flag = mutation(flag_ops.delete_feature_flag)
    set_feature_flag_override = mutation(flag_ops.set_feature_flag_override, FeatureFlagType)
    clear_feature_flag_override = mutation(flag_ops.clear_feature_flag_override, FeatureFlagType)
