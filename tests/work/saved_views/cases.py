"""Cases of saved views, for the tests that are made for every operation."""

from models.work.saved_views import SavedView
from tests.generation.entities import Plot, entity


@entity
def saved_view(plot: Plot) -> SavedView:
    return SavedView(
        user_id=plot.owner.user_id,
        name="Storms",
        filters_json='{"status":["TODO"]}',
        sort_json='{"by":"priority"}',
        **plot.here,
    )


IDS = {"view_id": "saved_view"}
PROSE = ("saved_views.update", "saved_views.delete")
"""Of its owner alone: test_saved_views says who."""
