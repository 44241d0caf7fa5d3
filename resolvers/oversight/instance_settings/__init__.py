"""Settings of the instance."""

from resolvers.kernel import Domain
from resolvers.kernel.ground.scopes import EVERYTHING
from resolvers.oversight.instance_settings.settings import (
    delete_instance_setting,
    get_instance_setting,
    list_instance_settings,
    set_instance_setting,
)

DOMAIN = Domain("instance_settings", scopes=(EVERYTHING,))
