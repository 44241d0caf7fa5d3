"""Cases of charts, for the tests that are made for every operation."""

from tests.generation.recipes import Recipe

RECIPES = {"metrics.timeseries": Recipe({"window": "24h", "bucket": "1h", "group_by": "none"})}
