"""What is kept around issues, for one workspace."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlmodel import SQLModel

from models.saved_views import SavedView, ViewType

if TYPE_CHECKING:
    from tests.reader.rows import Sower


def views(sower: "Sower") -> Iterator[SQLModel]:
    """Of several people, some of them shared; names are not unique."""
    pick = sower.random.choice
    for _ in range(14):
        yield SavedView(
            user_id=pick(sower.people).user_id, name=sower.text(), filters_json=sower.text(),
            sort_json=sower.maybe(sower.text()), view_type=pick(list(ViewType)),
            is_default=pick([True, False]), shared=pick([True, False]), **sower.here, **sower.stamps(),
        )  # fmt: skip
