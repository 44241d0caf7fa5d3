"""Cases of settings of the instance, for the tests that are made for every operation."""

from models.oversight.instance_settings import InstanceSetting
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


@entity
def instance_setting(plot: Plot) -> InstanceSetting:
    """The key is another one in every workspace: it is unique on the instance."""
    return InstanceSetting(key=f"smtp.host.{plot.workspace.id[-6:]}", plain="mail.example.com")


NAMED = Recipe(values={"key": lambda world: world.home["instance_setting"].key})
RECIPES = dict.fromkeys(["instance_settings.get", "instance_settings.put", "instance_settings.delete"], NAMED)
