"""The existence of rows of a kind in a workspace. The gate's own statement reports it, for commands that would nearly
always look for such rows in vain.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import literal_column, select
from sqlmodel import SQLModel

from models.base import TenantRow, table_of
from resolvers.kernel.reader.clauses import clause
from resolvers.kernel.reader.visibility import Scope

ONE: Any = literal_column("1")


class Existence:
    """Live rows of the workspace with these conditions, seen by the caller: constants of a module, as they are a part
    of the statement. `@command(..., asks=RULES)` asks for them with the gate.
    """

    __slots__ = ("model", "where")

    def __init__(self, model: type[SQLModel], *where: Any) -> None:
        if not issubclass(model, TenantRow):
            raise TypeError(f"{model.__name__} is of no workspace")
        self.model, self.where = model, where

    def none(self, ctx: Any) -> bool:
        """True if the gate has reported that there are none. False if it has not reported: then read the rows."""
        return self in ctx.absent

    def found(self, scope: Scope, outer: Sequence[Any]) -> Any:
        """The condition of a statement that knows the scope. `outer`: its FROM entries."""
        table = table_of(self.model)
        rows = [table.c.workspace_id == scope.workspace_id, *[clause(condition) for condition in self.where]]
        rows += [table.c.deleted_at.is_(None)] if "deleted_at" in table.c else []
        rows += scope.sees(self.model, table, outer)
        return select(ONE).select_from(table).where(*rows).correlate(*outer).exists()
