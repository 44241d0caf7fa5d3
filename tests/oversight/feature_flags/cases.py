"""Cases of feature flags, for the tests that are made for every operation."""

from models.oversight.feature_flags import FeatureFlag, FeatureFlagOverride
from tests.generation.entities import Plot, entity
from tests.generation.recipes import Recipe


@entity
def feature_flag(plot: Plot) -> FeatureFlag:
    """The key is another one in every workspace: it is unique on the instance."""
    return FeatureFlag(key=f"sails.{plot.workspace.id[-6:]}", description="All of them", enabled=True, percentage=50)


@entity
def feature_flag_override(plot: Plot) -> FeatureFlagOverride:
    return FeatureFlagOverride(flag_id=plot["feature_flag"].id, enabled=True, **plot.here)


NAMED = Recipe(values={"key": lambda world: world.home["feature_flag"].key})
RECIPES = {
    "feature_flags.update": Recipe(values=NAMED.values | {"percentage": 75}),
    "feature_flags.delete": NAMED,
    "feature_flags.override.set": Recipe(values=NAMED.values | {"enabled": False}),
    "feature_flags.override.clear": NAMED,
}
