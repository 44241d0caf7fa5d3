"""REST: feature flags."""

from typing import Annotated

from models.oversight.feature_flags import FeatureFlag
from resolvers.oversight import feature_flags as flags
from rest_compat.http.table import DELETE, GET, PATCH, POST, PUT, From, Wire


class FeatureFlagJSON(Wire, of=FeatureFlag):
    """`override_enabled` is the override of the current workspace; absent without one."""

    fields = "id key description enabled percentage created_at updated_at override_enabled"
    absent = "override_enabled"


class OverrideSetJSON(Wire, of=FeatureFlag):
    key: str
    enabled: Annotated[bool, From("override_enabled")]


FLAGS = "/api/v1/feature-flags"
ROUTES = (
    GET(FLAGS, flags.list_feature_flags, list[FeatureFlagJSON]),
    POST(FLAGS, flags.create_feature_flag, FeatureFlagJSON, status=201),
    PATCH(f"{FLAGS}/{{key}}", flags.update_feature_flag, FeatureFlagJSON),
    DELETE(f"{FLAGS}/{{key}}", flags.delete_feature_flag, status=204),
    PUT(f"{FLAGS}/{{key}}/override", flags.set_feature_flag_override, OverrideSetJSON),
    DELETE(f"{FLAGS}/{{key}}/override", flags.clear_feature_flag_override, status=204),
)
