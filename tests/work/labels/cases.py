"""Cases of labels, for the tests that are made for every operation."""

from models.work.labels import Label
from tests.generation.entities import Plot, entity
from tests.reader.words import listed


@entity
def label(plot: Plot) -> Label:
    return Label(name="storm", color="red", label_group="weather", **plot.here)


SOWN = {"label": 9}
READS = {"labels": listed("Label", "name", "id")}
