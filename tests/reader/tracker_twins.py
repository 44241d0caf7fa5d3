"""What the oracle is told of what is kept around issues; see tests/reader/twins.py."""

from tests.reader.oracle import Asker, Listing, Store, ordered
from tests.reader.words import Arguments, Root, by, tenants


def saved_views(store: Store, asker: Asker, _: Arguments) -> Listing:
    return Listing("SavedView", ordered(tenants(store, asker, "SavedView"), by("-is_default", "name", "id")))


HERE: dict[str, Root] = {"savedViews": saved_views}
