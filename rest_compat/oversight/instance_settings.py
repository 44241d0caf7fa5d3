"""REST: settings of the instance."""

from models.oversight.instance_settings import InstanceSetting
from resolvers.oversight import instance_settings as settings
from rest_compat.http.table import DELETE, GET, PUT, Wire


class SettingJSON(Wire, of=InstanceSetting):
    """`value` is `***` if the setting is a secret."""

    fields = "key value updated_at"


SETTINGS = "/api/v1/instance/settings"
ROUTES = (
    GET(SETTINGS, settings.list_instance_settings, list[SettingJSON]),
    GET(f"{SETTINGS}/{{key}}", settings.get_instance_setting, SettingJSON),
    PUT(f"{SETTINGS}/{{key}}", settings.set_instance_setting, SettingJSON),
    DELETE(f"{SETTINGS}/{{key}}", settings.delete_instance_setting, status=204),
)
