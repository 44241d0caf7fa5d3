"""The sources of an answer: FROM entries with their conditions, order and window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, Text, case, cast, func, literal_column, not_, select, true, union_all
from sqlalchemy import Table as SQLTable
from sqlalchemy.sql.elements import ColumnClause
from sqlalchemy.sql.util import ClauseAdapter
from sqlalchemy.sql.visitors import iterate
from sqlmodel import SQLModel

from models.base import alias_of, table_of
from resolvers.kernel.reader.clauses import clause, moved, onto
from resolvers.kernel.reader.keyset import Cursors, descends, key_of, turned
from resolvers.kernel.reader.rows import Branch, Read, View, Window, only_readable
from resolvers.kernel.reader.trace import Trace, sql_type

ONE: Any = literal_column("1")
ZERO: Any = literal_column("0")


@dataclass
class Source:
    """One FROM entry being read: the model, its alias, its conditions and order, already moved onto the alias."""

    model: type[SQLModel]
    alias: Any
    where: list[Any]
    order: list[Any]
    used: set[str] = field(default_factory=set)
    partner: Mapping[str, Any] = field(default_factory=dict)  # see Rows.along
    each: tuple[Any, Any] | None = None  # see filters.of_each
    ids: Any = None  # see Rows.found_among
    whole: Any = None  # of branches that are cut to a window: all of their rows, to be counted
    total: Any = None  # of a branch that a function finds: the number of its rows
    mark: str | None = None  # of such a branch: the column that shows where the search was stopped

    def column(self, name: str) -> Any:
        self.used.add(name)
        column = self.alias.c[name]
        only_readable(column)
        return column

    @property
    def entered(self) -> list[Any]:
        """The order by the columns of a joined table, if there is one."""
        if not self.partner:
            return self.order
        adapt = moved({self.alias.c[name]: column for name, column in self.partner.items()})
        return [adapt(k) for k in self.order]

    @property
    def among(self) -> list[Any]:
        return [] if self.each is None else [self.each[0] == func.any(self.each[1])]

    @property
    def columns(self) -> "Columns":
        return Columns(self)

    @property
    def table(self) -> SQLTable | None:
        return None if issubclass(self.model, View) else table_of(self.model)


def _wide(offset: Any) -> Any:
    """An offset to add to: the largest has no room for that in its own type."""
    return cast(clause(offset), BigInteger)


class Columns:
    """The columns of a source for expressions of the graph; what they take is noted."""

    __slots__ = ("_source",)

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitem__(self, name: str) -> Any:
        return self._source.column(name)

    def __getattr__(self, name: str) -> Any:
        return self._source.column(name)

    def __contains__(self, name: str) -> bool:
        return name in self._source.alias.c


class Sources:
    """The FROM entries of one statement. `scope` is what conditions may use of the caller."""

    def __init__(self, trace: Trace, scope: Any) -> None:
        self.trace, self.scope = trace, scope

    def _source(self, read: Read[Any], outer: Sequence[Any], source: Any = None, held: bool = False) -> Source:
        if read.branches:
            return self._merged(read, outer)
        given = read.source if source is None else source
        name = self.trace.name("t")
        alias = alias_of(read.model, name) if given is None else given.alias(name)
        if issubclass(read.model, View):
            return Source(read.model, alias, [], [_of_view(k, alias.c) for k in read.order])
        only_readable(*read.conditions, *read.order)
        adapt = onto(alias, table_of(read.model)) if given is None else ClauseAdapter(alias).traverse
        where = [adapt(clause(c)) for c in read.conditions]
        if "deleted_at" in alias.c:
            where.append(alias.c.deleted_at.is_(None))
        if not held:
            where += self.scope.sees(read.model, alias, outer)
        order = [adapt(clause(k)) for k in read.order]
        keys = [key_of(k) for k in order]
        for column in table_of(read.model).primary_key:
            own = alias.c[column.name]
            if order and not read.unique and not any(k is own for k in keys):  # a page needs an order without ties
                order.append(own.desc() if descends(order[-1]) else own)
        each = None if read.each is None else (adapt(read.each[0]), read.each[1])
        return Source(read.model, alias, where, order, partner=read.partner, each=each, ids=read.among)

    def _merged(self, read: Read[Any], outer: Sequence[Any]) -> Source:
        """The branches of a list as one FROM entry: of each no more rows than the window and one to spare can take."""
        if read.conditions or read.parent is not None:
            raise TypeError(f"{read.model.__name__}: conditions belong into the branches of a merged list")
        limit, offset, cursor, _, backward = read.window
        enough = None if limit is None else clause(limit) + ONE + (ZERO if offset is None else _wide(offset))
        if callable(read.branches[0].rows):
            return self._found(read, read.branches[0], enough, outer)
        cut, whole = list[Any](), list[Any]()
        # A count needs no columns of its rows: the statement is shorter, and planned sooner.
        bare = read.beside is None and all(b.each is None and b.unless is None for b in read.branches)
        shared = [*outer] if read.beside is None else [*outer, read.beside]
        for branch in read.branches:
            value = None if branch.each is None else branch.each.correlate(*shared).subquery(self.trace.name("v"))
            around = shared if value is None else [*shared, value]
            rows = branch.rows if value is None else branch.rows.where(branch.by == value.exported_columns[0])
            order = [_of_view(key, rows.selected_columns) for key in read.order]
            order = turned(order) if backward else order
            beyond = [] if cursor is None else Cursors(self.trace, cursor).beyond(order)
            first = rows.where(*beyond).order_by(*order)
            every = rows.with_only_columns(ONE.label("one"), maintain_column_froms=True) if bare else rows
            for made, kept in ((first if enough is None else first.limit(enough), cut), (every, whole)):
                kept.append(self._of_branch(branch, made.correlate(*around), value, shared))
        alias, total = [self._together(read, union_all(*kept), outer) for kept in (cut, whole)]
        order = [_of_view(key, alias.c) for key in read.order]
        return Source(read.model, alias, [], order, whole=total)

    def _together(self, read: Read[Any], rows: Any, outer: Sequence[Any]) -> Any:
        if read.beside is None:
            return rows.subquery(self.trace.name("t"))
        own = rows.lateral(self.trace.name("q"))
        joined = select(*own.c).select_from(read.beside.join(own, true())).correlate(*outer)
        return joined.subquery(self.trace.name("t"))

    def _of_branch(self, branch: Branch, made: Any, value: Any, outer: Sequence[Any]) -> Any:
        if value is None and branch.unless is None:
            return made
        own = made.subquery(self.trace.name("q")) if value is None else made.lateral(self.trace.name("q"))
        rows = select(*own.c).select_from(own if value is None else value.join(own, true()))
        rows = rows if branch.unless is None else rows.where(not_(branch.unless(own.c)))
        return rows.correlate(*outer)

    def _found(self, read: Read[Any], branch: Branch, enough: Any, outer: Sequence[Any]) -> Source:
        """The rows that a function of the database finds: the function begins behind the cursor and ends by itself."""
        place = None
        if read.window.backward:
            raise TypeError(f"{read.model.__name__}: what a function finds is read forwards (Paging.backwards)")
        if read.window.place is not None:
            fields = [read.model.model_fields[key.lstrip("-")].annotation for key in read.order]
            place = Cursors(self.trace, read.window.place).place([sql_type(field) for field in fields])
        alias = branch.rows(enough, place).correlate(*outer).subquery(self.trace.name("t"))
        order = [_of_view(key, alias.c) for key in read.order]
        return Source(read.model, alias, [], order, total=branch.total, mark=branch.mark)

    def _select(
        self, entry: Source, outer: Sequence[Any], window: Window, *columns: Any, where: Sequence[Any] = ()
    ) -> Any:
        """The rows of a source, in its order and window. Backwards, the one next to the cursor is the first."""
        limit, offset, cursor, _, backward = window
        order = turned(entry.entered) if backward else entry.entered
        beyond = [] if cursor is None or entry.total is not None else Cursors(self.trace, cursor).beyond(order)
        made = select(*columns).select_from(entry.alias).where(*entry.where, *where, *beyond).order_by(*order)
        made = made if limit is None else made.limit(clause(limit))
        made = made if offset is None else made.offset(clause(offset))
        return made.correlate(*outer)

    def _window(self, entry: Source, outer: Sequence[Any], window: Window) -> Source:
        """The rows of a window as a source: values are built outside it, so a skipped row costs only its index
        entry.
        """
        made = self._in_order(entry, outer, window) if entry.ids is None else self._among(entry, outer, window)
        rows = made.subquery(self.trace.name("q"))
        order = [*map(onto(rows, entry.alias), entry.order)]
        if window.backward:
            turned_back = select(*rows.c).select_from(rows).order_by(*order).subquery(self.trace.name("q"))
            order = [*map(onto(turned_back, rows), order)]
            rows = turned_back
        return Source(entry.model, rows, [], order, mark=entry.mark)

    def _in_order(self, entry: Source, outer: Sequence[Any], window: Window, *where: Any) -> Any:
        if entry.each is None:
            return self._select(entry, outer, window, *entry.alias.c, where=where)
        return self._of_each(entry, outer, window, *where)

    def _among(self, entry: Source, outer: Sequence[Any], window: Window) -> Any:
        """The window of rows that have one of several ids, or of all rows if the ids are null. PostgreSQL computes the
        ids first, and executes one of the two.
        """
        limit, offset, cursor, _, backward = window
        first = Window(
            limit if offset is None or limit is None else clause(limit) + _wide(offset), None, cursor, None, backward
        )
        ids, few, no_ids = self._ids(entry, outer)
        around = [*outer, ids]
        by_id = self._select(entry, around, first, *entry.alias.c, where=[*few, *entry.among])
        rows = union_all(by_id, self._in_order(entry, around, first, no_ids)).lateral(self.trace.name("q"))
        order = [*map(onto(rows, entry.alias), turned(entry.order) if backward else entry.order)]
        made = select(*rows.c).select_from(ids.join(rows, true())).order_by(*order)
        made = made if limit is None else made.limit(clause(limit))
        made = made if offset is None else made.offset(clause(offset))
        return made.correlate(*outer)

    def _ids(self, entry: Source, outer: Sequence[Any]) -> tuple[Any, list[Any], Any]:
        """The ids as a FROM entry, and the conditions of the rows that have one, and that there are none to have."""
        ids = select(entry.ids.label("ids")).offset(ZERO).correlate(*outer).subquery(self.trace.name("c"))
        return ids, [entry.alias.c.id == func.any(ids.c.ids)], ids.c.ids.is_(None)

    def _of_each(self, entry: Source, outer: Sequence[Any], window: Window, *where: Any) -> Any:
        """The window of the rows that have one of several values, out of the first rows with each value."""
        assert entry.each is not None
        column, values = entry.each
        limit, offset, cursor, _, backward = window
        enough = limit if offset is None or limit is None else clause(limit) + _wide(offset)
        value = select(func.unnest(values, type_=column.type).label("value")).distinct().subquery(self.trace.name("v"))
        each = Window(enough, place=cursor, backward=backward)
        own = self._select(entry, [*outer, value], each, *entry.alias.c, where=[*where, column == value.c.value])
        first = own.lateral(self.trace.name("q"))
        order = [*map(onto(first, entry.alias), turned(entry.order) if backward else entry.order)]
        made = select(*first.c).select_from(value.join(first, true())).order_by(*order)
        made = made if limit is None else made.limit(clause(limit))
        made = made if offset is None else made.offset(clause(offset))
        return made.correlate(*outer)

    def _made(self, window: Source, outer: Sequence[Any], *columns: Any, marked: bool = False) -> Any:
        """Builds the values of a window's rows; the window selects only the columns that these need. `marked`: it has a
        column `mark`, the text of a row that is a mark.
        """
        where: list[Any] = []
        if window.mark is not None:
            is_mark = window.column(window.mark)
            columns = (*columns, case((is_mark, literal_column("''", Text()))).label("mark")) if marked else columns
            where = [] if marked else [not_(is_mark)]
        kept = [c for c in window.alias.element.selected_columns if c.key in window.used]
        window.alias.element = window.alias.element.with_only_columns(*(kept or [ONE]))
        return select(*columns).select_from(window.alias).where(*where).correlate(*outer)

    def _total(self, entry: Source, outer: Sequence[Any]) -> Any:
        if entry.total is not None:
            return entry.total
        if entry.ids is not None:
            ids, few, no_ids = self._ids(entry, outer)
            every = select(ONE.label("one")).select_from(entry.alias).where(*entry.where, *entry.among)
            whole = [every.where(*more).correlate(*outer, ids) for more in (few, [no_ids])]
            rows = union_all(*whole).lateral(self.trace.name("q"))
            joined = ids.join(rows, true())
            return select(func.count()).select_from(joined).correlate(*outer).scalar_subquery()
        return (
            select(func.count())
            .select_from(entry.alias if entry.whole is None else entry.whole)
            .where(*entry.where, *entry.among)
            .correlate(*outer)
            .scalar_subquery()
        )

    def _cursor(self, entry: Source) -> Any:
        keys = [key_of(k) for k in entry.order]
        entry.used |= {c.key for k in keys for c in iterate(k) if isinstance(c, ColumnClause)}
        text = func.convert_to(cast(func.json_build_array(*keys), Text), literal_column("'UTF8'"))
        return func.translate(
            func.encode(text, literal_column("'base64'")), literal_column("chr(10)"), literal_column("''")
        )


def _of_view(key: Any, columns: Any) -> Any:
    """Views are ordered by the names of their fields; a leading `-` descends."""
    return columns[key[1:]].desc() if key.startswith("-") else columns[key]
