"""What a scrape of the measurements says."""

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.world import World


async def scrape(world: World, **headers: str) -> httpx2.Response:
    return await world.rest(None, "GET", "/metrics", workspace=None, **headers)


def samples(text: str) -> dict[str, float]:
    """Value by name and labels, as in the text."""
    made = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            made[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return made
