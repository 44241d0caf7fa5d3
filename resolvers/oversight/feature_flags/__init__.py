"""Feature flags of the instance, and their overrides in workspaces."""

from resolvers.kernel import Domain
from resolvers.oversight.feature_flags.evaluation import is_active
from resolvers.oversight.feature_flags.flags import (
    clear_feature_flag_override,
    create_feature_flag,
    delete_feature_flag,
    list_feature_flags,
    set_feature_flag_override,
    update_feature_flag,
)

DOMAIN = Domain("feature_flags", scopes="workspace")
