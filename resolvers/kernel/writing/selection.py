"""Rows to read, lock or count inside a call."""

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from sqlalchemy import func, select
from sqlmodel import SQLModel

from models.base import table_of
from resolvers.errors import Code, Refusal
from resolvers.kernel.reader.clauses import clause
from resolvers.kernel.store import statements
from resolvers.kernel.store.statements import ONE

if TYPE_CHECKING:
    from resolvers.kernel.writing.context import Context

M = TypeVar("M", bound=SQLModel)


class Selection(Generic[M]):
    """Values are bound: any condition is compiled once."""

    def __init__(
        self,
        ctx: "Context",
        model: type[M],
        conditions: tuple[Any, ...],
        order: tuple[Any, ...] = (),
        size: int | None = None,
        locked: bool = False,
        shared: bool = False,
    ) -> None:
        self._ctx, self._model, self._conditions, self._order, self._size = ctx, model, conditions, order, size
        self._locked, self._shared = locked, shared

    def _but(self, **changes: Any) -> Self:
        now = {
            "conditions": self._conditions,
            "order": self._order,
            "size": self._size,
            "locked": self._locked,
            "shared": self._shared,
        } | changes
        return type(self)(self._ctx, self._model, **now)

    def where(self, *conditions: Any) -> Self:
        return self._but(conditions=(*self._conditions, *[clause(c) for c in conditions]))

    def order_by(self, *keys: Any) -> Self:
        return self._but(order=tuple(clause(k) for k in keys))

    def limit(self, size: int) -> Self:
        return self._but(size=size)

    def locked(self) -> Self:
        """FOR NO KEY UPDATE: keys never change, and FOR UPDATE would wait for inserts of rows that refer to it."""
        return self._but(locked=True)

    def shared(self) -> Self:
        """FOR SHARE: the rows stay as they are until the end of the transaction, and others may hold them so, too."""
        return self._but(locked=True, shared=True)

    async def all(self) -> list[M]:
        made = select(table_of(self._model)).where(*self._conditions).order_by(*self._order)
        made = made if self._size is None else made.limit(self._size)
        if self._locked:
            made = made.with_for_update(read=True) if self._shared else made.with_for_update(key_share=True)
        rows = await self._ctx._many(made, begins=self._locked)
        return [statements.load(self._model, row) for row in rows]

    async def first(self) -> M | None:
        found = await self.limit(1).all()
        return found[0] if found else None

    async def one(self, missing: str | None = None) -> M:
        found = await self.first()
        if found is None:
            raise Refusal(Code.NOT_FOUND, missing or f"{self._model.__name__} not found")
        return found

    async def exists(self) -> bool:
        return (
            await self._scalar(
                select(func.count()).select_from(
                    select(ONE).select_from(table_of(self._model)).where(*self._conditions).limit(1).subquery()
                )
            )
            > 0
        )

    async def count(self) -> int:
        return await self._scalar(select(func.count()).select_from(table_of(self._model)).where(*self._conditions))

    async def _scalar(self, statement: Any) -> int:
        rows = await self._ctx._many(statement, begins=False)
        return int(rows[0][0])


def outdated(model: type[Any]) -> Refusal:
    return Refusal(Code.PRECONDITION_FAILED, f"{model.__name__} was changed since it was read")
