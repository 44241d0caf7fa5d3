"""Reports over several tables that are put together once, and sent as one statement."""

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import bindparam, literal_column, select
from sqlmodel import SQLModel

from models.base import readable, table_of
from resolvers.kernel.reader.visibility import hides
from resolvers.kernel.store import statements

if TYPE_CHECKING:
    from resolvers.kernel.writing.context import Context


M = TypeVar("M", bound=SQLModel)


class Lock(Enum):
    update = auto()
    """FOR NO KEY UPDATE, as `Selection.locked`."""
    shared = auto()
    """FOR SHARE: the row stays as it is until the end of the transaction, and others may hold it so, too."""


class Entries(Protocol):
    def __call__(self, model: type[SQLModel], columns: str = "", *, including_deleted: bool = False) -> Any:
        """These columns of rows that the caller may see, as a FROM entry: live ones of the workspace by default.
        Without names, all readable columns.
        """


Build = Callable[[Entries], Any]


async def prepared_report(ctx: "Context", build: Build, /, **values: Any) -> list[Any]:
    """The records of the statement that `build` makes of such entries. It is called once a process, so that all that
    differs between two calls is a bound parameter, with its name in `values`.
    """
    return await _records(ctx, build, None, values)


async def prepared_rows(ctx: "Context", model: type[M], build: Build, /, **values: Any) -> list[M]:
    """The same, where it gives rows of `model`, with all of their columns."""
    return [statements.load(model, row) for row in await _records(ctx, build, model, values)]


async def _records(ctx: "Context", build: Build, whole: type[SQLModel] | None, values: dict[str, Any]) -> list[Any]:
    limited = ctx.limited and not ctx.anonymous

    def entries(model: type[SQLModel], columns: str = "", *, including_deleted: bool = False) -> Any:
        table = table_of(model)
        known = table.c if model is whole else readable(model)
        seen = statements.SCOPE.sees(model, table) if hides(model, limited) else ()
        live = statements.scoped(table, model, including_deleted=including_deleted)
        return select(*[known[name] for name in columns.split() or known.keys()]).where(*live, *seen).subquery()

    made = statements.compiled((build, limited), lambda: build(entries))
    await ctx.flush()
    rows: list[Any] = await ctx._send(made.sql, made.values(values | ctx._known), many=True, begins=False)
    return rows


async def first_with(
    ctx: "Context",
    model: type[M],
    /,
    *,
    lock: Lock | None = None,
    including_deleted: bool = False,
    including_hidden: bool = False,
    **values: Any,
) -> M | None:
    """A row with these values, as `ctx.select` finds it, if there is one. Built once for the names of the values."""
    limited = not including_hidden and not ctx.anonymous and hides(model, ctx.limited)
    kind = (model, tuple(values), lock, including_deleted, limited)

    def build() -> Any:
        table = table_of(model)
        same = [table.c[name] == bindparam(f"{name}_", type_=table.c[name].type) for name in values]
        seen = statements.SCOPE.sees(model, table) if limited else ()
        live = statements.scoped(table, model, including_deleted=including_deleted)
        made = select(table).where(*live, *same, *seen).limit(literal_column("1"))
        return made if lock is None else made.with_for_update(read=lock is Lock.shared, key_share=lock is Lock.update)

    statement = statements.compiled(("first", *kind), build)
    sent = statement.values({f"{name}_": value for name, value in values.items()} | ctx._known)
    await ctx.flush()
    row = await ctx._send(statement.sql, sent, begins=lock is not None)
    return None if row is None else statements.load(model, row)
